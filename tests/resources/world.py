"""A gateway in this process with repositories, and the few people and workloads that use them."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from nomoat.core.connection import Capability, Presented
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import (
    Change,
    CreateRepository,
    DescribeRepository,
    GrantUpload,
    Operation,
    ReadFile,
    UploadBlob,
    WriteFile,
)
from nomoat.core.permit import Permit
from nomoat.core.principal import PrincipalKind
from nomoat.guard import Guard
from nomoat.resources.repositories import Catalog, Reading, References, Writing
from tests.guard.world import Actor, World, runs_in, world

OpT = TypeVar("OpT", bound=Operation)

DIGITS = RepositoryName(RepositoryKind.DATASET, "acme", "digits")
SECRETS = RepositoryName(RepositoryKind.DATASET, "acme", "secrets")
READER = RepositoryName(RepositoryKind.MODEL, "acme", "digit-reader")
UNDECLARED = RepositoryName(RepositoryKind.DATASET, "acme", "nothing")

DECLARATION = """
[[group]]
name = "data-scientists"
[[group]]
name = "data-engineers"

[[person]]
name = "scientist"
groups = ["data-scientists"]
clearance = "internal"
[[person]]
name = "visitor"
clearance = "restricted"

[[workload]]
name = "ingest"
segment = "ingestion"
clearance = "restricted"
[[workload]]
name = "ingest-low"
segment = "ingestion"
clearance = "internal"
[[workload]]
name = "train"
segment = "training"
clearance = "confidential"

[[dataset]]
name = "acme/digits"
classification = "confidential"
owner = "group:data-engineers"
files = [
  { path = "metrics.json", labels = ["metrics"], classification = "internal" },
  { path = "open/**", classification = "public" },
]
[[dataset]]
name = "acme/secrets"
classification = "restricted"
[[dataset]]
name = "acme/shelf"
classification = "internal"
[[model]]
name = "acme/digit-reader"
classification = "confidential"
review = "none"
"""


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def body_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@dataclass
class Yard:
    """The gateway, its repositories, and who uses them."""

    world: World
    ingest: Actor = field(init=False)
    train: Actor = field(init=False)
    scientist: Actor = field(init=False)
    visitor: Actor = field(init=False)

    @property
    def guard(self) -> Guard:
        return self.world.gateway.guard

    @property
    def reading(self) -> Reading:
        return self.world.gateway.reading

    @property
    def writing(self) -> Writing:
        return self.world.gateway.writing

    @property
    def references(self) -> References:
        return self.world.gateway.references

    @property
    def catalog(self) -> Catalog:
        return self.writing._catalog

    async def low_ingestion(self) -> Actor:
        """A second ingestion job, cleared for internal things only."""
        return await self.world.joined(PrincipalKind.WORKLOAD, "ingest-low")

    def blob_of(self, name: RepositoryName, path: str) -> Path:
        """The file on disk that holds what `path` has now."""
        created = self.catalog.find(name)
        assert created
        snapshot = self.catalog.snapshot(created, "main")
        assert snapshot
        blob = snapshot.files[path].blob.id
        return self.world.directory / "objects" / blob[:2] / blob

    # -- one line for each operation ------------------------------------------------------------------

    async def create(self, name: RepositoryName, by: Actor | None = None) -> None:
        async with self.guard.admit((by or self.ingest).present(), CreateRepository(name)) as permit:
            await self.writing.create_repository(permit)

    async def grant(self, name: RepositoryName, content: bytes, by: Actor | None = None) -> str:
        wanted = GrantUpload(name, ((digest_of(content), len(content)),))
        async with self.guard.admit((by or self.ingest).present(), wanted) as permit:
            (granted,) = self.writing.grant_upload(permit)
            return granted.secret

    async def put(
        self, name: RepositoryName, content: bytes, secret: str, body: AsyncIterator[bytes] | None = None
    ) -> None:
        wanted = UploadBlob(name, digest_of(content), len(content))
        async with self.guard.admit(self.by_url(secret), wanted) as permit:
            await self.writing.upload_blob(permit, body or body_of(content))

    def by_url(self, secret: str) -> Presented:
        return self.ingest.present(bound=False)._replace(credential=Capability(secret))

    async def upload(self, name: RepositoryName, content: bytes, by: Actor | None = None) -> Change:
        if secret := await self.grant(name, content, by):
            await self.put(name, content, secret)
        return Change("", digest=digest_of(content), size=len(content))

    async def commit(self, name: RepositoryName, *changes: Change, by: Actor | None = None, parent: str = "") -> str:
        operation = WriteFile(name, "main", changes, "test", parent)
        async with self.guard.admit((by or self.ingest).present(), operation) as permit:
            return await self.writing.write_file(permit)

    async def write(self, name: RepositoryName, files: dict[str, bytes], by: Actor | None = None) -> str:
        return await self.commit(name, *(Change(path, content=content) for path, content in files.items()), by=by)

    async def read(self, name: RepositoryName, path: str, by: Actor | None = None, revision: str = "main") -> bytes:
        parts: list[bytes] = []
        await self.read_into(parts, name, path, by, revision)
        return b"".join(parts)

    async def read_into(
        self, parts: list[bytes], name: RepositoryName, path: str, by: Actor | None = None, revision: str = "main"
    ) -> None:
        async with (
            self.guard.admit((by or self.ingest).present(), ReadFile(name, revision, path)) as permit,
            self.reading.read_file(permit) as content,
        ):
            parts.extend(content.parts or ())

    async def head(self, name: RepositoryName, by: Actor | None = None) -> str:
        async with self.guard.admit((by or self.ingest).present(), DescribeRepository(name, "main")) as permit:
            return self.reading.describe_repository(permit).revision.id

    async def permitted(self, operation: OpT, by: Actor) -> Permit[OpT]:
        """Whether the operation is allowed; the permit is over."""
        async with self.guard.admit(by.present(), operation) as permit:
            return permit


@asynccontextmanager
async def yard(tmp_path: Path) -> AsyncGenerator[Yard]:
    async with world(tmp_path) as there:
        found = Yard(there)
        await there.declare(DECLARATION)
        found.ingest = await there.joined(PrincipalKind.WORKLOAD, "ingest")
        found.train = await there.joined(PrincipalKind.WORKLOAD, "train")
        found.scientist = await there.joined(PrincipalKind.PERSON, "scientist")
        found.visitor = await there.joined(PrincipalKind.PERSON, "visitor")
        for name in (DIGITS, SECRETS):
            await found.create(name)
        await found.create(READER, by=found.train)
        yield found


in_yard = runs_in(yard)
