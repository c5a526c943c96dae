"""Nothing is lost on its way to a receiver, whatever the receiver does: duplicates come, gaps do not."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from nomoat.audit.delivery import Cursor, Delivery, Pace, Receiver, cursor_path
from nomoat.audit.log import Log
from nomoat.audit.query import Query
from nomoat.server.receivers import OtlpReceiver, SplunkReceiver
from nomoat.server.syslog import SyslogReceiver
from tests.audit.world import ORIGIN, MemoryKeys, World, opening, outcome, until
from tests.export.receivers import Collector, Kept, Splunk, http_receiver, parse_message, syslog_receiver

FAST = Pace(idle=0.01, first=0.01, longest=0.05)
TOKEN = "splunk-token"


async def fill(log: Log, accesses: int) -> None:
    receipts = await asyncio.gather(*[log.append(opening(f"person:p{each % 7}")) for each in range(accesses)])
    for each, receipt in enumerate(receipts):
        log.post(outcome(receipt, subject=f"person:p{each % 7}"))
    await until(lambda: log.size >= receipts[-1].index + 1 and log.size % 2 == 1)


@asynccontextmanager
async def delivering(
    log: Log, world: World, receiver: Receiver, query: Query | None = None
) -> AsyncGenerator[list[str]]:
    told: list[str] = []
    cursor = Cursor(cursor_path(world.directory.parent, "siem"), ORIGIN)
    delivery = Delivery(log, query or Query(), receiver, cursor, FAST, told.append, told.append)
    task = asyncio.create_task(delivery.run())
    try:
        yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def client(url: str, timeout: float = 0.5) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False)


FAULTS = ["drop", "503", "429", "slow", "kept but dropped", "401", "400", "drop"]


def run(world_of: Path, test: Callable[[Log, World], object]) -> None:
    async def inner() -> None:
        world = World(world_of / "log")
        log = await world.open()
        try:
            await test(log, world)  # type: ignore[misc]
        finally:
            await log.close()

    asyncio.run(inner())


def test_a_collector_that_fails_in_every_way_gets_every_record(tmp_path: Path) -> None:
    async def test(log: Log, world: World) -> None:
        await fill(log, 1200)
        kept = Kept()
        kept.faults.extend(FAULTS)
        with http_receiver(Collector, kept) as url:
            async with client(url) as http, delivering(log, world, OtlpReceiver(http, ORIGIN, "")) as told:
                await until(lambda: not kept.missing(log.size), 30)
                assert len(told) >= len(FAULTS)
        assert not any("p1" in reason or "acme/digits" in reason for reason in told)
        # Duplicates carry the number that tells them.
        assert len(kept.numbers) > log.size

    run(tmp_path, test)


def test_order_is_kept_and_each_outcome_says_whose_it_is(tmp_path: Path) -> None:
    async def test(log: Log, world: World) -> None:
        await fill(log, 50)
        kept = Kept()
        with http_receiver(Collector, kept) as url:
            async with client(url) as http, delivering(log, world, OtlpReceiver(http, ORIGIN, "")):
                # The ends are posted, so they are in the log a moment later than their beginnings.
                await until(lambda: log.size > 100 and not kept.missing(log.size))
        assert kept.numbers == list(range(log.size))
        ends = [event for event in kept.events if event["activity_name"] == "ReadFile" and "status" in event]
        assert len(ends) == 50
        assert {event["actor"]["user"]["name"] for event in ends} == {f"p{each}" for each in range(7)}

    run(tmp_path, test)


def test_attack_content_erased_while_a_receiver_was_down_is_not_sent_to_it(tmp_path: Path) -> None:
    """Neither the batch that waited for it nor an access that began before and ends after the erasure."""

    async def test(log: Log, world: World) -> None:
        open_access, _ = [await log.append(opening(f"person:p{each}")) for each in (1, 2)]
        await fill(log, 20)
        kept = Kept()
        with http_receiver(Collector, kept) as url:
            async with client(url) as http:
                receiver = OtlpReceiver(http, ORIGIN, "")
                kept.faults.extend(["503"] * 1000)
                async with delivering(log, world, receiver) as told:
                    await until(lambda: len(told) >= 2)
                    assert isinstance(world.keys, MemoryKeys)
                    pseudonym = log.pseudonym("person:p1")
                    del world.keys.keys[pseudonym]
                    world.keys.erasures[pseudonym] = log.size
                    log.forget()
                    log.post(outcome(open_access, subject="person:p1"))
                    kept.faults.clear()
                    await log.append(opening("person:p2"))
                    await until(lambda: not kept.missing(log.size))
        assert any("p2" in json.dumps(event) for event in kept.events)
        assert not any('"p1"' in json.dumps(event) for event in kept.events)

    run(tmp_path, test)


def test_a_receiver_that_is_down_is_waited_for_and_the_cursor_survives_us(tmp_path: Path) -> None:
    async def test(log: Log, world: World) -> None:
        await fill(log, 600)
        kept = Kept()
        with http_receiver(Collector, kept) as url:
            async with client(url) as http, delivering(log, world, OtlpReceiver(http, ORIGIN, "")):
                await until(lambda: not kept.missing(log.size))
        before = log.size
        await fill(log, 100)  # while nobody listens, and nobody sends
        async with client(url) as http, delivering(log, world, OtlpReceiver(http, ORIGIN, "")) as told:
            await until(lambda: len(told) >= 2)
            with http_receiver(Collector, kept):
                await until(lambda: not kept.missing(log.size))
        # After an orderly pause nothing comes twice but, at most, the batch whose answer we did not wait for.
        assert min(kept.numbers[before:]) >= before - 500

    run(tmp_path, test)


def test_what_was_taken_and_forgotten_before_it_was_indexed_comes_again(tmp_path: Path) -> None:
    """Splunk says 200, restarts, and has lost it: only its acknowledgement counts."""

    async def test(log: Log, world: World) -> None:
        await fill(log, 700)
        kept = Kept(token=TOKEN)
        kept.faults.extend(["lose", "", "lose", "503", "drop"])
        with http_receiver(Splunk, kept) as url:
            async with client(url) as http:
                receiver = SplunkReceiver(http, ORIGIN, TOKEN, acknowledge=True, within=0.1, every=0.02)
                async with delivering(log, world, receiver) as told:
                    await until(lambda: not kept.missing(log.size), 30)
        assert sum("did not acknowledge" in reason for reason in told) >= 2

    run(tmp_path, test)


def test_a_receiver_that_refuses_a_batch_for_its_size_gets_smaller_ones(tmp_path: Path) -> None:
    async def test(log: Log, world: World) -> None:
        await fill(log, 300)
        kept = Kept()
        kept.faults.extend(["413"] * 4)
        with http_receiver(Collector, kept) as url:
            async with client(url) as http, delivering(log, world, OtlpReceiver(http, ORIGIN, "")):
                await until(lambda: not kept.missing(log.size))
        assert kept.numbers == list(range(log.size))

    run(tmp_path, test)


def test_what_a_receiver_refuses_for_good_is_said(tmp_path: Path) -> None:
    async def test(log: Log, world: World) -> None:
        await fill(log, 5)
        kept = Kept()
        kept.faults.append("partial")
        with http_receiver(Collector, kept) as url:
            async with client(url) as http, delivering(log, world, OtlpReceiver(http, ORIGIN, "")) as told:
                await until(lambda: not kept.missing(log.size) and bool(told))
        assert "rejected 1 of them for good" in told[0]

    run(tmp_path, test)


def test_only_what_matches_the_query_leaves(tmp_path: Path) -> None:
    async def test(log: Log, world: World) -> None:
        await fill(log, 40)
        refused = await log.append(opening("person:mallory", decision="deny"))
        kept = Kept()
        with http_receiver(Collector, kept) as url:
            async with (
                client(url) as http,
                delivering(log, world, OtlpReceiver(http, ORIGIN, ""), Query(decisions=("deny",))),
            ):
                await until(lambda: bool(kept.numbers))
                await asyncio.sleep(0.1)
        assert kept.numbers == [refused.index]

    run(tmp_path, test)


@pytest.mark.parametrize("over_tls", [False, True], ids=["tcp", "tls"])
def test_a_syslog_server_that_fails_in_every_way_gets_every_record(
    tmp_path: Path, over_tls: bool, certificate: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def test(log: Log, world: World) -> None:
        await fill(log, 1200)
        kept = Kept()
        kept.faults.extend(["drop", "unread", "", "orderly", "drop", "slow", "unread"])
        theirs, ours = certificate
        with syslog_receiver(kept, theirs if over_tls else None):
            receiver = SyslogReceiver(("127.0.0.1", kept.port), ORIGIN, ours if over_tls else None, timeout=2)
            async with delivering(log, world, receiver) as told:
                await until(lambda: not kept.missing(log.size), 30)
        assert len(told) == 4  # drop, unread, drop, unread: neither more nor fewer

    run(tmp_path, test)


def test_a_syslog_server_whose_certificate_is_foreign_gets_nothing(
    tmp_path: Path, certificate: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def test(log: Log, world: World) -> None:
        kept = Kept()
        with syslog_receiver(kept, certificate[0]):
            receiver = SyslogReceiver(("127.0.0.1", kept.port), ORIGIN, ssl.create_default_context(), timeout=2)
            async with delivering(log, world, receiver) as told:
                await until(lambda: bool(told))
        assert "certificate does not verify" in told[0]
        assert not kept.numbers

    run(tmp_path, test)


def test_a_message_is_what_rfc_5424_says(tmp_path: Path) -> None:
    async def test(log: Log, world: World) -> None:
        del world
        receipt = await log.append(opening("person:mallory\n<0>1 forged", on="a\x00b \u2028", decision="deny"))
        frame = SyslogReceiver(("127.0.0.1", 1), ORIGIN, None).encode(
            log.walk(receipt.index - 1).take(log.size, most=1)
        )
        length, _, message = frame.partition(b" ")
        assert int(length) == len(message)
        header, event = parse_message(message)
        assert header["priority"] == "<108>1"  # 13 * 8 + 4: log audit, warning
        assert (header["host"], header["app"], header["kind"]) == ("gateway-1", "nomoat", "ReadFile")
        assert f'[meta sequenceId="{receipt.index + 1}"]' in header["data"]
        assert b"\n" not in message
        assert event["metadata"]["uid"] == f"{ORIGIN}/{receipt.index}"

    run(tmp_path, test)


def test_a_log_that_was_put_back_is_delivered_again_from_its_beginning(tmp_path: Path) -> None:
    async def test(log: Log, world: World) -> None:
        await fill(log, 20)
        path = cursor_path(world.directory.parent, "siem")
        cursor = Cursor(path, ORIGIN)
        cursor.keep(10, "2020-01-01T00:00:00.000Z")  # of another record number 10
        assert not Cursor(path, ORIGIN).load(log)
        cursor.keep(10_000, "2020-01-01T00:00:00.000Z")
        assert not Cursor(path, ORIGIN).load(log)
        (record,) = log.walk(9).take(log.size, most=1)
        cursor.keep(10, str(record["at"]))
        again = Cursor(path, ORIGIN)
        assert again.load(log)
        assert again.after == 10
        assert json.loads(path.read_text())["after"] == 10
        kept = Kept()
        cursor.keep(10, "2020-01-01T00:00:00.000Z")
        with http_receiver(Collector, kept) as url:
            async with client(url) as http, delivering(log, world, OtlpReceiver(http, ORIGIN, "")) as told:
                await until(lambda: not kept.missing(log.size))
        assert "not of this log" in told[0]

    run(tmp_path, test)
