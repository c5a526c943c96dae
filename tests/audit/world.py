"""What the tests of the audit room build on: keys, a clock that stands, subject keys in memory."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nomoat.audit.commit import LogSettings
from nomoat.audit.log import Log
from nomoat.core.record import Json, Receipt, Record, RecordKind
from nomoat.stores.segments import Files

ORIGIN = "acme.example/log"
FAST = LogSettings(probe_interval=0.01, publish_interval=0.01, reserve_size=64 * 1024)


class MemoryKeys:
    """Subject keys that last as long as the test."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}

    def find(self, pseudonym: str) -> bytes | None:
        return self.keys.get(pseudonym)

    async def create(self, pseudonym: str) -> bytes:
        return self.keys.setdefault(pseudonym, os.urandom(32))


@dataclass
class Clock:
    now: float = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """One log's identity: open it as often as you like."""

    directory: Path
    signing_key: bytes = field(default_factory=lambda: os.urandom(32))
    pseudonym_key: bytes = field(default_factory=lambda: os.urandom(32))
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    clock: Clock = field(default_factory=Clock)

    async def open(self, *, files: Files | None = None, settings: LogSettings = FAST) -> Log:
        return await Log.open(
            self.directory,
            signing_key=self.signing_key,
            origin=ORIGIN,
            pseudonym_key=self.pseudonym_key,
            subject_keys=self.keys,
            clock=self.clock,
            files=files,
            settings=settings,
        )


def opening(
    subject: str = "person:scientist", on: str = "acme/digits", decision: str = "allow", **content: Json
) -> Record:
    kind, _, name = subject.partition(":")
    who: Mapping[str, Json] = {"kind": kind, "name": name, "session": "s-1"}
    readable: dict[str, Json] = {"who": who, "what": "ReadFile", "on": {"kind": "Dataset", "name": on}, **content}
    return Record(RecordKind.OPENING, subject, "ReadFile", on, decision, readable)


def outcome(receipt: Receipt, ending: str = "complete", subject: str = "person:scientist") -> Record:
    return Record(RecordKind.OUTCOME, subject, "ReadFile", "", "", {"outcome": ending}, of=receipt.index)
