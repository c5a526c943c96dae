"""ReadLineage, LowerLabel and ReportLoad ↔ JSON, for `nomoat lineage`, `lower` and `loaded`."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Final, cast, final

from nomoat.core.errors import Malformed
from nomoat.core.lineage import Label, Load, Lowered
from nomoat.core.names import (
    RepositoryName,
    parse_classification,
    parse_digest,
    parse_path,
    parse_revision,
    parse_subject_name,
)
from nomoat.core.operation import LowerLabel, ReadLineage, ReportLoad
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.guard import Guard
from nomoat.protocols.admin.versions import LONGEST_REASON, repository_of
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text
from nomoat.protocols.http.routes import Route
from nomoat.resources.repositories.lineage import Named, Told, Tracing

MOST_FILES: Final = 10_000  # of one report
LARGEST_REPORT: Final = 8 << 20  # bytes
MOST_LABELS: Final = 256


@final
class LineageEndpoints:
    """The enforcement point for lineage."""

    def __init__(self, guard: Guard, tracing: Tracing) -> None:
        self._guard = guard
        self._tracing = tracing

    async def _read(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        query = exchange.query()
        require_only(query, "revision", "path", "contributor")
        operation = ReadLineage(
            repository_of(values),
            parse_revision(query["revision"]) if query.get("revision") else "",
            parse_path(query["path"]) if query.get("path") else "",
            _subject(query["contributor"]) if query.get("contributor") else "",
        )
        async with self._guard.admit(exchange.presented, operation) as permit:
            await exchange.answer_json(200, _told(self._tracing.read(permit)))

    async def _lower(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> LowerLabel:
            body = await exchange.json()
            require_only(body, "classification", "labels", "reason")
            label = Label(parse_classification(text(body, "classification")), _labels(body.get("labels", [])))
            reason = text(body, "reason", longest=LONGEST_REASON)
            return LowerLabel(repository_of(values), values["commit"], label, reason)

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, _lowered(await self._tracing.lower(permit)))

    async def _report(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReportLoad:
            body = await exchange.json(LARGEST_REPORT)
            require_only(body, "files")
            return ReportLoad(repository_of(values), values["commit"], _files(body.get("files")))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, _load(await self._tracing.report(permit)))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        lineage, version = "/v1/lineage/{kind}/{namespace}/{name}", "/v1/versions/{kind}/{namespace}/{name}/{commit}"
        return [
            Route("GET", lineage, "admin", ReadLineage, self._read),
            Route("POST", f"{version}/label", "admin", LowerLabel, self._lower),
            Route("POST", f"{version}/load", "admin", ReportLoad, self._report),
        ]


def _subject(text_: str) -> str:
    kind, _, name = text_.partition(":")
    if kind not in set(PrincipalKind):
        raise Malformed("a contributor is person:NAME or workload:NAME")
    return f"{kind}:{parse_subject_name(name)}"


def _labels(value: object) -> frozenset[str]:
    labels = cast("list[object]", value) if isinstance(value, list) else None
    if labels is None or len(labels) > MOST_LABELS:
        raise Malformed(f"labels is a list of at most {MOST_LABELS} names")
    return frozenset(parse_subject_name(text({"label": each}, "label")) for each in labels)


def _files(value: object) -> tuple[tuple[str, str], ...]:
    files = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if not 0 < len(files) <= MOST_FILES:
        raise Malformed(f"files is an object of paths and SHA-256 digests, from 1 to {MOST_FILES} of them")
    return tuple(sorted((parse_path(path), parse_digest(text(files, path))) for path in files))


def _told(told: Told) -> dict[str, object]:
    return {
        "repository": str(told.name),
        "kind": told.name.kind,
        "commit": told.commit,
        "label": _label(told.declared.join(told.inherited)),
        "declared": _label(told.declared),
        "inherited": _label(told.inherited),
        "lowered": _lowered(told.lowered) if told.lowered else None,
        "came_of": [_relative(each) for each in told.above],
        "went_into": [_relative(each) for each in told.below],
        "withheld": told.withheld,
        "more": told.more,
        "loads": [_load(each) for each in told.loads],
        "statement": b64encode(told.statement).decode("ascii"),
    }


def _label(label: Label) -> dict[str, object]:
    return {"classification": label.classification.name.lower(), "labels": sorted(label.labels)}


def _lowered(lowered: Lowered) -> dict[str, object]:
    return {**_label(lowered.label), "by": lowered.subject, "at": lowered.at, "reason": lowered.reason}


def _relative(named: Named) -> dict[str, object]:
    name: RepositoryName = named.name
    relative = named.relative
    return {
        "repository": str(name),
        "kind": name.kind,
        "commit": relative.commit,
        "direct": relative.direct,
        "subject": relative.subject,
        "session": relative.session,
        "files": relative.files,
        "record": relative.record,
    }


def _load(load: Load) -> dict[str, object]:
    return {
        "subject": load.subject,
        "session": load.session,
        "at": load.at,
        "files": load.files,
        "sha256": load.digest,
        "load": "verified" if load.verified else "unverified",
    }
