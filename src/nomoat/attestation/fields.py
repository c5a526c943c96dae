"""JSON objects read field by field: of the right type, within limits, no member twice.

Rules: every failure is `Malformed` and names the object and the field. Numbers that are no integers are
refused, as nothing that is signed here has any.
"""

import json
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn, cast, final

from nomoat.core.errors import Malformed, TooLarge

LONGEST_TEXT: Final = 4096  # characters

_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z")


def parse_object(data: bytes, what: str, limit: int) -> Mapping[str, object]:
    """Parse a JSON object (RFC 8259, UTF-8) of at most `limit` bytes; `what` names it in errors.

    Raises `TooLarge`, `Malformed`.
    """
    if len(data) > limit:
        raise TooLarge(f"{what} has at most {limit} bytes")
    try:
        value: object = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        raise Malformed(f"{what} is not a JSON object in which every member stands once") from None
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not a JSON object")
    return cast("Mapping[str, object]", value)


def encode_object(value: Mapping[str, object]) -> bytes:
    """Return the one JSON text that is written for `value`: ASCII, sorted, without blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def encode_time(at: int) -> str:
    """Write Unix seconds as a timestamp (RFC 3339, UTC)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@final
class Fields:
    """An object whose fields are read one by one; `what` names it in errors.

    `closed` names all the fields that it may have (None: it may have more). Raises `Malformed`.
    """

    def __init__(self, value: object, what: str, closed: Sequence[str] | None = None) -> None:
        if not isinstance(value, Mapping):
            raise Malformed(f"{what} is not an object")
        self.value = cast("Mapping[str, object]", value)
        self.what = what
        strange = set(self.value) - set(closed) if closed is not None else set[str]()
        if strange:
            raise Malformed(f"{what} has the unknown field {min(strange)!r:.60}")

    def __contains__(self, name: str) -> bool:
        return name in self.value

    def text(self, name: str) -> str:
        """Return a field that is printable text, not empty."""
        value = self.value.get(name)
        if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT or not value.isprintable():
            self.refuse(name, "a printable text")
        return value

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """Return a list of at most `most` printable texts; none where there is no such field."""
        each = [Fields({name: value}, f"{self.what}, {name}") for value in self.items(name, most)]
        return tuple(one.text(name) for one in each)

    def boolean(self, name: str) -> bool:
        """Return a field that is true or false."""
        value = self.value.get(name)
        if not isinstance(value, bool):
            self.refuse(name, "true or false")
        return value

    def items(self, name: str, most: int) -> Sequence[object]:
        """Return a list of at most `most` things; none where there is no such field."""
        value = self.value.get(name, [])
        if not isinstance(value, list):
            self.refuse(name, "a list")
        found = cast("Sequence[object]", value)
        if len(found) > most:
            raise TooLarge(f"{self.what}: {name} has at most {most} entries")
        return found

    def object(self, name: str, closed: Sequence[str] | None = None) -> "Fields":
        """Return a field that is an object."""
        return Fields(self.value.get(name), f"{self.what}, {name}", closed)

    def base64(self, name: str) -> bytes:
        """Return bytes in the one spelling of base64 (RFC 4648, section 4)."""
        value = self.value.get(name)
        try:
            data = b64decode(value, validate=True) if isinstance(value, str) else b""
        except (Base64Error, ValueError):
            data = b""
        if not data or b64encode(data).decode("ascii") != value:
            self.refuse(name, "canonical base64")
        return data

    def time(self, name: str) -> int:
        """Return a timestamp (RFC 3339, UTC) in whole Unix seconds."""
        value = self.value.get(name)
        form = _TIME.fullmatch(value) if isinstance(value, str) else None
        try:
            return int(datetime.fromisoformat(f"{form[1]}+00:00").timestamp()) if form else self.refuse(name, "a time")
        except ValueError:
            self.refuse(name, "a time")

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Raise `Malformed` for the field `name`, which is not what was expected."""
        raise Malformed(f"{self.what}: {name} is not {expected}")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _refuse(number: str) -> NoReturn:
    raise ValueError("no such number is ever signed: " + number[:8])
