"""Attacks on a log's files, each by name: what verification says of them."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomoat.audit.checkpoint import WITNESS_KEY, NoteSigner, VerifierKey, sign_checkpoint, verify_checkpoint
from nomoat.audit.commit import LogSettings
from nomoat.audit.quorum import Quorum
from nomoat.audit.report import Fault, Report
from nomoat.audit.segments import WITNESSED_FILE, FrameKind
from nomoat.audit.tree import Head
from nomoat.audit.verification import verify_directory
from nomoat.core.errors import Malformed
from tests.audit.attacks import (
    Part,
    copy,
    edit,
    flip,
    forget_tree,
    frame_offsets,
    put_together,
    records,
    segments,
    take_apart,
)
from tests.audit.world import ORIGIN, World, opening, outcome

SMALL = LogSettings(segment_size=6000, reserve_size=0)


@dataclass
class Written:
    """A closed log of a few segments, and a checkpoint kept from its middle and one from its end."""

    directory: Path
    world: World
    middle: bytes
    end: bytes

    def verify_key(self) -> VerifierKey:
        return NoteSigner(ORIGIN, self.world.signing_key).key

    def verify(self, *kept: bytes, directory: Path | None = None) -> Report:
        return verify_directory(directory or self.directory, self.verify_key(), kept)


async def _write(world: World, batches: int, size: int = 3) -> tuple[bytes, bytes]:
    log = await world.open(settings=SMALL)
    middle = b""
    for batch in range(batches):
        receipts = await asyncio.gather(*(log.append(opening(on=f"acme/d{n}")) for n in range(size)))
        for receipt in receipts:
            log.post(outcome(receipt))
        if batch == batches // 2:
            middle = log.checkpoint()
    await log.close()
    return middle, log.checkpoint()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    world = World(tmp_path / "log")
    middle, end = asyncio.run(_write(world, 8))
    written = Written(world.directory, world, middle, end)
    assert len(segments(world.directory)) >= 3
    return written


def faults(report: Report) -> set[Fault]:
    return {problem.fault for problem in report.problems}


def number(part: Part) -> int:
    return int(json.loads(part.entry)["n"])


# -- Nothing wrong -------------------------------------------------------------------------------------


def test_an_intact_log_without_a_kept_checkpoint(written: Written) -> None:
    report = written.verify()
    assert report.consistent
    assert report.status == "consistent, completeness unproven"
    assert report.records == report.head.size == verify_checkpoint(written.end, written.verify_key()).size
    assert report.open == 0


def test_an_intact_log_with_kept_checkpoints(written: Written) -> None:
    report = written.verify(written.middle, written.end)
    assert report.consistent
    assert report.proven == report.records
    assert report.status.startswith("verified")


def test_no_log_at_all(tmp_path: Path, written: Written) -> None:
    with pytest.raises(Malformed):
        written.verify(directory=tmp_path)


# -- One byte ------------------------------------------------------------------------------------------


def test_flip_a_byte_in_an_entry(written: Written) -> None:
    path = segments(written.directory)[1]
    _, start, _ = next(frame for frame in frame_offsets(path) if frame[0] == FrameKind.RECORD)
    first = number(next(part for part in take_apart(path) if part.kind == FrameKind.RECORD))
    flip(path, start + 40)
    report = written.verify()
    assert report.first_bad is not None
    assert (report.first_bad.fault, report.first_bad.first, report.first_bad.last) == (Fault.DAMAGED, first, first)
    assert len(report.problems) == 1


def test_flip_a_byte_in_a_sealed_box(written: Written) -> None:
    path = segments(written.directory)[1]
    _, _, end = next(frame for frame in frame_offsets(path) if frame[0] == FrameKind.RECORD)
    flip(path, end - 20)
    assert faults(written.verify()) == {Fault.DAMAGED}


def test_flip_a_byte_in_a_sealed_box_and_mend_the_crc(written: Written) -> None:
    target: list[int] = []

    def change(parts: list[Part]) -> None:
        part = parts[records(parts)[1]]
        part.body = part.body[:-1] + bytes([part.body[-1] ^ 1])
        target.append(number(part))

    edit(segments(written.directory)[1], change)
    report = written.verify()
    assert [(p.fault, p.first, p.last) for p in report.problems] == [(Fault.CONTENT, target[0], target[0])]


def test_flip_a_byte_in_a_checkpoint_frame(written: Written) -> None:
    path = segments(written.directory)[0]
    _, start, _ = next(frame for frame in frame_offsets(path) if frame[0] == FrameKind.CHECKPOINT)
    flip(path, start + 30)
    assert Fault.DAMAGED in faults(written.verify())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_found(written: Written, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(segments(written.directory)))
    before = path.read_bytes()
    offset = data.draw(st.integers(0, len(before) - 1))
    flip(path, offset, data.draw(st.integers(0, 7)))
    try:
        assert not written.verify(written.end).consistent
    finally:
        path.write_bytes(before)
    assert written.verify(written.end).consistent


# -- Whole records -------------------------------------------------------------------------------------


def test_drop_a_record(written: Written) -> None:
    dropped: list[int] = []

    def change(parts: list[Part]) -> None:
        dropped.append(number(parts.pop(records(parts)[2])))

    edit(segments(written.directory)[1], change)
    report = written.verify()
    assert report.gaps == [(dropped[0], dropped[0])]
    assert len(report.problems) == 1


def test_reorder_two_records(written: Written) -> None:
    def change(parts: list[Part]) -> None:
        first = next(at for at in records(parts) if at + 1 in records(parts))
        parts[first], parts[first + 1] = parts[first + 1], parts[first]

    edit(segments(written.directory)[1], change)
    assert faults(written.verify()) == {Fault.REORDERED}


def test_duplicate_a_record(written: Written) -> None:
    def change(parts: list[Part]) -> None:
        at = records(parts)[0]
        parts.insert(at, parts[at])

    edit(segments(written.directory)[1], change)
    assert faults(written.verify()) == {Fault.DUPLICATED}


def test_rewrite_a_decision_with_hashes_and_crc(written: Written) -> None:
    changed = _rewrite_a_decision(written)
    report = written.verify()
    assert [(p.fault, p.first, p.last) for p in report.problems] == [(Fault.ALTERED, changed, changed)]


def test_rewrite_a_decision_and_the_stored_hashes_too(written: Written) -> None:
    changed = _rewrite_a_decision(written)
    forget_tree(written.directory)
    report = written.verify()
    assert faults(report) == {Fault.ALTERED}
    problem = report.problems[0]
    assert problem.first <= changed <= problem.last
    assert problem.last - problem.first < 6  # one commit batch: the range between two signed checkpoints


def _rewrite_a_decision(written: Written) -> int:
    changed: list[int] = []

    def change(parts: list[Part]) -> None:
        part = next(p for p in parts if b'"decision":"allow"' in p.entry)
        part.entry = part.entry.replace(b'"decision":"allow"', b'"decision":"deny"')
        changed.append(number(part))

    edit(segments(written.directory)[1], change)
    return changed[0]


def test_splice_in_records_of_another_log(written: Written, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    asyncio.run(_write(other, 8))
    theirs = {number(part): part for path in segments(other.directory) for part in take_apart(path) if part.kind == 82}
    target: list[int] = []

    def change(parts: list[Part]) -> None:
        at = records(parts)[0]
        target.append(number(parts[at]))
        parts[at] = theirs[target[0]]

    edit(segments(written.directory)[1], change)
    report = written.verify()
    assert [(p.fault, p.first, p.last) for p in report.problems] == [(Fault.ALTERED, target[0], target[0])]


def test_splice_in_a_segment_of_another_log(written: Written, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    asyncio.run(_write(other, 8))
    segments(written.directory)[1].write_bytes(segments(other.directory)[1].read_bytes())
    assert Fault.HEADER in faults(written.verify())


# -- Checkpoints ---------------------------------------------------------------------------------------


def test_a_checkpoint_of_a_foreign_key(written: Written) -> None:
    changed: list[int] = []

    def change(parts: list[Part]) -> None:
        part = next(p for p in parts if p.kind == FrameKind.CHECKPOINT)
        head = verify_checkpoint(part.entry, written.verify_key()).head
        part.entry = sign_checkpoint(NoteSigner(ORIGIN, os.urandom(32)), head)
        changed.append(head.size)

    edit(segments(written.directory)[1], change)
    report = written.verify()
    assert faults(report) == {Fault.CHECKPOINT}
    assert report.problems[0].last == changed[0] - 1


def test_the_whole_log_under_a_foreign_key(written: Written, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    asyncio.run(_write(other, 8))
    assert not written.verify(directory=other.directory).consistent


# -- The end, and other histories ----------------------------------------------------------------------


def _truncate(directory: Path) -> None:
    """Cut the log after an earlier checkpoint, cleanly, and forget what says otherwise."""
    last = segments(directory)[-1]
    parts = take_apart(last)
    ends = [at for at, part in enumerate(parts) if part.kind == FrameKind.CHECKPOINT]
    put_together(last, parts[: ends[-2] + 1] if len(ends) > 1 else [])
    (directory / "checkpoint").unlink()


def test_truncate_the_tail_without_a_kept_checkpoint(written: Written) -> None:
    _truncate(written.directory)
    report = written.verify()
    assert report.consistent
    assert report.status == "consistent, completeness unproven"


def test_truncate_the_tail_but_leave_the_checkpoint_file(written: Written) -> None:
    note = (written.directory / "checkpoint").read_bytes()
    _truncate(written.directory)
    (written.directory / "checkpoint").write_bytes(note)
    assert faults(written.verify()) == {Fault.ROLLED_BACK}


def test_truncate_the_tail_against_a_kept_checkpoint(written: Written) -> None:
    size = written.verify().records
    _truncate(written.directory)
    report = written.verify(written.end)
    assert faults(report) == {Fault.ROLLED_BACK}
    assert report.problems[0].last == size - 1
    assert report.problems[0].first == report.records


def test_roll_back_to_yesterdays_copy(written: Written, tmp_path: Path) -> None:
    yesterday = copy(written.directory, tmp_path / "yesterday")
    _, today = asyncio.run(_write(written.world, 2))
    assert written.verify(directory=yesterday).status == "consistent, completeness unproven"
    assert faults(written.verify(today, directory=yesterday)) == {Fault.ROLLED_BACK}
    assert written.verify(written.end, today).consistent


def test_fork_the_log_with_the_real_key(written: Written, tmp_path: Path) -> None:
    fork = copy(written.directory, tmp_path / "fork")
    _, kept = asyncio.run(_write(written.world, 3))
    forked = World(fork, written.world.signing_key, written.world.pseudonym_key, written.world.keys)
    asyncio.run(_write(forked, 4))
    assert written.verify(directory=fork).consistent
    report = written.verify(written.end, kept, directory=fork)
    assert faults(report) == {Fault.FORKED}
    base = verify_checkpoint(written.end, written.verify_key()).size
    assert report.problems[0].first == base
    assert written.verify(written.end, kept).consistent


def test_delete_a_whole_segment(written: Written) -> None:
    gone = segments(written.directory)[1]
    numbers = [number(part) for part in take_apart(gone) if part.kind == FrameKind.RECORD]
    gone.unlink()
    report = written.verify(written.end)
    assert report.gaps == [(numbers[0], numbers[-1])]
    assert len(report.problems) == 1, "one loss is told once"
    forget_tree(written.directory)
    report = written.verify(written.middle, written.end)
    assert report.gaps == [(numbers[0], numbers[-1])]


def test_delete_the_newest_segment(written: Written) -> None:
    segments(written.directory)[-1].unlink()
    size = verify_checkpoint(written.end, written.verify_key()).size
    (written.directory / WITNESSED_FILE).write_bytes(written.end)
    for kept in ([], [written.end], [written.end, written.middle]):
        (problem,) = written.verify(*kept).problems  # one loss is told once
        assert (problem.fault, problem.last) == (Fault.ROLLED_BACK, size - 1)
        assert problem.detail.startswith("a kept" if kept else "the directory's own")


def test_an_unfinished_write_is_no_problem(written: Written) -> None:
    path = segments(written.directory)[-1]
    whole = take_apart(segments(written.directory)[0])[0].encode()
    path.write_bytes(path.read_bytes() + whole[:100])
    report = written.verify(written.end)
    assert report.consistent
    assert report.unfinished == 100


def test_records_that_nobody_signed_do_not_count(written: Written) -> None:
    before = written.verify().records
    last = segments(written.directory)[-1]
    put_together(last, [*take_apart(last), Part(FrameKind.RECORD, *_forged(before))])
    report = written.verify(written.end)
    assert report.records == before
    assert report.unsigned == 1


def _forged(index: int) -> tuple[bytes, bytes]:
    entry = {
        "at": "2026-11-22T19:31:07.412Z", "commitment": "", "decision": "allow", "enforcer": "gateway-1", "kind": "opening",
        "n": index, "on": "", "sealed": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "session": "",
        "what": "ReadFile", "who": "00",
    }  # fmt: skip
    return json.dumps(entry, separators=(",", ":"), sort_keys=True).encode(), b""


# -- Kept and cosigned ---------------------------------------------------------------------------------


def test_a_kept_checkpoint_that_is_not_the_logs(written: Written) -> None:
    foreign = sign_checkpoint(NoteSigner(ORIGIN, os.urandom(32)), Head(1, bytes(32)))
    report = written.verify(foreign, b"nonsense")
    assert faults(report) == {Fault.KEPT}
    assert report.proven is None


def test_a_witnessed_checkpoint_is_told(written: Written) -> None:
    witness = NoteSigner("witness.example/w1", os.urandom(32), WITNESS_KEY)
    text = written.end.partition(b"\n\n")[0] + b"\n"
    cosigned = written.end + witness.cosign(text, 1_795_000_000)
    report = verify_directory(written.directory, written.verify_key(), [cosigned], Quorum((witness.key,), 1))
    assert report.witnessed == report.records
    stranger = NoteSigner("witness.example/w1", os.urandom(32), WITNESS_KEY)
    report = verify_directory(written.directory, written.verify_key(), [cosigned], Quorum((stranger.key,), 1))
    assert report.witnessed is None
    assert [problem.fault for problem in report.problems] == [Fault.UNWITNESSED]
    assert "cosigned by 1 of 1 witnesses (at most by 0)" in str(report.first_bad)


def test_a_quorum_has_to_have_cosigned_one_checkpoint(written: Written) -> None:
    signers = [NoteSigner(f"w{n}.example", bytes([n]) * 32, WITNESS_KEY) for n in (1, 2, 3)]
    keys = tuple(signer.key for signer in signers)
    text = written.end.partition(b"\n\n")[0] + b"\n"
    one, other = (written.end + signer.cosign(text, 1) for signer in signers[:2])

    def report(kept: list[bytes], needed: int) -> Report:
        return verify_directory(written.directory, written.verify_key(), kept, Quorum(keys, needed))

    # Two checkpoints with one signature each, or one signature twice, are not one checkpoint with two.
    assert report([one, other], 1).witnessed == report([], 1).records
    for kept in ([one, other], [one + signers[0].cosign(text, 2)], []):
        found = report(kept, 2)
        assert (found.witnessed, found.consistent) == (None, False)
    both = report([one + signers[1].cosign(text, 1)], 2)
    assert (both.witnessed, both.consistent) == (both.records, True)
