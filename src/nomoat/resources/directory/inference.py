"""Upstreams and endpoints in the words of a declaration: parsed strictly, and written back as they were meant.

Rules: an upstream is reached over TLS unless it is on this machine or in a private network and says so. What nobody said
of it is the least: cleared for what is public, somebody else's.
"""

from typing import Final
from urllib.parse import urlsplit

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.inference import FIRST_BYTE_S, TIMEOUT_S, Dialect, Endpoint, Served, Upstream
from nomoat.core.names import (
    Classification,
    RepositoryKind,
    parse_endpoint_name,
    parse_repository_name,
    parse_subject_name,
)
from nomoat.resources.directory.fields import (
    Table,
    as_list,
    as_table,
    described_owner,
    level_of,
    owner_of,
    require_fields,
    text_of,
    truth_of,
    words_of,
)
from nomoat.resources.directory.quotas import described_price, parse_price

UPSTREAM_FIELDS: Final = frozenset(
    {
        "name",
        "url",
        "api",
        "clearance",
        "external",
        "region",
        "private",
        "workload",
        "retention",
        "first_byte_s",
        "timeout_s",
    }
    | {"remove"}
)
ENDPOINT_FIELDS: Final = frozenset({"name", "classification", "labels", "owner", "served", "contents", "remove"})
_SERVED_FIELDS: Final = frozenset({"upstream", "model", "price", "weights"})
MOST_SERVED: Final = 8
LONGEST_S: Final = 86_400


def parse_upstream(table: Table) -> Upstream:
    """An upstream. Raises `Malformed`."""
    try:
        dialect = Dialect(text_of(table, "api") or Dialect.OPENAI)
    except ValueError:
        raise Malformed('api is "openai" or "anthropic"') from None
    private, workload = truth_of(table, "private"), text_of(table, "workload")
    return Upstream(
        name=parse_subject_name(text_of(table, "name")),
        url=_url(text_of(table, "url"), private=private),
        dialect=dialect,
        clearance=level_of(table, "clearance", Classification.PUBLIC),
        external=truth_of(table, "external", default=not private),
        region=text_of(table, "region"),
        private=private,
        workload=parse_subject_name(workload) if workload else "",
        retention=truth_of(table, "retention"),
        first_byte_s=_seconds(table, "first_byte_s", FIRST_BYTE_S),
        timeout_s=_seconds(table, "timeout_s", TIMEOUT_S),
    )


def _seconds(table: Table, field: str, usual: int) -> int:
    value = table.get(field, usual)
    if type(value) is not int or not 1 <= value <= LONGEST_S:
        raise Malformed(f"{field} is a whole number of seconds from 1 to {LONGEST_S:,}")
    return value


def parse_endpoint(table: Table) -> Endpoint:
    """An endpoint; one whose confidentiality nobody stated is as confidential as there is. Raises `Malformed`."""
    entries = as_list(table.get("served", []))
    if not entries or len(entries) > MOST_SERVED:
        raise Malformed(
            f"served is a list of 1 to {MOST_SERVED} tables with upstream and model, the preferred one first"
        )
    group, person = owner_of(table)
    return Endpoint(
        name=parse_endpoint_name(text_of(table, "name")),
        classification=level_of(table, "classification", Classification.RESTRICTED),
        labels=words_of(table, "labels"),
        served=tuple(_served(entry) for entry in entries),
        owner_group=group,
        owner_person=person,
        kept=_kept(text_of(table, "contents")),
    )


def require_served(directory: Directory) -> None:
    """Raise `Malformed` when an endpoint or upstream names something that is not declared."""
    for upstream in directory.upstreams.values():
        if upstream.workload and upstream.workload not in directory.workloads:
            raise Malformed(f"upstream {upstream.name} is run by {upstream.workload}, which is no [[workload]]")
    for endpoint in directory.endpoints.values():
        for served in endpoint.served:
            if served.upstream not in directory.upstreams:
                raise Malformed(f"endpoint {endpoint.name} is served by {served.upstream}, which is no [[upstream]]")
            if served.weights is None:
                continue
            if served.weights not in directory.repositories:
                raise Malformed(f"endpoint {endpoint.name} has weights of {served.weights}, which is no [[model]]")
            if not directory.upstreams[served.upstream].workload:
                raise Malformed(
                    f"endpoint {endpoint.name} has weights of {served.weights}: upstream {served.upstream} needs the "
                    "workload that says which version it loaded"
                )


def _kept(text: str) -> bool:
    if text not in {"", "kept"}:
        raise Malformed('contents is "kept", or left out: then nothing that is asked or answered is kept')
    return text == "kept"


def _served(entry: object) -> Served:
    table = as_table(entry)
    if table is None:
        raise Malformed("served is a list of tables with upstream and model")
    require_fields(table, _SERVED_FIELDS)
    model = text_of(table, "model")
    if not model or not model.isprintable():
        raise Malformed("served needs the model: what it is called at the upstream")
    weights = text_of(table, "weights")
    of = parse_repository_name(RepositoryKind.MODEL, weights) if weights else None
    return Served(parse_subject_name(text_of(table, "upstream")), model, parse_price(table.get("price")), of)


def _url(text: str, *, private: bool) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.scheme == "http" and private
    if (
        not (parts.scheme == "https" or plain)
        or not parts.hostname
        or parts.username is not None
        or parts.query
        or parts.fragment
        or port == 0
        or not text.isascii()
        or not text.isprintable()
        or " " in text
    ):
        raise Malformed("url is https://HOST/PATH without user, query or fragment; http:// only with private = true")
    return text.rstrip("/")


# -- canonical form -----------------------------------------------------------------------------------


def described_upstream(upstream: Upstream) -> dict[str, object]:
    """The inverse of `parse_upstream`."""
    return {
        "name": upstream.name,
        "url": upstream.url,
        "api": upstream.dialect.value,
        "clearance": upstream.clearance.name.lower(),
        "external": upstream.external,
        "region": upstream.region,
        "private": upstream.private,
        "retention": upstream.retention,
        "first_byte_s": upstream.first_byte_s,
        "timeout_s": upstream.timeout_s,
        **({"workload": upstream.workload} if upstream.workload else {}),
    }


def described_endpoint(endpoint: Endpoint) -> dict[str, object]:
    """The inverse of `parse_endpoint`."""
    return {
        "name": endpoint.name,
        "classification": endpoint.classification.name.lower(),
        "labels": sorted(endpoint.labels),
        "served": [
            {
                "upstream": served.upstream,
                "model": served.model,
                **described_price(served.price),
                **({"weights": str(served.weights)} if served.weights else {}),
            }
            for served in endpoint.served
        ],
        "contents": "kept" if endpoint.kept else "",
        **described_owner(endpoint.owner_group, endpoint.owner_person),
    }
