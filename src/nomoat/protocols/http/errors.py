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
    OverQuota,
    Refused,
    Rejected,
    Revoked,
    StepUpRequired,
    TooLarge,
    Unanswered,
    Unauthenticated,
    Unavailable,
    Withheld,
)

STATUS: Final[dict[type[NoMoatError], int]] = {
    Unauthenticated: 401,
    Revoked: 401,
    NotPermitted: 403,
    StepUpRequired: 401,
    Withheld: 403,
    NotFound: 404,
    Malformed: 400,
    TooLarge: 413,
    Rejected: 422,
    Conflict: 409,
    Unanswered: 422,
    OverQuota: 429,
    Unavailable: 503,
    Corrupt: 500,
    Misuse: 500,
    Disconnected: 499,  # never sent: nobody is there
}


_DAMAGED: Final = "Tell whoever runs the gateway: nomoat fsck says more there."
# What is wrong with a proof; everything else is wrong with the token.
_ERRORS: Final = {
    "use-nonce": "use_dpop_nonce",
    **dict.fromkeys(
        ("no-proof", "stale-proof", "replayed", "wrong-method", "wrong-address", "wrong-type", "private-key"),
        "invalid_dpop_proof",
    ),
}


def status_of(error: NoMoatError) -> int:
    """The HTTP status of an error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def sentence(error: NoMoatError) -> str:
    """What the caller is told: what happened, and the record's number where they may know it."""
    match error:
        case NotFound() | Unauthenticated():
            return error.reason
        case Refused():
            again = f"; {_again(error)}" if isinstance(error, StepUpRequired) else ""
            record = f" (record {error.record})" if error.record is not None else ""
            return f"refused: {error.reason}{again}{record}"
        case Unavailable():
            return f"unavailable: {error.part}: {error.reason}; nothing was served."
        case Corrupt():
            return f"refused: {error.what} failed verification; nothing of it was served. {_DAMAGED}"
        case _:
            return "internal error; nothing was served"


def _challenge(kind: str) -> str:
    """What would be accepted, and what was wrong (RFC 6750, section 3; RFC 9449, sections 7.1 and 9)."""
    error = "" if kind == "missing" else f', error="{_ERRORS.get(kind, "invalid_token")}"'
    return f'Bearer realm="nomoat"{error}, DPoP realm="nomoat"{error}, algs="ES256"'


def _again(error: StepUpRequired) -> str:
    return f"it needs a log-in that is at most {error.max_age} seconds old: nomoat login"


def _step_up(error: StepUpRequired) -> str:
    """What would be accepted instead of this authentication (RFC 9470, section 3)."""
    said = f'error="insufficient_user_authentication", error_description="{_again(error)}", max_age="{error.max_age}"'
    return f'Bearer realm="nomoat", {said}, DPoP realm="nomoat", {said}, algs="ES256"'


def headers_of(error: NoMoatError) -> dict[str, str]:
    """Headers that an error's answer carries."""
    match error:
        case Unauthenticated():
            return {"WWW-Authenticate": _challenge(error.kind)}
        case Revoked():
            return {"WWW-Authenticate": _challenge("revoked")}
        case StepUpRequired():
            return {"WWW-Authenticate": _step_up(error)}
        case Unavailable():
            return {"Retry-After": "2"}
        case OverQuota():
            return {"Retry-After": str(error.retry_after)}
        case _:
            return {}
