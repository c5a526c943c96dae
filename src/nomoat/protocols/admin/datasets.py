"""ReadManifest and DiffVersions ↔ JSON, for `nomoat dataset`."""

from collections.abc import Mapping
from typing import Final, final

from nomoat.core.chain import FORMAT
from nomoat.core.names import RepositoryKind, RepositoryName, parse_repository_name, parse_revision
from nomoat.core.operation import DiffVersions, ReadManifest
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text
from nomoat.protocols.http.routes import Route
from nomoat.resources.repositories.comparing import Compared, Comparing, Manifest
from nomoat.resources.repositories.drift import Drift

_NEWEST: Final = "candidate"


@final
class DatasetVersionEndpoints:
    """The enforcement point for what versions of a dataset hold."""

    def __init__(self, guard: Guard, comparing: Comparing) -> None:
        self._guard = guard
        self._comparing = comparing

    async def _manifest(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReadManifest:
            body = await exchange.json()
            require_only(body, "revision")
            return ReadManifest(_repository(values), parse_revision(text(body, "revision", _NEWEST)))

        async with self._guard.admit(exchange.presented, parse) as permit:
            manifest = await self._comparing.read_manifest(permit)
            await exchange.answer_json(200, _described(_repository(values), manifest))

    async def _diff(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> DiffVersions:
            body = await exchange.json()
            require_only(body, "base", "revision")
            base = text(body, "base", "")
            revision = parse_revision(text(body, "revision", _NEWEST))
            return DiffVersions(_repository(values), base and parse_revision(base), revision)

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, _told(await self._comparing.diff_versions(permit)))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        dataset = "/v1/datasets/{namespace}/{name}"
        return [
            Route("POST", f"{dataset}/manifest", "admin", ReadManifest, self._manifest),
            Route("POST", f"{dataset}/diff", "admin", DiffVersions, self._diff),
        ]


def _repository(values: Mapping[str, str]) -> RepositoryName:
    return parse_repository_name(RepositoryKind.DATASET, f"{values['namespace']}/{values['name']}")


def _described(name: RepositoryName, manifest: Manifest) -> dict[str, object]:
    links = [
        {
            "commit": link.commit,
            "author": link.author,
            "at": link.at,
            "changes": [list(change) for change in link.changes],
            "hashes": list(link.hashes),
            "destroyed": list(link.destroyed),
            "manifest": link.manifest,
        }
        for link in manifest.links
    ]
    return {
        "format": FORMAT,
        "dataset": str(name),
        "links": links,
        "rows": dict(manifest.rows),
        "withheld": manifest.withheld,
    }


def _told(compared: Compared) -> dict[str, object]:
    found = compared.found
    return {
        "before": compared.before,
        "after": compared.after,
        "withheld": compared.withheld,
        "flags": list(found.flags),
        "added": list(found.added),
        "changed": list(found.changed),
        "removed": list(found.removed),
        "contributors": [
            {
                "contributor": each.contributor,
                "new": each.new,
                "files": each.files,
                "bytes": each.size,
                "rows": each.rows,
            }
            for each in found.contributions
        ],
        "rows": list(found.rows),
        "schema": {name: list(types) for name, types in found.schema.items()},
        "values": [_drift(each) for each in found.values],
        "lengths": [_drift(each) for each in found.lengths],
        "near_duplicates": found.alike._asdict(),
        "unprofiled": dict(found.unprofiled),
    }


def _drift(drift: Drift) -> dict[str, object]:
    told: dict[str, object] = {"column": drift.column, "distance": drift.distance}
    if drift.before:
        return {**told, "before": list(drift.before), "after": list(drift.after)}
    return {**told, "values": {value: list(shares) for value, shares in drift.values.items()}}
