"""Registered sources ↔ JSON, for `nomoat source`."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, cast, final

from nomoat.core.errors import Malformed
from nomoat.core.names import parse_classification, parse_endpoint_name, parse_subject_name
from nomoat.core.operation import ListSources, RegisterSource, RemoveSource
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text
from nomoat.protocols.http.routes import Route
from nomoat.resources.inference.sources import Sources

LARGEST: Final = 16 << 20  # bytes of a request
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_COMMIT: Final = re.compile("(?:[0-9a-f]{40}|[0-9a-f]{64})?")


@final
class SourceEndpoints:
    """The enforcement point for which sources are known."""

    def __init__(self, guard: Guard, sources: Sources) -> None:
        self._guard = guard
        self._sources = sources

    async def _register(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> RegisterSource:
            body = await exchange.json(LARGEST)
            require_only(body, "label", "classification", "cleared", "base", "commit", "files", "removed")
            return RegisterSource(
                name=parse_endpoint_name(named["name"]),
                label=parse_subject_name(text(body, "label")),
                classification=parse_classification(text(body, "classification")),
                cleared=parse_subject_name(text(body, "cleared")),
                base=_commit(body, "base"),
                commit=_commit(body, "commit"),
                files=_files(body.get("files")),
                removed=tuple(_digests(body.get("removed"))),
            )

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, {"fingerprints": await self._sources.register(permit)})

    async def _list(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ListSources()) as permit:
            listed = [
                {
                    "name": row.name,
                    "label": row.label,
                    "classification": row.classification.name.lower(),
                    "cleared": row.cleared,
                    "commit": row.commit,
                    "files": row.files,
                    "at": row.at,
                    "by": row.by,
                }
                for row in self._sources.list_sources(permit)
            ]
            await exchange.answer_json(200, {"sources": listed})

    async def _remove(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> RemoveSource:
            return RemoveSource(parse_endpoint_name(named["name"]))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await self._sources.remove(permit)
            await exchange.answer_json(200, {})

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/sources", "admin", ListSources, self._list),
            Route("PUT", "/v1/sources/{name*}", "admin", RegisterSource, self._register),
            Route("DELETE", "/v1/sources/{name*}", "admin", RemoveSource, self._remove),
        ]


def _commit(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not _COMMIT.fullmatch(value):
        raise Malformed(f"{name} is a whole commit id, or empty")
    return value


def _digests(value: object) -> list[str]:
    if not isinstance(value, list):
        raise Malformed("removed is a list of digests")
    digests = cast("list[object]", value)
    if not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in digests):
        raise Malformed("removed is a list of digests")
    return cast("list[str]", digests)


def _files(value: object) -> dict[str, tuple[bytes, bytes]]:
    if not isinstance(value, dict):
        raise Malformed("files is an object of lists by digest")
    files: dict[str, tuple[bytes, bytes]] = {}
    for digest, words in cast("dict[str, object]", value).items():
        pair = cast("list[object]", words) if isinstance(words, list) else []
        if not _DIGEST.fullmatch(digest) or len(pair) != 2:
            raise Malformed("files is an object of two texts in base64 by the digest of a path")
        exact, blind = map(_words, pair)
        files[digest] = exact, blind
    return files


def _words(value: object) -> bytes:
    try:
        words = base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        words = b"!"
    if len(words) % 8:
        raise Malformed("fingerprints are 8 bytes each, in base64")
    return words
