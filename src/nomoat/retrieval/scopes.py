"""What a caller may read, as it was decided for classes; and which documents that comes to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

Pair: TypeAlias = tuple[bool, bool]
"""Whether a document is the caller's own, and whether it is shared with them."""

PAIRS: Final[tuple[Pair, ...]] = ((False, False), (True, False), (False, True), (True, True))
"""In the order of their codes: 1 for owned, 2 for shared."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """What a caller may read. A document is owned whose owner is `subject`, and shared that has one of `subjects` as a reader.

    `permitted` has, by the number of a class, which documents of it are permitted; a class that is missing has none. Two
    scopes are equal only if they are one: keep it for as long as it holds, and what follows from it is kept, too.
    """

    subject: str
    subjects: frozenset[str]
    permitted: Mapping[int, frozenset[Pair]]
