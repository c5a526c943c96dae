"""Fields of a JSON body or a query, taken strictly: what is not of its type is refused, and so is what is not known."""

from collections.abc import Mapping

from nomoat.core.errors import Malformed


def require_only(body: Mapping[str, object], *names: str) -> None:
    """Raise `Malformed` when the body has a field that nobody asked for."""
    if unknown := set(body) - set(names):
        raise Malformed(f"unknown field {min(unknown)!r:.80}; there are {', '.join(names)}")


def text(body: Mapping[str, object], name: str, default: str | None = None, *, longest: int = 4096) -> str:
    """A text field. Raises `Malformed` when it is missing without a default, no text or too long."""
    value = body.get(name, default)
    if not isinstance(value, str) or len(value) > longest:
        raise Malformed(f"{name} is a text of at most {longest} characters")
    return value


def truth(body: Mapping[str, object], name: str, *, default: bool | None = None) -> bool:
    """A boolean field. Raises `Malformed`."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise Malformed(f"{name} is true or false")
    return value


def size(query: Mapping[str, str], name: str) -> int:
    """A field of a query that is a number: decimal digits, no leading zero, below 2^63. Raises `Malformed`."""
    value = query.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) <= 19) or (value[0] == "0" and value != "0"):
        raise Malformed(f"{name} is a whole number in decimal digits")
    if (number := int(value)) >= 1 << 63:
        raise Malformed(f"{name} is below 2^63")
    return number


def whole(body: Mapping[str, object], name: str, default: int | None = None, *, least: int, most: int) -> int:
    """A whole number between `least` and `most`. Raises `Malformed`."""
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Malformed(f"{name} is a whole number from {least} to {most}")
    return value
