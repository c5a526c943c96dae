"""For how long what records say is kept: the `[retention]` of `nomoat.toml`, read strictly, and what it means now.

Rules: a group stands for its actions, an action's own line goes before its group's. What has no line is
kept for good, and so is what the log says of its own life.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from nomoat.audit.forgotten import Forgotten
from nomoat.core.errors import Malformed
from nomoat.policy.cedar import groups_of_actions

AUTHENTICATE: Final = "Authenticate"  # what a refusal of somebody unknown says; no action of policies
LONGEST: Final = 36500  # days


def due_at(now: float, kept: Mapping[str, int]) -> Forgotten:
    """Return what is past its time at Unix second `now`; `kept` has days by action or by group of actions."""
    groups = groups_of_actions()
    days: dict[str, int] = {}
    for action in (*groups, AUTHENTICATE):
        named = [kept[name] for name in (action, *sorted(groups.get(action, ()))) if name in kept]
        if named:
            days[action] = kept[action] if action in kept else max(named)
    moment = datetime.fromtimestamp(now, UTC)
    return Forgotten(
        {
            action: f"{(moment - timedelta(days=count)).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"
            for action, count in days.items()
        }
    )


def parse_retention(table: object) -> Mapping[str, int]:
    """Parse the value of `retention` in the configuration: actions or groups of them, and days. Raises `Malformed`."""
    if not isinstance(table, dict):
        raise Malformed("retention: write it as a table [retention]")
    known = {*groups_of_actions(), *(above for names in groups_of_actions().values() for above in names), AUTHENTICATE}
    kept: dict[str, int] = {}
    for name, days in cast("dict[str, object]", table).items():
        if name not in known:
            raise Malformed(f"retention: {name!r:.60} is no action and no group of actions")
        if type(days) is not int or not 1 <= days <= LONGEST:
            raise Malformed(f"retention: {name} is a number of days, from 1 to {LONGEST}")
        kept[name] = days
    return kept
