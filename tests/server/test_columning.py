"""Columns are made by a process of the gateway's own, and reports count beyond them."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from nomoat.audit import reports as columns
from nomoat.audit.query import Query
from nomoat.core.errors import Corrupt, Unavailable
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.columning import Columnist, keep_columns
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize
from tests.audit.world import opening, until


def run(tmp_path: Path, test: Callable[[Gateway, Path], Awaitable[None]]) -> None:
    async def inner() -> None:
        data = tmp_path / "data"
        configuration = Configuration("acme.example", "127.0.0.1", 0, ("127.0.0.1",), tmp_path / "kek")
        await initialize(data, configuration, "ann@acme.example", time.time)
        async with open_gateway(data, configuration, time.time) as gateway:
            await test(gateway, data)

    asyncio.run(inner())


async def fill(gateway: Gateway, accesses: int) -> None:
    await asyncio.gather(*(gateway.log.append(opening("person:ann", decision="deny")) for _ in range(accesses)))


def has_chunks(data: Path, number: int) -> bool:
    return len(list((data / "columns").glob("*.chunk"))) == number


async def refused(gateway: Gateway) -> int:
    found = await gateway.reports.report(["who"], Query(decisions=("deny",)), limit=10)
    assert found.counted == gateway.log.size
    return sum(row["accesses"] for row in found.rows)


def test_columns_follow_the_log_while_it_is_written_and_reports_count_beyond_them(tmp_path: Path) -> None:
    async def test(gateway: Gateway, data: Path) -> None:
        keeping = asyncio.create_task(keep_columns(gateway, data))
        for turn in range(2):
            await fill(gateway, columns.CHUNK + 7)
            await until(partial(has_chunks, data, turn + 1), 30)
            await fill(gateway, 5)
            assert await refused(gateway) == (turn + 1) * (columns.CHUNK + 12)
        keeping.cancel()
        await asyncio.wait([keeping])

    run(tmp_path, test)


def test_a_process_that_is_ended_is_started_again(tmp_path: Path) -> None:
    async def test(gateway: Gateway, data: Path) -> None:
        await fill(gateway, 900)
        columnist = Columnist(data, gateway.log.verifier_key)
        assert (await columnist.make(-1, 300)).last == 299
        process = columnist._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        with pytest.raises(Unavailable, match="the process that makes them failed"):
            await columnist.make(299, 300)
        made = await columnist.make(299, 300)
        assert (made.first, made.last) == (300, 599)
        await columnist.end()

    run(tmp_path, test)


def test_it_makes_columns_without_any_key_that_signs(tmp_path: Path) -> None:
    async def test(gateway: Gateway, data: Path) -> None:
        await fill(gateway, 400)
        for path in (data / "keys").iterdir():
            if path.stem != "pseudonyms":
                path.rename(tmp_path / path.name)
        columnist = Columnist(data, gateway.log.verifier_key)
        assert (await columnist.make(-1, 300)).last == 299
        await columnist.end()

    run(tmp_path, test)


def test_what_cannot_be_read_is_said_and_no_chunk_leaves_it_out(tmp_path: Path) -> None:
    async def test(gateway: Gateway, data: Path) -> None:
        await fill(gateway, 400)
        segment = max((data / "log").glob("*.seg*"), key=lambda path: path.stat().st_size)
        whole = segment.read_bytes()
        place = whole.index(b'"n":200')
        segment.write_bytes(whole[:place] + b'"n":299' + whole[place + 7 :])
        columnist = Columnist(data, gateway.log.verifier_key)
        with pytest.raises((Unavailable, Corrupt), match="record 200"):
            await columnist.make(-1, 300)
        segment.write_bytes(whole)
        assert (await columnist.make(-1, 300)).last == 299
        await columnist.end()

    run(tmp_path, test)
