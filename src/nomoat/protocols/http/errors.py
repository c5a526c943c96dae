"""Errors → the wire: one table from the error tree to a status, and one plain sentence as the body."""

from typing import Final

from nomoat.core.errors import (
    Conflict,
    Corrupt,
    Disconnected,
    Malformed,
    Misuse,
    NoMoatError,
    NotFound,
    NotPermitted,
    Refused,
    Revoked,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

STATUS: Final[dict[type[NoMoatError], int]] = {
    Unauthenticated: 401,
    Revoked: 401,
    NotPermitted: 403,
    NotFound: 404,
    Malformed: 400,
    TooLarge: 413,
    Conflict: 409,
    Unavailable: 503,
    Corrupt: 500,
    Misuse: 500,
    Disconnected: 499,  # never sent: nobody is there
}


def status_of(error: NoMoatError) -> int:
    """The HTTP status of an error."""
    return STATUS.get(type(error), 500)


def sentence(error: NoMoatError) -> str:
    """What the caller is told: what happened, and the record's number where they may know it."""
    match error:
        case NotFound() | Unauthenticated():
            return error.reason
        case Refused():
            record = f" (record {error.record})" if error.record is not None else ""
            return f"refused: {error.reason}{record}"
        case Unavailable():
            return f"unavailable: {error.part}: {error.reason}; nothing was served."
        case Corrupt():
            return f"refused: {error.what} failed verification; nothing of it was served."
        case _:
            return "internal error; nothing was served"


def headers_of(error: NoMoatError) -> dict[str, str]:
    """Headers that an error's answer carries."""
    match error:
        case Unauthenticated():
            return {"WWW-Authenticate": 'Bearer realm="nomoat"'}
        case Revoked():
            return {"WWW-Authenticate": 'Bearer realm="nomoat", error="invalid_token"'}
        case Unavailable():
            return {"Retry-After": "2"}
        case _:
            return {}
