"""What is registered to be found in prompts ↔ JSON, for `nomoat content`."""

from collections.abc import Mapping
from typing import Final, cast, final

from nomoat.core.errors import Malformed
from nomoat.core.names import parse_classification, parse_subject_name
from nomoat.core.operation import ListRegistrations, PlantCanary, RegisterValues, RemoveRegistration
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text
from nomoat.protocols.http.routes import Route
from nomoat.resources.inference.registering import Registering

LARGEST: Final = 16 << 20  # bytes of a request
MOST_VALUES: Final = 200_000


@final
class RegistrationEndpoints:
    """The enforcement point for what prompts are looked through for."""

    def __init__(self, guard: Guard, registering: Registering) -> None:
        self._guard = guard
        self._registering = registering

    async def _register(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> RegisterValues:
            body = await exchange.json(LARGEST)
            require_only(body, "label", "classification", "values")
            return RegisterValues(
                parse_subject_name(named["name"]),
                parse_subject_name(text(body, "label")),
                parse_classification(text(body, "classification")),
                _values(body.get("values")),
            )

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, {"values": await self._registering.register(permit)})

    async def _plant(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        operation = PlantCanary(parse_subject_name(named["name"]))
        async with self._guard.admit(exchange.presented, operation) as permit:
            canary = await self._registering.plant(permit)
            await exchange.answer_json(200, {"canary": canary}, headers={"Cache-Control": "no-store"})

    async def _list(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ListRegistrations()) as permit:
            listed = [
                {
                    "name": each.name,
                    "kind": each.kind,
                    "classification": each.label.classification.name.lower(),
                    "label": " ".join(sorted(each.label.labels)),
                    "values": each.size,
                    "at": each.at,
                    "by": each.by,
                }
                for each in self._registering.list_registrations(permit)
            ]
            await exchange.answer_json(200, {"registrations": listed})

    async def _remove(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        operation = RemoveRegistration(parse_subject_name(named["name"]))
        async with self._guard.admit(exchange.presented, operation) as permit:
            await self._registering.remove(permit)
            await exchange.answer_json(200, {})

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/registrations", "admin", ListRegistrations, self._list),
            Route("PUT", "/v1/registrations/{name}/values", "admin", RegisterValues, self._register),
            Route("POST", "/v1/registrations/{name}/canary", "admin", PlantCanary, self._plant),
            Route("DELETE", "/v1/registrations/{name}", "admin", RemoveRegistration, self._remove),
        ]


def _values(value: object) -> list[str]:
    values = cast("list[object]", value) if isinstance(value, list) else []
    if not 0 < len(values) <= MOST_VALUES or not all(isinstance(each, str) for each in values):
        raise Malformed(f"values is a list of texts, at least one and at most {MOST_VALUES}")
    return cast("list[str]", values)
