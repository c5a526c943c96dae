"""Walking the log forward: everything in its order, across segments and pauses, and nothing passed over."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.audit.commit import LogSettings
from nomoat.audit.events import Events
from nomoat.audit.query import Query, parse_query
from nomoat.audit.readable import Opener
from nomoat.audit.segments import list_segments
from nomoat.audit.walk import Walk
from nomoat.core.errors import Corrupt
from nomoat.core.record import Json
from tests.audit.world import ORIGIN, World, opening, outcome

SMALL = LogSettings(segment_size=4000, reserve_size=64 * 1024, reserve_slice=16 * 1024, publish_interval=0.01)


def _take_all(walk: Walk, size: int, seen: list[object]) -> None:
    while records := walk.take(size, most=7):
        seen += numbers(records)


def numbers(records: Sequence[Mapping[str, Json]]) -> list[object]:
    return [record["n"] for record in records]


def test_a_walk_takes_everything_in_order_across_segments_while_the_log_grows(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await world.open(settings=SMALL)
        walk, seen = log.walk(), list[object]()
        for turn in range(40):
            await log.append(opening(f"person:p{turn % 3}", on=f"acme/{turn}"))
            if turn % 3 == 0:
                seen += numbers(walk.take(log.size, most=turn % 4 + 1))
        while records := walk.take(log.size, most=7):
            seen += numbers(records)
        assert seen == list(range(log.size))
        assert len(list_segments(world.directory)) > 3
        assert walk.take(log.size, most=7) == []
        again = log.walk(after=17)
        assert numbers(again.take(log.size, most=3)) == [18, 19, 20]
        await log.close()

    asyncio.run(run())


class Written(NamedTuple):
    """A log of many segments, closed; its last record makes it `size`."""

    directory: Path
    opener: Opener
    size: int


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    world = World(tmp_path_factory.mktemp("walk") / "log")

    async def write() -> Written:
        log = await world.open(settings=SMALL)
        for turn in range(30):
            await log.append(opening(on="x" * (turn * 40)))
        size = log.size
        await log.close()
        return Written(world.directory, Opener(ORIGIN, world.keys, {}), size)

    return asyncio.run(write())


@settings(max_examples=40, deadline=None)
@given(chunk=st.integers(64, 3000), most=st.integers(1, 50), room=st.integers(1, 4000))
def test_a_walk_is_the_same_whatever_is_read_at_a_time(written: Written, chunk: int, most: int, room: int) -> None:
    walk, seen = Walk(written.directory, written.opener, chunk=chunk), list[object]()
    while records := walk.take(written.size, most=most, room=room):
        seen += numbers(records)
        assert len(records) <= most
    assert seen == list(range(written.size))


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_walk_stops_at_damage_and_passes_nothing_over(tmp_path: Path, harm: str) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await world.open(settings=SMALL)
        for turn in range(30):
            await log.append(opening(on=f"acme/{turn}"))
        _, path = list_segments(world.directory)[1]
        data = path.read_bytes()
        if harm == "remove":
            path.unlink()
        else:
            path.write_bytes(data[:-200] if harm == "cut" else data[:-200] + bytes([data[-200] ^ 1]) + data[-199:])
        walk, seen = log.walk(), list[object]()
        with pytest.raises(Corrupt, match="record"):
            _take_all(walk, log.size, seen)
        assert seen == list(range(len(seen)))
        assert len(seen) < log.size
        with pytest.raises(Corrupt):
            walk.take(log.size, most=7)
        await log.close()

    asyncio.run(run())


def test_an_outcome_is_told_with_its_access(tmp_path: Path) -> None:
    async def run() -> None:
        log = await World(tmp_path / "log").open()
        mine, other = await log.append(opening("person:ann")), await log.append(opening("person:bob", on="acme/other"))
        await log.append(outcome(mine, "cut", "person:ann"))
        await log.append(outcome(other, "complete", "person:bob"))
        records = log.walk().take(log.size, most=100)
        told = Events().tell(records, parse_query("by ann allowed", 0))
        assert [(event["kind"], event["who"]["name"], event["decision"]) for event in told] == [  # type: ignore[index,call-overload]
            ("opening", "ann", "allow"),
            ("outcome", "ann", "allow"),
        ]
        assert Events().tell(records, parse_query(f"record {other.index}", 0)) == Events().tell(records, Query())[
            2:3
        ] + [event for event in Events().tell(records, Query()) if event.get("of") == other.index]
        # One whose opening was before the walk says nothing that it does not know.
        (late,) = Events().tell([record for record in records if record.get("of") == mine.index], Query())
        assert "name" not in late["who"]  # type: ignore[operator]
        assert late["of"] == mine.index
        await log.close()

    asyncio.run(run())
