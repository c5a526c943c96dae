"""What was read of a document, and how it is said between processes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

LONGEST_TEXT: Final = 600_000  # characters of one document, some two hundred pages
LONGEST_TITLE: Final = 512
MOST_PEOPLE: Final = 1_000  # whom a mail names
MOST_ATTRIBUTES: Final = 16
MOST_EXACT: Final = 1 << 53  # beyond, whole numbers are no numbers of JSON

Attribute = str | float | bool


class Unreadable(ValueError):
    """A document that cannot be read; the message may be told to who sent it."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a document says itself of who may read it, in words; '' and None where it says nothing.

    `readers` are subjects (`person:NAME`, `group:NAME`). Whoever puts it into an index says whether it is to be believed.
    """

    classification: str = ""
    labels: tuple[str, ...] = ()
    owner: str = ""
    readers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A document's title, text (paragraphs are apart by an empty line) and attributes.

    `people` are the addresses that a mail is from and to, each in lower case; `hidden` how many characters were left out that nobody
    sees.
    """

    title: str
    text: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    declared: Declared = Declared()
    people: tuple[str, ...] = ()
    hidden: int = 0


def described(read: Read) -> dict[str, object]:
    """What was read, as JSON."""
    return asdict(read)
