"""Paths → the log as tiles (c2sp.org/tlog-tiles) below `/v1/log`, and JSON → receipts.

Hashes are public, as proofs are: a tile is hashes over salted commitments. Entries say who (a pseudonym)
did what when, so reading them is an Operation. What is immutable may be kept by any cache.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, final

from nomoat.core.errors import Malformed
from nomoat.core.operation import ProveOwnRecord, ProveRecord, ReadEntries
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, size, truth, whole
from nomoat.protocols.http.routes import Route
from nomoat.resources.log import LogReading
from nomoat.resources.receipts import OwnReceipts

_BYTES: Final = "application/octet-stream"
_FOREVER: Final = "max-age=31536000, immutable"
_INDEX: Final = re.compile(r"((?:x\d{3}/){0,5})(\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)
_FULL: Final = 256

ReadTile = Callable[[int, int, int], bytes]


@final
class EvidenceEndpoints:
    """The enforcement point for monitors and holders of receipts, `own` those of one's own accesses.

    `checkpoint` returns the newest one to show, `tile` the hashes at (level, index) up to a width.
    """

    def __init__(
        self, guard: Guard, log: LogReading, own: OwnReceipts, checkpoint: Callable[[], bytes], tile: ReadTile
    ) -> None:
        self._guard = guard
        self._log = log
        self._own = own
        self._checkpoint = checkpoint
        self._tile = tile

    async def _latest(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        headers = {"Cache-Control": "no-cache"}
        await exchange.answer(200, self._checkpoint(), content_type="text/plain; charset=utf-8", headers=headers)

    async def _hashes(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        index, width = parse_index(values["index"])
        body = self._tile(size(values, "level"), index, width)
        await exchange.answer(200, body, content_type=_BYTES, headers={"Cache-Control": f"public, {_FOREVER}"})

    async def _entries(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReadEntries:
            index, width = parse_index(values["index"])
            return ReadEntries(index, width)

        async with self._guard.admit(exchange.presented, parse) as permit:
            body = await self._log.entries(permit)
            await exchange.answer(200, body, content_type=_BYTES, headers={"Cache-Control": f"private, {_FOREVER}"})

    async def _receipt(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ProveRecord:
            body = await exchange.json()
            require_only(body, "record", "disclose")
            return ProveRecord(whole(body, "record", least=0, most=1 << 62), truth(body, "disclose", default=False))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._log.prove(permit))

    async def _own_receipt(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ProveOwnRecord:
            body = await exchange.json()
            require_only(body, "record")
            return ProveOwnRecord(whole(body, "record", least=0, most=1 << 62))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, {"receipt": await self._own.prove(permit)})

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/log/checkpoint", "admin", None, self._latest),
            Route("GET", "/v1/log/tile/{level}/{index*}", "admin", None, self._hashes),
            Route("GET", "/v1/log/tile/entries/{index*}", "admin", ReadEntries, self._entries),
            Route("POST", "/v1/log/receipt", "admin", ProveRecord, self._receipt),
            Route("POST", "/v1/log/receipt/own", "admin", ProveOwnRecord, self._own_receipt),
        ]


def parse_index(path: str) -> tuple[int, int]:
    """Return a tile's index and width from the rest of its path (`x001/x234/067.p/12`). Raises `Malformed`."""
    found = _INDEX.fullmatch(path)
    if found is None or found[1].startswith("x000"):
        raise Malformed("a tile's index is written as in x001/x234/067, a partial one's as in 067.p/12")
    width = int(found[3]) if found[3] else _FULL
    if found[3] and width >= _FULL:
        raise Malformed(f"a partial tile has fewer than {_FULL} hashes")
    return int(found[1].replace("x", "").replace("/", "") + found[2]), width
