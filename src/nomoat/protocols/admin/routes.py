"""JSON → administrative Operations, and their results back. Bodies are parsed after authentication."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import cast, final

from nomoat.core.errors import Malformed
from nomoat.core.operation import ApplyDirectory, ApplyPolicy, Enroll, Revoke
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text, truth, whole
from nomoat.protocols.http.routes import Route
from nomoat.resources.directory import Declarations
from nomoat.resources.identities import Identities
from nomoat.resources.policies import Policies

LARGEST_DOCUMENT = 8 << 20  # bytes of JSON around a declaration or a set of policies


@final
class Administration:
    """The administrative enforcement point: each method serves one route."""

    def __init__(self, guard: Guard, declarations: Declarations, policies: Policies, identities: Identities) -> None:
        self._guard = guard
        self._declarations = declarations
        self._policies = policies
        self._identities = identities

    async def _directory(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ApplyDirectory:
            body = await exchange.json(LARGEST_DOCUMENT)
            require_only(body, "document", "dry_run", "base")
            base = whole(body, "base", least=0, most=1 << 62) if body.get("base") is not None else None
            return ApplyDirectory(text(body, "document", longest=LARGEST_DOCUMENT), truth(body, "dry_run"), base)

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, asdict(await self._declarations.apply(permit)))

    async def _policy(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ApplyPolicy:
            body = await exchange.json(LARGEST_DOCUMENT)
            require_only(body, "files", "dry_run", "base")
            return ApplyPolicy(policy_files(body.get("files")), truth(body, "dry_run"), text(body, "base", ""))

        async with self._guard.admit(exchange.presented, parse) as permit:
            applied = await self._policies.apply(permit)
            await exchange.answer_json(200, {**asdict(applied), "plan": [change._asdict() for change in applied.plan]})

    async def _enroll(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> Enroll:
            body = await exchange.json()
            require_only(body, "subject")
            return Enroll(text(body, "subject", longest=256))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._identities.enroll(permit))

    async def _revoke(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> Revoke:
            body = await exchange.json()
            require_only(body, "kind", "name")
            return Revoke(text(body, "kind", longest=32), text(body, "name", longest=256))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._identities.revoke(permit))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("POST", "/v1/directory", "admin", ApplyDirectory, self._directory),
            Route("POST", "/v1/policy", "admin", ApplyPolicy, self._policy),
            Route("POST", "/v1/enroll", "admin", Enroll, self._enroll),
            Route("POST", "/v1/revoke", "admin", Revoke, self._revoke),
        ]


def policy_files(value: object) -> tuple[tuple[str, str], ...]:
    """Policy texts by file name. Raises `Malformed`."""
    if not isinstance(value, dict):
        raise Malformed("files is an object of file names and Cedar texts")
    files = cast("dict[str, object]", value)  # the keys of a JSON object are texts
    if not all(isinstance(content, str) for content in files.values()):
        raise Malformed("every file of a policy set is a text")
    return tuple(sorted((name, str(content)) for name, content in files.items()))
