"""The Hub's requests about branches, tags and history, and about repositories as a whole → Operations.

Rules: what a repository is and who may see it is declared (`nomoat apply`); a client that wants to change
that by the Hub's API is told so, if it may know the repository.
"""

from typing import NoReturn, final
from urllib.parse import quote

from nomoat.core.errors import Malformed
from nomoat.core.names import RepositoryKind, parse_reference, parse_revision
from nomoat.core.operation import (
    CreateBranch,
    CreateTag,
    DeleteBranch,
    DeleteRepository,
    DeleteTag,
    DescribeRepository,
    ListCommits,
)
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import text
from nomoat.protocols.http.routes import Route
from nomoat.protocols.hub.answers import described_commit, origin_of
from nomoat.protocols.hub.bodies import parse_move, parse_named
from nomoat.protocols.hub.places import DEFAULT_BRANCH, OfOneKind, Values, revision_in
from nomoat.resources.repositories import Reading, References

LONGEST_MESSAGE = 1000  # characters


class _Managed:
    """What the endpoints of this module work with."""

    def __init__(self, guard: Guard, reading: Reading, references: References) -> None:
        self._guard = guard
        self._reading = reading
        self._references = references

    def _explain(self, permit: Permit[DescribeRepository]) -> NoReturn:
        """Tell who may see a repository how it is changed here."""
        self._reading.describe_repository(permit)
        raise Malformed(
            "what a repository is called and who may see it is declared; an administrator changes it with nomoat apply"
        )


class ReferenceEndpoints(_Managed, OfOneKind):
    """The branches, tags and commits of the repositories of one kind, below `api`."""

    async def _commits(self, exchange: Exchange, values: Values) -> None:
        origin, name = origin_of(exchange), self._name(values)
        async with self._guard.admit(exchange.presented, ListCommits(name, revision_in(values))) as permit:
            found = self._references.list_commits(permit)
            # The next page begins with the commit that this one ends before (RFC 8288).
            next_page = f'<{origin}{self.api}/{name}/commits/{quote(found.following)}>; rel="next"'
            headers = {"Link": next_page} if found.following else {}
            await exchange.answer_json(200, [described_commit(made) for made in found.commits], headers=headers)

    async def _create_branch(self, exchange: Exchange, values: Values) -> None:
        async def parse(_: Principal) -> CreateBranch:
            body = await exchange.json()
            start = parse_revision(text(body, "startingPoint", DEFAULT_BRANCH, longest=200))
            return CreateBranch(self._name(values), parse_reference(values["branch"]), start)

        async with self._guard.admit(exchange.presented, parse) as permit:
            await self._references.create_branch(permit)
            await exchange.answer_json(200, {})

    async def _delete_branch(self, exchange: Exchange, values: Values) -> None:
        operation = DeleteBranch(self._name(values), parse_revision(values["branch"]))
        async with self._guard.admit(exchange.presented, operation) as permit:
            await self._references.delete_branch(permit)
            await exchange.answer_json(200, {})

    async def _create_tag(self, exchange: Exchange, values: Values) -> None:
        async def parse(_: Principal) -> CreateTag:
            body = await exchange.json()
            tag, message = text(body, "tag", longest=200), text(body, "message", "", longest=LONGEST_MESSAGE)
            return CreateTag(self._name(values), parse_reference(tag), revision_in(values), message)

        async with self._guard.admit(exchange.presented, parse) as permit:
            await self._references.create_tag(permit)
            await exchange.answer_json(200, {})

    async def _delete_tag(self, exchange: Exchange, values: Values) -> None:
        operation = DeleteTag(self._name(values), parse_revision(values["revision"]))
        async with self._guard.admit(exchange.presented, operation) as permit:
            await self._references.delete_tag(permit)
            await exchange.answer_json(200, {})

    async def _check(self, exchange: Exchange, values: Values) -> None:
        operation = DescribeRepository(self._name(values), DEFAULT_BRANCH)
        async with self._guard.admit(exchange.presented, operation) as permit:
            self._reading.describe_repository(permit)
            await exchange.answer_json(200, {})

    async def _settings(self, exchange: Exchange, values: Values) -> None:
        operation = DescribeRepository(self._name(values), DEFAULT_BRANCH)
        async with self._guard.admit(exchange.presented, operation) as permit:
            self._explain(permit)

    def _listed(self) -> list[Route]:
        repository = f"{self.api}/{{namespace}}/{{name}}"
        return [
            Route("GET", f"{repository}/commits/{{+revision}}", "hub", ListCommits, self._commits),
            Route("POST", f"{repository}/branch/{{+branch}}", "hub", CreateBranch, self._create_branch),
            Route("DELETE", f"{repository}/branch/{{+branch}}", "hub", DeleteBranch, self._delete_branch),
            Route("POST", f"{repository}/tag/{{+revision}}", "hub", CreateTag, self._create_tag),
            Route("DELETE", f"{repository}/tag/{{+revision}}", "hub", DeleteTag, self._delete_tag),
            Route("GET", f"{repository}/auth-check", "hub", DescribeRepository, self._check),
            Route("PUT", f"{repository}/settings", "hub", DescribeRepository, self._settings),
        ]


@final
class DatasetReferences(ReferenceEndpoints):
    """The branches, tags and commits of datasets."""

    kind = RepositoryKind.DATASET
    api = "/api/datasets"

    def routes(self) -> list[Route]:
        """The routes of datasets."""
        return self._listed()


@final
class ModelReferences(ReferenceEndpoints):
    """The branches, tags and commits of models."""

    kind = RepositoryKind.MODEL
    api = "/api/models"

    def routes(self) -> list[Route]:
        """The routes of models."""
        return self._listed()


@final
class ManagementEndpoints(_Managed):
    """What is asked of a repository that the body names."""

    async def _delete(self, exchange: Exchange, _: Values) -> None:
        async def parse(_: Principal) -> DeleteRepository:
            return DeleteRepository(await parse_named(exchange))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await self._references.delete_repository(permit)
            await exchange.answer_json(200, {})

    async def _move(self, exchange: Exchange, _: Values) -> None:
        async def parse(_: Principal) -> DescribeRepository:
            return DescribeRepository(await parse_move(exchange), DEFAULT_BRANCH)

        async with self._guard.admit(exchange.presented, parse) as permit:
            self._explain(permit)

    def routes(self) -> list[Route]:
        """The routes of neither datasets nor models."""
        return [
            Route("DELETE", "/api/repos/delete", "hub", DeleteRepository, self._delete),
            Route("POST", "/api/repos/move", "hub", DescribeRepository, self._move),
        ]
