"""The Hub's routes: those of datasets, those of models, and those of neither."""

from collections.abc import Awaitable, Callable, Mapping
from typing import final

from nomoat.core.connection import Capability
from nomoat.core.errors import Conflict, Malformed
from nomoat.core.names import RepositoryKind, RepositoryName, parse_digest
from nomoat.core.operation import CreateRepository, UploadBlob, ValidateCard, Whoami
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.errors import sentence
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.routes import Route
from nomoat.protocols.hub.answers import described_caller, origin_of
from nomoat.protocols.hub.bodies import parse_card, parse_named
from nomoat.protocols.hub.commits import LARGEST_FILE
from nomoat.protocols.hub.endpoints import RepositoryEndpoints
from nomoat.protocols.hub.errors import error_headers
from nomoat.protocols.hub.places import repository_in
from nomoat.resources.cards import Cards
from nomoat.resources.repositories import Writing

_WEB = {RepositoryKind.DATASET: "/datasets", RepositoryKind.MODEL: ""}


@final
class DatasetEndpoints(RepositoryEndpoints):
    """What is served of datasets."""

    kind = RepositoryKind.DATASET
    api = "/api/datasets"
    web = _WEB[RepositoryKind.DATASET]

    def routes(self) -> list[Route]:
        """The routes of datasets."""
        return self._listed()


@final
class ModelEndpoints(RepositoryEndpoints):
    """What is served of models."""

    kind = RepositoryKind.MODEL
    api = "/api/models"
    web = _WEB[RepositoryKind.MODEL]

    def routes(self) -> list[Route]:
        """The routes of models."""
        return self._listed()


@final
class HubEndpoints:
    """What is served beside single repositories: who one is, creation, cards, and uploads by one-use URL.

    `whoami` describes the caller for a permit.
    """

    def __init__(
        self,
        guard: Guard,
        writing: Writing,
        cards: Cards,
        whoami: Callable[[Permit[Whoami]], Awaitable[Mapping[str, object]]],
    ) -> None:
        self._guard = guard
        self._writing = writing
        self._cards = cards
        self._describe_caller = whoami

    async def _whoami(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, Whoami()) as permit:
            await exchange.answer_json(200, described_caller(await self._describe_caller(permit)))

    async def _create(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        origin, named = origin_of(exchange), list[RepositoryName]()

        async def parse(_: Principal) -> CreateRepository:
            named.append(await parse_named(exchange))
            return CreateRepository(named[0])

        try:
            async with self._guard.admit(exchange.presented, parse) as permit:
                await self._writing.create_repository(permit)
        except Conflict as conflict:  # a client that does not mind reads on
            told = {"error": sentence(conflict), "record": conflict.record}
            await exchange.answer_json(409, {**told, **_address(origin, named[0])}, headers=error_headers(conflict))
        else:
            await exchange.answer_json(200, _address(origin, named[0]))

    async def _upload(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        # The URL is the credential: a stock client sends no other one here.
        exchange.presented = exchange.presented._replace(credential=Capability(values["secret"]))
        operation = UploadBlob(_repository_of(values), parse_digest(values["digest"]), _size_of(values))
        async with self._guard.admit(exchange.presented, operation) as permit:
            declared = exchange.header("content-length")
            if declared is not None and declared != str(operation.size):
                raise Malformed(f"the body has {declared:.20} bytes instead of the announced {operation.size}")
            await self._writing.upload_blob(permit, exchange.stream())
            await exchange.answer(200, b"", content_type="application/octet-stream")

    async def _validate_card(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ValidateCard:
            return ValidateCard(await parse_card(exchange))

        presented = exchange.presented
        if presented.credential is None and presented.connection.certificate is None:
            # huggingface_hub's `RepoCard.validate` sends no credential, ever. A stranger's card is not read, and
            # everybody hears the same; the commit that follows is examined.
            await exchange.answer_json(200, {"errors": [], "warnings": []})
            return
        async with self._guard.admit(presented, parse) as permit:
            found = await self._cards.validate(permit)
            told = {
                "errors": [{"message": message} for message in found.errors],
                "warnings": [{"message": message} for message in found.warnings],
            }
            await exchange.answer_json(400 if found.errors else 200, told)

    def routes(self) -> list[Route]:
        """The routes of neither datasets nor models."""
        upload = "/lfs/{kind}/{namespace}/{name}/{digest}/{size}/{secret}"
        return [
            Route("GET", "/api/whoami-v2", "hub", Whoami, self._whoami),
            Route("POST", "/api/repos/create", "hub", CreateRepository, self._create),
            Route("POST", "/api/validate-yaml", "hub", ValidateCard, self._validate_card),
            Route("PUT", upload, "hub", UploadBlob, self._upload),
        ]


def _address(origin: str, name: RepositoryName) -> dict[str, str]:
    return {"url": f"{origin}{_WEB[name.kind]}/{name}", "name": str(name), "id": str(name)}


def _repository_of(values: Mapping[str, str]) -> RepositoryName:
    if values["kind"] not in set(RepositoryKind):
        raise Malformed("there are datasets and models here")
    return repository_in(RepositoryKind(values["kind"]), values)


def _size_of(values: Mapping[str, str]) -> int:
    size = values["size"]
    if not size.isascii() or not size.isdigit() or len(size) > len(str(LARGEST_FILE)):
        raise Malformed("a size is a number of bytes")
    return int(size)
