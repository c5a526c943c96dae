"""The log through its door: receipts, order, what a restart finds."""

import asyncio
from pathlib import Path

import pytest

from nomoat.audit.checkpoint import verify_checkpoint
from nomoat.core.errors import Misuse, Unavailable
from tests.audit.world import World, opening, outcome


def test_a_receipt_names_the_record(tmp_path: Path) -> None:
    async def run() -> None:
        log = await World(tmp_path / "log").open()
        first = log.size
        receipts = await asyncio.gather(*(log.append(opening(on=f"acme/d{n}")) for n in range(50)))
        assert [receipt.index for receipt in receipts] == list(range(first, first + 50))
        assert verify_checkpoint(log.checkpoint(), log.verifier_key).size == log.size == first + 50
        await log.close()

    asyncio.run(run())


def test_a_restart_goes_on_where_it_ended(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await world.open()
        receipt = await log.append(opening())
        log.post(outcome(receipt))
        await log.close()
        size = log.size
        again = await world.open()
        assert again.size == size + 1  # only its own first record: nothing was left open
        await again.close()

    asyncio.run(run())


def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        log = await World(tmp_path / "log").open()
        await log.close()
        with pytest.raises(Unavailable):
            await log.append(opening())
        with pytest.raises(Misuse):
            log.post(opening())

    asyncio.run(run())
