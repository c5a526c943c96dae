"""ReadKeys and RotateKeys ↔ JSON, for `nomoat keys`."""

from collections.abc import Mapping
from typing import final

from nomoat.core.operation import ReadKeys, RotateKeys
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.routes import Route
from nomoat.resources.keys import Keys, KeysSeen


@final
class KeyEndpoints:
    """The enforcement point for the keys at rest."""

    def __init__(self, guard: Guard, keys: Keys) -> None:
        self._guard = guard
        self._keys = keys

    async def _read(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ReadKeys()) as permit:
            await exchange.answer_json(200, _described(await self._keys.read(permit)))

    async def _rotate(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, RotateKeys()) as permit:
            await exchange.answer_json(200, _described(await self._keys.rotate(permit)))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/keys", "admin", ReadKeys, self._read),
            Route("POST", "/v1/keys/rotate", "admin", RotateKeys, self._rotate),
        ]


def _described(seen: KeysSeen) -> dict[str, object]:
    versions = [{"version": version, "keys": count} for version, count in sorted(seen.versions.items())]
    return {"kms": seen.kms, "newest": seen.newest, "versions": versions, "left": seen.left}
