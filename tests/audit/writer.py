"""A process that writes a log until it is killed; it prints each receipt after it has it.

python -m tests.audit.writer DIRECTORY
"""

import asyncio
import os
import sys
from pathlib import Path

from nomoat.audit.commit import LogSettings
from tests.audit.world import opening, outcome, shared_world

CONCURRENT = 32
SETTINGS = LogSettings(segment_size=100_000, reserve_size=0, publish_interval=0.02)


async def main(directory: Path) -> None:
    log = await shared_world(directory).open(settings=SETTINGS)

    async def use() -> None:
        while True:
            receipt = await log.append(opening())
            os.write(1, f"{receipt.index} {receipt.leaf.hex()}\n".encode())
            log.post(outcome(receipt))

    await asyncio.gather(*(use() for _ in range(CONCURRENT)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
