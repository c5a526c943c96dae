"""A log on a file system of its own that really runs full. Runs in a mount namespace of its own.

unshare -m python -m tests.audit.full_disk MOUNT_POINT COPY_TO
"""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

from nomoat.audit.commit import LogSettings
from nomoat.audit.outage import Mode
from nomoat.core.errors import Unavailable
from nomoat.core.record import Receipt, Record, RecordKind
from tests.audit.world import opening, outcome, shared_world, until

SETTINGS = LogSettings(
    segment_size=200_000, reserve_size=900_000, reserve_slice=60_000, probe_interval=0.02, publish_interval=0.02
)
OPEN = 50  # accesses in flight when the disk runs full
REVOCATION = Record(RecordKind.OPENING, "person:admin", "Revoke", "x", "deny", {"name": "x"}, priority=True)


async def main(mount: Path, copy: Path) -> dict[str, int | str]:
    world = shared_world(mount / "log")
    (mount / "something else").write_bytes(bytes(1_500_000))
    log = await world.open(settings=SETTINGS)
    receipts: list[Receipt] = []
    refused = 0
    while refused < 20:
        results = await asyncio.gather(*(log.append(opening()) for _ in range(20)), return_exceptions=True)
        for result in results:
            if isinstance(result, Receipt):
                receipts.append(result)
                if len(receipts) > OPEN:
                    log.post(outcome(receipts[-1 - OPEN]))
            elif isinstance(result, Unavailable):
                refused += 1
            elif isinstance(result, BaseException):
                raise result
    await until(lambda: log.mode is Mode.RESERVED)
    revoked = (await log.append(REVOCATION)).index
    for receipt in receipts[-OPEN:]:
        log.post(outcome(receipt))
    await until(lambda: log.size >= revoked + OPEN)
    mode = log.mode.name
    # A restart on the full disk needs no hand either.
    await log.close()
    log = await world.open(settings=SETTINGS)
    (mount / "something else").unlink()
    await until(lambda: log.mode is Mode.NORMAL)
    last = (await log.append(opening())).index
    await log.close()
    shutil.copytree(mount / "log", copy)
    return {"acknowledged": len(receipts), "refused": refused, "revoked": revoked, "last": last, "mode": mode}


if __name__ == "__main__":
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", sys.argv[1]], check=True)
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))))  # noqa: T201 - read by the test
