"""Operations on versions ↔ JSON, for `nomoat versions`, `approve`, `withdraw` and `shred`."""

from collections.abc import Mapping
from typing import Final, cast, final

from nomoat.core.errors import Malformed
from nomoat.core.lifecycle import Standing
from nomoat.core.names import RepositoryKind, RepositoryName, is_commit_id, parse_repository_name
from nomoat.core.operation import ApproveVersion, ListVersions, ShredVersion, WithdrawVersion
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import text, truth
from nomoat.protocols.http.routes import Route
from nomoat.resources.repositories.lifecycle import Lifecycle
from nomoat.resources.repositories.shredding import Shredder

LONGEST_REASON: Final = 2_000  # characters
MOST_CHECKS: Final = 32


@final
class VersionEndpoints:
    """The enforcement point for the life of versions."""

    def __init__(self, guard: Guard, lifecycle: Lifecycle, shredder: Shredder) -> None:
        self._guard = guard
        self._shredder = shredder
        self._lifecycle = lifecycle

    async def _list(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ListVersions(repository_of(values))) as permit:
            lines = self._lifecycle.list_versions(permit)
            told = [
                {
                    "commit": line.revision.id,
                    "title": line.revision.title,
                    "author": line.revision.author,
                    "published": line.revision.at,
                    "served": line.served,
                    **_described(line.standing),
                    "findings": [
                        {"path": path, "verdict": verdict, "rule": rule, "where": where, "what": what}
                        for path, (verdict, rule, where, what) in line.held
                    ],
                }
                for line in lines
            ]
            await exchange.answer_json(200, {"versions": told})

    async def _approve(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ApproveVersion:
            body = await exchange.json()
            return ApproveVersion(repository_of(values), values["commit"], _checks(body), _reason(body))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, _described(await self._lifecycle.approve(permit)))

    async def _withdraw(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> WithdrawVersion:
            return WithdrawVersion(repository_of(values), values["commit"], _reason(await exchange.json()))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, _described(await self._lifecycle.withdraw(permit)))

    async def _shred(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ShredVersion:
            body = await exchange.json()
            keep = truth(body, "keep_shared", default=False)
            return ShredVersion(repository_of(values), values["commit"], _reason(body), _commits(body), keep)

        async with self._guard.admit(exchange.presented, parse) as permit:
            done = await self._shredder.shred(permit)
            freed = sum(each.length for each in done.forgotten)
            told = {"contents": len(done.forgotten), "bytes": freed, "kept": done.kept, "journal_emptied": done.journal}
            await exchange.answer_json(200, told)

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        versions = "/v1/versions/{kind}/{namespace}/{name}"
        return [
            Route("GET", versions, "admin", ListVersions, self._list),
            Route("POST", f"{versions}/{{commit}}/approve", "admin", ApproveVersion, self._approve),
            Route("POST", f"{versions}/{{commit}}/withdraw", "admin", WithdrawVersion, self._withdraw),
            Route("POST", f"{versions}/{{commit}}/shred", "admin", ShredVersion, self._shred),
        ]


def repository_of(values: Mapping[str, str]) -> RepositoryName:
    """The repository that a path of these routes names. Raises `Malformed`."""
    if values["kind"] not in set(RepositoryKind):
        raise Malformed("there are versions of a dataset or a model")
    return parse_repository_name(RepositoryKind(values["kind"]), f"{values['namespace']}/{values['name']}")


def _reason(body: Mapping[str, object]) -> str:
    reason = text(body, "reason")
    if len(reason) > LONGEST_REASON:
        raise Malformed(f"a reason has at most {LONGEST_REASON} characters")
    return reason


def _commits(body: Mapping[str, object]) -> tuple[str, ...]:
    found = body.get("also", [])
    commits = cast("list[object]", found) if isinstance(found, list) else [None]
    if not all(isinstance(commit, str) and is_commit_id(commit) for commit in commits):
        raise Malformed("also is a list of commit ids")
    return tuple(str(commit) for commit in commits)


def _checks(body: Mapping[str, object]) -> tuple[str, ...]:
    found = body.get("checks", [])
    checks = cast("list[object]", found) if isinstance(found, list) else None
    if checks is None or len(checks) > MOST_CHECKS:
        raise Malformed(f"checks is a list of at most {MOST_CHECKS} names")
    return tuple(text({"check": check}, "check") for check in checks)


def _described(standing: Standing) -> dict[str, object]:
    return {"stage": standing.stage, "by": standing.subject, "at": standing.at, "reason": standing.reason}
