"""JSON → the Operations of working on policies: show, explain, simulate, try, differences, unused."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final, final

from nomoat.core.operation import ExplainRecord, FindUnused, ReadDifferences, ReadPolicy, SimulatePolicy, TryPolicy
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.admin.routes import LARGEST_DOCUMENT, policy_files
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text, truth, whole
from nomoat.protocols.http.routes import Route
from nomoat.resources.history import History
from nomoat.resources.policy_reading import PolicyReading
from nomoat.resources.trial import Trial

MOST_DAYS: Final = 3650


@final
class PolicyCraft:
    """The enforcement point for those who work on policies: each method serves one route."""

    def __init__(self, guard: Guard, reading: PolicyReading, history: History, trial: Trial) -> None:
        self._guard = guard
        self._reading = reading
        self._history = history
        self._trial = trial

    async def _read(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ReadPolicy()) as permit:
            await exchange.answer_json(200, asdict(await self._reading.read(permit)))

    async def _explain(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ExplainRecord:
            body = await exchange.json()
            require_only(body, "record", "own")
            return ExplainRecord(whole(body, "record", least=0, most=1 << 62), truth(body, "own"))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._history.explain(permit))

    async def _simulate(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> SimulatePolicy:
            body = await exchange.json(LARGEST_DOCUMENT)
            require_only(body, "files", "base", "query")
            base = policy_files(body["base"]) if body.get("base") is not None else ()
            return SimulatePolicy(policy_files(body.get("files")), base, text(body, "query", ""))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._history.simulate(permit))

    async def _try(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> TryPolicy:
            body = await exchange.json(LARGEST_DOCUMENT)
            require_only(body, "files")
            return TryPolicy(policy_files(body.get("files")))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, asdict(await self._trial.begin(permit)))

    async def _differences(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReadDifferences:
            body = await exchange.json()
            require_only(body, "query")
            return ReadDifferences(text(body, "query", ""))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._history.differences(permit))

    async def _unused(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> FindUnused:
            body = await exchange.json()
            require_only(body, "days")
            return FindUnused(whole(body, "days", least=1, most=MOST_DAYS))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._history.unused(permit))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/policy", "admin", ReadPolicy, self._read),
            Route("POST", "/v1/policy/explain", "admin", ExplainRecord, self._explain),
            Route("POST", "/v1/policy/simulate", "admin", SimulatePolicy, self._simulate),
            Route("POST", "/v1/policy/try", "admin", TryPolicy, self._try),
            Route("POST", "/v1/policy/differences", "admin", ReadDifferences, self._differences),
            Route("POST", "/v1/policy/unused", "admin", FindUnused, self._unused),
        ]
