"""E-mail (RFC 5322, MIME): who wrote to whom, and what.

Rules: of what is said in several forms, the one is read that a mail program shows: the last it can (RFC 2046, 5.1.4). What hides in
another is not indexed. A header whose addresses are not well formed names nobody: what one program makes of it, another does not.
"""

import email
import re
from collections.abc import Callable, Iterator, Mapping
from email.errors import InvalidHeaderDefect, ObsoleteHeaderDefect
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from typing import Final, TypeAlias, cast

from nomoat.documents import html
from nomoat.documents.read import LONGEST_TEXT, MOST_PEOPLE, Attribute, Read, Unreadable
from nomoat.documents.texts import decoded, one_line, seen

MOST_PARTS: Final = 500
DEEPEST: Final = 20
MOST_HEADERS: Final = 1_000
LONGEST_HEADER: Final = 256 << 10  # bytes, of all headers of a mail together
_PEOPLE: Final = ("from", "to", "cc", "bcc")  # a Reply-To is no reader
_ADDRESS: Final = re.compile(r"[^\s\"<>@,;:()\[\]\\]+@[\w.-]+\.?[\w-]+")
_END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n|\r\r")

Attached: TypeAlias = Callable[[str, bytes], str]
"""Reads what a mail brings, by its name and content. Raises `Unreadable`."""


def read(name: str, content: bytes, attached: Attached) -> Read:
    """A mail. Raises `Unreadable`."""
    end = _END_OF_HEADERS.search(content, 0, LONGEST_HEADER)
    head = content[: end.start() if end else len(content)]
    if len(head) > LONGEST_HEADER or head.count(b"\n") + head.count(b"\r") > 4 * MOST_HEADERS:
        raise Unreadable(f"it has more than {LONGEST_HEADER >> 10} KiB or {MOST_HEADERS:,} lines of headers")
    message: EmailMessage = email.message_from_bytes(content, policy=default)
    if len(message) > MOST_HEADERS or "from" not in message:
        raise Unreadable("it is no mail: it is from nobody")
    subject = one_line(_said(message, "subject"))
    reading = _Reading(attached)
    texts = [text for text in reading.texts(message) if text.strip()]
    text, hidden = seen("\n\n".join([subject, *texts]))
    return Read(subject or name, text, _attributes(message), people=_people(message), hidden=hidden + reading.hidden)


def _said(message: EmailMessage, header: str) -> str:
    try:
        return str(message.get(header, ""))
    except (IndexError, RecursionError, ValueError, AttributeError, TypeError):  # the parser's, of what is no header
        return ""


def _attributes(message: EmailMessage) -> Mapping[str, Attribute]:
    """When it was written (ISO 8601), by whom, and its identifier."""
    try:
        date = message["date"].datetime.isoformat() if message["date"] else ""
    except (AttributeError, IndexError, ValueError, TypeError):
        date = ""
    told = {
        "date": date,
        "from": next(iter(_addresses(message, "from")), ""),
        "message-id": one_line(_said(message, "message-id")),
    }
    return {each: value for each, value in told.items() if value}


def _people(message: EmailMessage) -> tuple[str, ...]:
    found = {address for header in _PEOPLE for address in _addresses(message, header)}
    if len(found) > MOST_PEOPLE:
        raise Unreadable(f"it names more than {MOST_PEOPLE:,} people")
    return tuple(sorted(found))


def _addresses(message: EmailMessage, header: str) -> Iterator[str]:
    """Whom headers of this name are about; one that is not well formed is about nobody."""
    try:
        headers = message.get_all(header, [])
    except (IndexError, RecursionError, ValueError, AttributeError, TypeError):
        return
    for each in headers:
        wrong = [found for found in each.defects if isinstance(found, InvalidHeaderDefect)]
        if any(not isinstance(found, ObsoleteHeaderDefect) for found in wrong):
            continue
        for address in cast("tuple[Address, ...]", each.addresses):
            said = address.addr_spec.lower()
            if _ADDRESS.fullmatch(said):
                yield said


class _Reading:
    """The texts of a mail and of what it brings; `hidden` is how many characters of its pages are not shown."""

    def __init__(self, attached: Attached) -> None:
        self._attached = attached
        self.hidden = 0

    def texts(self, message: EmailMessage) -> Iterator[str]:
        """The texts, in their order. Raises `Unreadable` for too many parts, or too deep ones."""
        left: list[tuple[EmailMessage, int]] = [(message, 0)]
        count = length = 0
        while left:
            part, depth = left.pop()
            count += 1
            if count > MOST_PARTS or depth > DEEPEST or length > LONGEST_TEXT:
                raise Unreadable("it has too many parts, or they are too deep in each other")
            inner = _parts(part)
            if inner is None:
                found = self._text(part)
            else:
                left += [(each, depth + 1) for each in reversed(inner)]
                # A mail that is brought along begins with what it is about, as the whole does.
                is_mail = part.get_content_type() == "message/rfc822" and bool(inner)
                found = one_line(_said(inner[0], "subject")) if is_mail else ""
            length += len(found)
            yield found

    def _text(self, part: EmailMessage) -> str:
        kind, name = part.get_content_type(), part.get_filename()
        body = part.get_payload(decode=True)
        content = body if isinstance(body, bytes) else b""
        if name and (part.get_content_disposition() == "attachment" or kind not in {"text/plain", "text/html"}):
            return f"[{one_line(name)}]\n\n{self._brought(name, content)}"
        if kind == "text/html":
            shown = html.shown(decoded(content, part.get_content_charset() or ""))
            self.hidden += shown.hidden
            return shown.text
        return decoded(content, part.get_content_charset() or "") if kind == "text/plain" else ""

    def _brought(self, name: str, content: bytes) -> str:
        try:
            return self._attached(name, content)
        except Unreadable:
            return ""  # it is named, and that is all that is known of it


def _parts(part: EmailMessage) -> list[EmailMessage] | None:
    """The parts of a part that are read; None for one that has none."""
    payload = part.get_payload() if part.is_multipart() else None
    if not isinstance(payload, list):
        return None
    inner = cast("list[EmailMessage]", payload)
    if part.get_content_type() != "multipart/alternative":
        return inner
    shown = [each for each in inner if each.get_content_type() in {"text/plain", "text/html"} or each.is_multipart()]
    return shown[-1:] or inner[-1:]
