"""Errors → the bodies that OpenAI's and Anthropic's clients turn into their own exceptions, whole or within a stream."""

from collections.abc import Mapping
from typing import Final

import orjson

from nomoat.core.errors import (
    NoMoatError,
    NotFound,
    NotPermitted,
    OverQuota,
    Refused,
    Revoked,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from nomoat.core.inference import Dialect
from nomoat.protocols.http.errors import sentence, status_of

# Both name them so; platform.openai.com/docs/guides/error-codes, docs.anthropic.com/en/api/errors.
_TYPES: Final[tuple[tuple[type[NoMoatError], str], ...]] = (
    (Unauthenticated, "authentication_error"),
    (Revoked, "authentication_error"),
    (NotPermitted, "permission_error"),
    (NotFound, "not_found_error"),
    (TooLarge, "request_too_large"),
    (OverQuota, "rate_limit_error"),
    (Refused, "invalid_request_error"),
    (Unavailable, "api_error"),
)
_CODES: Final[tuple[tuple[type[NoMoatError], str], ...]] = (
    (NotFound, "model_not_found"),
    (OverQuota, "rate_limit_exceeded"),
)


def error_body(dialect: Dialect, error: NoMoatError, *, begun: bool = False) -> Mapping[str, object]:
    """The body of an error's answer, or of the end of one that had `begun`."""
    kind = next((name for known, name in _TYPES if isinstance(error, known)), "api_error")
    said = sentence(error)
    if begun:
        said = said.replace("; nothing was served", "; the answer is not whole")
    if dialect is Dialect.ANTHROPIC:
        return {"type": "error", "error": {"type": kind, "message": said}}
    code = next((code for known, code in _CODES if isinstance(error, known)), None)
    return {"error": {"message": said, "type": kind, "param": None, "code": code}}


def error_event(dialect: Dialect, error: NoMoatError) -> bytes:
    """The last event of a stream that ends with an error (server-sent events, WHATWG HTML, section 9.2)."""
    body = error_body(dialect, error, begun=True)
    if dialect is Dialect.OPENAI:
        body = {**body, "status": status_of(error)}
    name = b"event: error\n" if dialect is Dialect.ANTHROPIC else b""
    return b"\n\n" + name + b"data: " + orjson.dumps(body) + b"\n\n"
