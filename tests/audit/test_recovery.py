"""What a restart repairs by itself, and what it refuses to go on with."""

import asyncio
import json
from pathlib import Path

import pytest

from nomoat.audit.checkpoint import verify_checkpoint
from nomoat.audit.commit import LogSettings
from nomoat.audit.segments import FrameKind, segment_path
from nomoat.audit.tree import Head, leaf_hash, verify_consistency, verify_inclusion
from nomoat.audit.verification import verify_directory
from nomoat.core.errors import Corrupt, Malformed, Misuse, Unavailable
from nomoat.core.record import Receipt
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
from tests.audit.world import FAST, World, kept_records, opening, outcome

SMALL = LogSettings(segment_size=5000, reserve_size=0)


def write(world: World, count: int, settings: LogSettings = SMALL) -> list[Receipt]:
    async def run() -> list[Receipt]:
        log = await world.open(settings=settings)
        receipts = [await log.append(opening()) for _ in range(count)]
        for receipt in receipts:
            log.post(outcome(receipt))
        await log.close()
        return receipts

    return asyncio.run(run())


def reopen(world: World) -> None:
    write(world, 1)


def test_accesses_left_open_are_closed_as_interrupted(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def leave() -> list[int]:
        log = await world.open(settings=SMALL)
        receipts = [await log.append(opening("workload:train")) for _ in range(12)]
        await log.append(opening(decision="deny"))
        log.post(outcome(receipts[0]))
        await log.close()
        return [receipt.index for receipt in receipts[1:]]

    left = asyncio.run(leave())
    reopen(world)
    reopen(world)  # once is enough
    closed = [leaf for leaf, content in kept_records(world) if content.get("outcome") == "interrupted"]
    assert [leaf.of for leaf in closed] == left
    openings = {leaf.number: leaf for leaf, _ in kept_records(world)}
    assert {leaf.fields["who"] for leaf in closed} == {openings[left[0]].fields["who"]}
    assert verify_directory(world.directory, world.key).open == 0


def test_a_torn_last_batch_is_cut(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 5)
    path = segments(world.directory)[-1]
    whole = path.read_bytes()
    torn = take_apart(segments(world.directory)[0])[0].encode()
    for length in (1, 6, 7, len(torn) // 2, len(torn) - 1):
        path.write_bytes(whole + torn[:length])
        reopen(world)
        report = verify_directory(world.directory, world.key)
        assert report.consistent, report.problems
        path = segments(world.directory)[-1]
        whole = path.read_bytes()


def test_a_segment_that_was_only_begun_is_removed(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 20)
    header = segments(world.directory)[1].read_bytes()[:200]
    for length in (0, 10, 21, 25, 200):
        newest = segments(world.directory)[-1]
        segment_path(world.directory, int(newest.stem) + 1).write_bytes(header[:length])
        assert verify_directory(world.directory, world.key).consistent
        reopen(world)
    assert verify_directory(world.directory, world.key).consistent


def test_a_forged_record_behind_the_last_checkpoint_is_never_signed(tmp_path: Path) -> None:
    """Whoever can write the directory and stop the gateway still cannot have a record signed."""
    world = World(tmp_path / "log")
    write(world, 3, FAST)
    path = segments(world.directory)[-1]
    size = verify_directory(world.directory, world.key).records
    parts = take_apart(path)
    genuine = parts[records(parts)[1]]
    entry = json.loads(genuine.entry) | {"n": size}
    forged = Part(FrameKind.RECORD, json.dumps(entry, separators=(",", ":"), sort_keys=True).encode(), genuine.body)
    put_together(path, [*parts, forged])
    reopen(world)
    assert forged.entry not in {part.entry for part in take_apart(path)}
    assert verify_directory(world.directory, world.key).consistent


def test_an_older_record_repeated_behind_the_last_checkpoint_is_cut(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 3, FAST)
    path = segments(world.directory)[-1]
    parts = take_apart(path)
    put_together(path, [*parts, parts[records(parts)[1]]])
    reopen(world)
    assert verify_directory(world.directory, world.key).consistent


def test_a_genuine_record_behind_the_last_checkpoint_stays(tmp_path: Path) -> None:
    """Written but not acknowledged, its checkpoint torn off: it stays, and is signed with the next batch."""
    world = World(tmp_path / "log")
    write(world, 3, FAST)
    (world.directory / "checkpoint").unlink()
    path = segments(world.directory)[-1]
    parts = take_apart(path)
    assert parts[-1].kind == FrameKind.CHECKPOINT
    put_together(path, parts[:-1])
    last = leaf_hash(parts[-2].entry)
    reopen(world)
    assert last in {leaf_hash(part.entry) for part in take_apart(path)}
    opened = [content for leaf, content in kept_records(world) if leaf.fields["what"] == "LogOpened"]
    assert [content["unacknowledged"] for content in opened] == [0, 4]  # three outcomes and `LogClosed`
    assert verify_directory(world.directory, world.key).consistent


# -- What no crash leaves ------------------------------------------------------------------------------


def test_damage_before_the_last_batch_refuses_to_start(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 3, FAST)
    path = segments(world.directory)[-1]
    _, start, _ = next(frame for frame in frame_offsets(path) if frame[0] == FrameKind.RECORD)
    flip(path, start + 40)
    before = path.read_bytes()
    with pytest.raises(Corrupt):
        reopen(world)
    assert path.read_bytes() == before  # the evidence is as it was


def test_a_rewritten_record_refuses_to_start(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 3, FAST)

    def change(parts: list[Part]) -> None:
        part = parts[records(parts)[1]]
        part.entry = part.entry.replace(b'"allow"', b'"deny"')

    edit(segments(world.directory)[-1], change)
    (world.directory / "checkpoint").unlink()  # the last checkpoint among the records says it as well
    with pytest.raises(Corrupt):
        reopen(world)


def test_a_cut_log_refuses_to_start_beside_its_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 5, FAST)
    path = segments(world.directory)[-1]
    parts = take_apart(path)
    ends = [at for at, part in enumerate(parts) if part.kind == FrameKind.CHECKPOINT]
    put_together(path, parts[: ends[1] + 1])
    with pytest.raises(Corrupt):
        reopen(world)


def test_an_older_copy_refuses_to_start_beside_a_newer_witnessed_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 5, FAST)
    older = copy(world.directory, tmp_path / "older")
    write(world, 5, FAST)
    newest = (world.directory / "checkpoint").read_bytes()
    (older / "checkpoint.witnessed").write_bytes(newest)
    world.directory = older
    with pytest.raises(Corrupt):
        reopen(world)


def test_a_forked_log_refuses_to_start_beside_its_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 5, FAST)
    fork = copy(world.directory, tmp_path / "fork")
    write(world, 5, FAST)
    note = (world.directory / "checkpoint").read_bytes()
    world.directory = fork
    write(world, 7, FAST)
    (fork / "checkpoint").write_bytes(note)
    with pytest.raises(Corrupt):
        reopen(world)


def test_another_key_refuses_to_start(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 3)
    other = World(world.directory, keys=world.keys)
    with pytest.raises(Corrupt):
        reopen(other)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        reopen(World(tmp_path / "file" / "log"))


# -- The tree's stored hashes --------------------------------------------------------------------------


def prove(world: World) -> None:
    """Every consistency and a few inclusion proofs of a reopened log verify."""

    async def run() -> None:
        log = await world.open(settings=SMALL)
        head = verify_checkpoint(log.checkpoint(), log.verifier_key).head
        leaves = [
            leaf_hash(part.entry)
            for path in segments(world.directory)
            for part in take_apart(path)
            if part.kind == FrameKind.RECORD
        ]
        for old in range(head.size + 1):
            log.consistency(old)
        for index in range(0, head.size, 7):
            verify_inclusion(leaves[index], index, head, log.inclusion(index))
        for old, new in ((head.size + 1, None), (0, head.size + 1), (2, 1), (-1, 1)):
            with pytest.raises(Malformed):
                log.consistency(old, new)
        with pytest.raises(Misuse):
            log.inclusion(head.size)
        await log.close()

    asyncio.run(run())


def test_stored_hashes_are_made_anew_when_they_are_gone_short_or_wrong(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 30)
    tree = world.directory / "tree"
    prove(world)
    forget_tree(world.directory)
    prove(world)
    tree.write_bytes(tree.read_bytes()[:100])
    prove(world)
    tree.write_bytes(bytes(len(tree.read_bytes())))
    prove(world)


def test_a_wrong_stored_hash_makes_no_proof(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    write(world, 8, FAST)

    async def run() -> None:
        log = await world.open(settings=FAST)
        flip(world.directory / "tree", 0)  # the first leaf
        with pytest.raises(Corrupt):
            log.inclusion(0)
        for sizes in ((1,), (1, 2), (1, log.size), (0, 1)):
            with pytest.raises(Corrupt):
                log.consistency(*sizes)
        await log.close()

    asyncio.run(run())


def test_consistency_holds_from_any_checkpoint_ever_given_out(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        heads: list[Head] = []
        for _ in range(3):
            log = await world.open(settings=SMALL)
            for _ in range(10):
                await log.append(opening())
                heads.append(verify_checkpoint(log.checkpoint(), log.verifier_key).head)
            for number, new in enumerate(heads):
                for old in heads[: number + 1]:
                    verify_consistency(old, new, log.consistency(old.size, new.size))
                verify_consistency(new, heads[-1], log.consistency(new.size))
            await log.close()

    asyncio.run(run())
