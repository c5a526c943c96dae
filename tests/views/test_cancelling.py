"""A query ends when its caller leaves, or is not to be served any longer: at the gateway, not only at the caller's side."""

import json
import subprocess
import time
from collections.abc import Callable

from tests.cli.live import Caller
from tests.views.world import DATASET, DECLARED, Desk

ENDLESS = (
    "SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c WHERE hash(a.range, b.range, c.range) = 0"
)
PATIENCE_S = 30  # less than a query may take


def until(found: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)  # the log tells nobody of a new record


def running(desk: Desk, by: Caller) -> tuple["subprocess.Popen[str]", str]:
    """A query without end, and the number of its record."""
    before = desk.newest()[0]["n"] if desk.rows("SELECT 1 FROM masked LIMIT 1") else None
    process = by.start("query", DATASET, ENDLESS, "--view", "masked")
    until(lambda: desk.newest()[0]["n"] != before)
    return process, str(desk.newest()[0]["n"])


def ended(desk: Desk, number: str, how: str) -> bool:
    shown = desk.admin.nomoat("audit", "show", number, "--json")
    return f'"outcome": "{how}"' in json.dumps(shown.json())


def test_leaving_ends_it(desk: Desk) -> None:
    process, number = running(desk, desk.scientist)
    with process:
        process.kill()
    until(lambda: ended(desk, number, "left"))
    assert desk.rows("SELECT count(*) FROM masked")


def test_revoking_the_caller_ends_it(desk: Desk) -> None:
    leaving = desk.live.person(desk.admin, "leaving", 'groups = ["data-scientists"]\nclearance = "internal"')
    process, number = running(desk, leaving)
    assert desk.admin.nomoat("revoke", "person", "leaving").code == 0
    until(lambda: ended(desk, number, "cut"))
    with process:
        _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "revoked" in told


def test_taking_the_view_away_ends_it(desk: Desk) -> None:
    process, number = running(desk, desk.scientist)
    without = DECLARED.partition("  [[dataset.views]]")[0]
    desk.live.declare(desk.admin, without)
    try:
        until(lambda: ended(desk, number, "cut"))
    finally:
        desk.live.declare(desk.admin, DECLARED)
        with process:
            process.kill()
    assert desk.rows("SELECT count(*) FROM masked")
