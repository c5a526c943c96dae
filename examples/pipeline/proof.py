"""The log, verified on another machine: nothing but a copy, the public keys and a kept checkpoint.

Rules: whoever edits the log here knows its format and repairs every checksum, so that only the
signed tree can tell.
"""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from examples.pipeline.ledger import Row
from examples.pipeline.stage import DemoFailed, Stage, nomoat_command
from nomoat.audit.segments import (
    WITNESSED_FILE,
    FrameKind,
    encode_frame,
    iterate_frames,
    list_segments,
    read_header,
)

LAPTOP: Final = "laptop"
AUDITOR: Final = "auditor, offline"
WHAT: Final = "audit verify"
COSIGNED_S: Final = 10
_DENIED: Final = b'"decision":"deny"'
_ALLOWED: Final = b'"decision":"allow"'


class Laptop:
    """A machine without any part of the gateway: `log_key` and `witness_key` are public, `checkpoint` was kept."""

    def __init__(self, stage: Stage, log_key: str, witness_key: str) -> None:
        self._stage = stage
        self._directory = stage.directory / LAPTOP
        self._directory.mkdir(exist_ok=True)
        self._keys = ("--key", log_key, *(("--witness-key", witness_key) if witness_key else ()))
        self.checkpoint = self._directory / "checkpoint"

    def take(self, log: Path, name: str) -> Path:
        """Copy a log."""
        copy = self._directory / name
        shutil.copytree(log, copy)
        return copy

    def keep(self, checkpoint: Path) -> None:
        """Keep a checkpoint that somebody's profile keeps."""
        shutil.copyfile(checkpoint, self.checkpoint)

    def verify(self, log: Path, *, kept: bool = True) -> tuple[int, Mapping[str, object]]:
        """Verify a copy; returns the exit code and what was found."""
        checkpoint = ("--checkpoint", str(self.checkpoint)) if kept else ()
        command = nomoat_command("audit", "verify", str(log), *self._keys, *checkpoint, "--json")
        done = self._stage.run(LAPTOP, command)
        try:
            return done.code, cast("dict[str, object]", json.loads(done.out))
        except ValueError:
            raise DemoFailed(f"verification said nothing ({done.code}): {done.err.strip()[-500:]}") from None


def edited(laptop: Laptop, log: Path, number: int) -> Row:
    """Turn the refusal with this record number into an access that was allowed."""
    copy = laptop.take(log, "edited")
    _edit(copy, number)
    code, found = laptop.verify(copy)
    named = number in {problem["first"] for problem in _problems(found)}
    return _row("log, one line edited", f"record {number}: {_sentence(found)}", held=code == 4 and named)


def rolled_back(laptop: Laptop, earlier: Path) -> list[Row]:
    """Put an earlier copy in place of the log; first with, then without a checkpoint that somebody kept."""
    code, found = laptop.verify(earlier)
    faults = {problem["fault"] for problem in _problems(found)}
    back = _row("log, yesterday's copy", _sentence(found), held=code == 4 and "rolled back" in faults)
    code, found = laptop.verify(earlier, kept=False)  # as anybody would see it
    why = "IT LOOKS INTACT to whoever kept no checkpoint: consistent, completeness unproven"
    held = code == 0 and found["proven"] is None and not _problems(found)
    return [back, Row("", AUDITOR, WHAT, "yesterday's copy, nothing kept", "unproven", why, held)]


def _row(on: str, why: str, *, held: bool) -> Row:
    return Row("", AUDITOR, WHAT, on, "found" if held else "MISSED", why, held)


def _edit(log: Path, number: int) -> None:
    """Rewrite one refusal in a copy, with lengths and checksums that fit."""
    for _, segment in list_segments(log):
        data = segment.read_bytes()
        _, start = read_header(data)
        for frame in iterate_frames(data, start):
            if frame.kind == FrameKind.RECORD and json.loads(frame.entry)["n"] == number:
                forged = encode_frame(frame.kind, frame.entry.replace(_DENIED, _ALLOWED), frame.body)
                segment.write_bytes(data[: frame.start] + forged + data[frame.end :])
                return
    raise DemoFailed(f"the log has no record {number} to edit")


def _problems(found: Mapping[str, object]) -> list[Mapping[str, object]]:
    return cast("list[Mapping[str, object]]", found["problems"])


def _sentence(found: Mapping[str, object]) -> str:
    problems = _problems(found)
    return str(problems[0]["detail"]) if problems else "no problem was found"


def sentence(found: Mapping[str, object]) -> str:
    """The result of verifying the log itself, in one line."""
    if found["proven"] is None or not found["consistent"]:
        return f"log NOT VERIFIED: {_sentence(found)}"
    size, witnessed = found["size"], found["witnessed"]
    how = "" if witnessed is None else " and witnessed" if witnessed == size else f", witnessed up to {witnessed}"
    gaps = len(cast("list[object]", found["gaps"]))
    return f"log verified: {size} records, checkpoint signed{how}, {gaps} gaps"


def wait_for_witness(log: Path, size: int) -> None:
    """Wait until the witness has cosigned a log of this size, as it does every second."""
    cosigned, until = log / WITNESSED_FILE, time.monotonic() + COSIGNED_S
    while time.monotonic() < until:
        if cosigned.exists() and int(cosigned.read_bytes().split(b"\n")[1]) >= size:
            return
        time.sleep(0.1)
