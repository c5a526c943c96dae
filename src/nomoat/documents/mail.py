"""E-mail (RFC 5322, MIME): who wrote to whom, and what."""

import email
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses
from typing import Final, cast

from nomoat.documents.read import LONGEST_TEXT, MOST_PEOPLE, Read, Unreadable
from nomoat.documents.texts import decoded, seen

MOST_PARTS: Final = 500
DEEPEST: Final = 20
MOST_HEADERS: Final = 1_000
_PEOPLE: Final = ("from", "to", "cc", "bcc", "reply-to")


def read(name: str, content: bytes, page: Callable[[str], str], attached: Callable[[str, bytes], str]) -> Read:
    """A mail; `page` reads HTML, `attached` what it brings. Raises `Unreadable`."""
    if content[: 64 << 10].count(b"\n") > MOST_HEADERS * 4 and b"\n\n" not in content[: 256 << 10].replace(b"\r", b""):
        raise Unreadable("its headers do not end")
    message: EmailMessage = email.message_from_bytes(content, policy=default)
    if len(message) > MOST_HEADERS or not message.get("from"):
        raise Unreadable("it is no mail: it is from nobody")
    subject = str(message.get("subject", "")) or name
    texts = [text for text in _texts(message, page, attached) if text.strip()]
    text, hidden = seen("\n\n".join([subject, *texts]))
    told = {"date": str(message.get("date", ""))[:64], "from": str(message.get("from", ""))[:256]}
    return Read(subject[:512], text, told, people=_people(message), hidden=hidden)


def _people(message: EmailMessage) -> tuple[str, ...]:
    said = [str(value) for header in _PEOPLE for value in message.get_all(header, [])]
    addresses = {address.strip().lower() for _, address in getaddresses(said) if "@" in address}
    if len(addresses) > MOST_PEOPLE:
        raise Unreadable(f"it names more than {MOST_PEOPLE:,} people")
    return tuple(sorted(addresses))


def _texts(message: EmailMessage, page: Callable[[str], str], attached: Callable[[str, bytes], str]) -> Iterator[str]:
    """The texts of a mail: of what is said in two forms the plain one, then what is attached."""
    left: list[tuple[EmailMessage, int]] = [(message, 0)]
    seen_parts = length = 0
    while left:
        part, depth = left.pop()
        seen_parts += 1
        if seen_parts > MOST_PARTS or depth > DEEPEST or length > LONGEST_TEXT:
            raise Unreadable("it has too many parts, or they are too deep in each other")
        kind, parts = part.get_content_type(), part.get_payload() if part.is_multipart() else None
        if isinstance(parts, list):
            inner = cast("list[EmailMessage]", parts)
            if kind == "multipart/alternative":
                plain = [each for each in inner if each.get_content_type() == "text/plain"]
                inner = plain[:1] or inner[-1:]
            left += [(each, depth + 1) for each in reversed(inner)]
            continue
        body = part.get_payload(decode=True)
        content = body if isinstance(body, bytes) else b""
        attachment = part.get_filename()
        if attachment and part.get_content_disposition() == "attachment":
            found = f"[{attachment}]\n\n{_attached(attachment, content, attached)}"
        elif kind in {"text/plain", "text/html"}:
            said = decoded(content, part.get_content_charset() or "")
            found = page(said) if kind == "text/html" else said
        else:
            continue
        length += len(found)
        yield found


def _attached(name: str, content: bytes, attached: Callable[[str, bytes], str]) -> str:
    try:
        return attached(name, content)
    except Unreadable:
        return ""  # it is named, and that is all that is known of it
