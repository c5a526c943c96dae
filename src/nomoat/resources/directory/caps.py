"""The cap of a dataset as its declaration writes it: `{ files = 20, megabytes = 50 }`."""

from typing import Final, cast

from nomoat.core.directory import Cap
from nomoat.core.errors import Malformed

MEGABYTE: Final = 1_000_000  # bytes
MOST: Final = 1_000_000_000
_WRITTEN: Final = "contributor_cap is written { files = 20, megabytes = 50 }, both whole numbers from 1 on"


def parse_cap(value: object, *, reviewed: bool) -> Cap | None:
    """Parse a cap; None where there is none. Raises `Malformed`, also where no review ends a round to count in."""
    if value is None:
        return None
    table = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if table.keys() != {"files", "megabytes"}:
        raise Malformed(_WRITTEN)
    files, megabytes = [_number(table[name]) for name in ("files", "megabytes")]
    if not reviewed:
        raise Malformed('a contributor_cap counts from one approved version to the next: add review = "required"')
    return Cap(files, megabytes * MEGABYTE)


def describe_cap(cap: Cap) -> dict[str, int]:
    """The inverse of `parse_cap`."""
    return {"files": cap.files, "megabytes": cap.size // MEGABYTE}


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise Malformed(_WRITTEN)
    return value
