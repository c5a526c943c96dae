"""The body of a commit, newline-delimited JSON → changes, parsed while it arrives.

Rules: one header line, then one line for each change. The number and the length of lines, the
contents of one commit and of all commits together are limited, and a body that is over a limit is
refused at that byte, not after its last one.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Final, cast, final

import orjson

from nomoat.core.errors import Malformed, TooLarge, Unavailable
from nomoat.core.names import is_commit_id, parse_digest, parse_path
from nomoat.core.operation import Change
from nomoat.protocols.http.fields import text, whole
from nomoat.resources.cards import CARD, examine_card
from nomoat.resources.repositories.resolution import MOST_CHANGES

LONGEST_LINE: Final = 6 << 20  # bytes: an inline file of about 4.5 MiB
MOST_CONTENT: Final = 32 << 20  # bytes of all inline files of one commit
MOST_TOGETHER: Final = 256 << 20  # bytes of all inline files of all commits that are being made
LARGEST_FILE: Final = 1 << 50  # bytes that a content may be announced with
LONGEST_TITLE: Final = 1000  # characters


@dataclass(frozen=True, slots=True)
class CommitBody:
    """What a commit says: its title, the parent that its author knows ('' for any), and the changes."""

    title: str
    parent: str
    changes: tuple[Change, ...]


@final
class ContentBudget:
    """The memory that inline contents of all commits together may take."""

    def __init__(self, most: int = MOST_TOGETHER) -> None:
        self._left = most

    @contextmanager
    def share(self) -> Generator["ContentShare"]:
        """A commit's share, given back at the end of the `with`."""
        share = ContentShare(self)
        try:
            yield share
        finally:
            share.give_back()

    def take(self, size: int) -> None:
        """Take `size` bytes. Raises `Unavailable` when others hold too many."""
        if size > self._left:
            raise Unavailable("memory", "too many large commits at once; try again")
        self._left -= size

    def give(self, size: int) -> None:
        """Take `size` bytes back."""
        self._left += size


@dataclass(slots=True)
class ContentShare:
    """What one commit has taken of the budget, in bytes."""

    budget: ContentBudget = field(repr=False)
    taken: int = 0

    def take(self, size: int) -> None:
        """Take `size` bytes more. Raises `TooLarge` when it is too much for one commit."""
        if self.taken + size > MOST_CONTENT:
            raise TooLarge(f"the files in one commit have more than {MOST_CONTENT} bytes; upload them before it")
        self.budget.take(size)
        self.taken += size

    def give_back(self) -> None:
        """Give back all that was taken so far."""
        self.budget.give(self.taken)
        self.taken = 0


async def parse_commit(body: AsyncIterator[bytes], share: ContentShare) -> CommitBody:
    """Parse a commit's body as it arrives. Raises `Malformed` and `TooLarge`."""
    header: tuple[str, str] | None = None
    changes: list[Change] = []
    async with aclosing(_lines(body, share.budget)) as lines:
        async for line in lines:
            key, value = _parse_line(line)
            if header is None:
                if key != "header":
                    raise Malformed("a commit begins with its header")
                header = _parse_header(value)
            else:
                changes.append(_parse_change(key, value, share))
    if header is None:
        raise Malformed("the commit is empty")
    await _require_card(changes)
    return CommitBody(*header, tuple(changes))


async def _lines(body: AsyncIterator[bytes], budget: ContentBudget) -> AsyncGenerator[bytes]:
    """The lines that are not blank. One that is not over yet counts as content."""
    pending, count = bytearray(), 0
    with budget.share() as held:
        async for chunk in body:
            *complete, rest = chunk.split(b"\n")
            for part in complete:
                pending += part
                count += 1
                _require_line(len(pending), count)
                if pending.strip():
                    yield bytes(pending)
                pending.clear()
                held.give_back()
            pending += rest
            _require_line(len(pending), count)
            held.take(len(rest))
            await asyncio.sleep(0)  # a large commit must not starve small requests
        if pending.strip():
            yield bytes(pending)


def _require_line(length: int, count: int) -> None:
    if length > LONGEST_LINE:
        raise TooLarge(f"a line of a commit is longer than {LONGEST_LINE} bytes; upload the file before it")
    if count > MOST_CHANGES + 2:  # the header, and a blank line at the end
        raise TooLarge(f"a commit changes at most {MOST_CHANGES} files")


def _parse_line(line: bytes) -> tuple[str, Mapping[str, object]]:
    try:
        parsed: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise Malformed("a line of the commit is not JSON") from None
    said: Mapping[str, object] = cast("Mapping[str, object]", parsed) if isinstance(parsed, dict) else {}
    value = said.get("value")
    if not isinstance(value, dict):
        raise Malformed("a line of a commit is an object with key and value")
    return text(said, "key", longest=32), cast("Mapping[str, object]", value)


async def _require_card(changes: list[Change]) -> None:
    """Refuse a card whose metadata its readers could not parse, as the Hub does. One that was uploaded is not read."""
    cards = [change.content for change in changes if change.path == CARD and change.content is not None]
    if cards and (errors := (await examine_card(cards[-1].decode("utf-8", "replace"))).errors):
        raise Malformed(f"invalid metadata in {CARD}: {'; '.join(errors)}")


def _parse_header(value: Mapping[str, object]) -> tuple[str, str]:
    parent = text(value, "parentCommit", "", longest=40)
    if parent and not is_commit_id(parent):
        raise Malformed("parentCommit is a commit id of 40 lower-case hexadecimal digits")
    return text(value, "summary", longest=LONGEST_TITLE), parent


def _parse_change(key: str, value: Mapping[str, object], share: ContentShare) -> Change:
    path = text(value, "path", longest=512)
    match key:
        case "file":
            return Change(parse_path(path), content=_parse_content(value, share))
        case "lfsFile":
            if value.get("algo", "sha256") != "sha256":
                raise Malformed("an lfsFile is named by its SHA-256")
            size = whole(value, "size", -1, least=0 if "size" in value else -1, most=LARGEST_FILE)
            return Change(parse_path(path), digest=parse_digest(text(value, "oid", longest=64)), size=size)
        case "deletedFile":
            return Change(parse_path(path), removal=True)
        case "deletedFolder":
            return Change(parse_path(path.rstrip("/")), removal=True, folder=True)
        case _:
            raise Malformed(f"a commit has no line {key!r:.40}; there are file, lfsFile, deletedFile and deletedFolder")


def _parse_content(value: Mapping[str, object], share: ContentShare) -> bytes:
    content, encoding = text(value, "content", longest=LONGEST_LINE), text(value, "encoding", "utf-8", longest=16)
    if encoding == "utf-8":
        decoded = content.encode()
    elif encoding == "base64":
        share.take(len(content) // 4 * 3)
        try:
            return base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise Malformed("the content of a file is not base64") from None
    else:
        raise Malformed("the encoding of a file's content is base64 or utf-8")
    share.take(len(decoded))
    return decoded
