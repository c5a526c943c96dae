"""Errors → the headers by which a Hub client tells them apart, and shows our sentence to its user.

`hf_raise_for_status` picks the exception by `X-Error-Code` and appends `X-Error-Message` and the body
to what it prints; an answer to HEAD has no body, so the sentence has to be in the header too. The `hf` command
prints words of its own for most codes, and the sentence only where there is none.
"""

from typing import Final

from nomoat.core.errors import NoMoatError, NotFound, NotPermitted, Unauthenticated
from nomoat.protocols.http.errors import sentence

_LONGEST: Final = 1000  # characters of a sentence in a header
_CODES: Final = {"repository": "RepoNotFound", "revision": "RevisionNotFound", "entry": "EntryNotFound"}

# With exactly these words a client says that its token was refused; with any others, that there is no
# such repository. For who comes without a token the latter is what the Hub says too.
_REFUSED_TOKEN: Final = "Invalid credentials in Authorization header"  # noqa: S105  # words, not a token

HF_COMMAND: Final = "huggingface-cli/"  # how the User-Agent of the `hf` command begins


def error_headers(error: NoMoatError, agent: str = "") -> dict[str, str]:
    """The headers of an error's answer to a client that calls itself `agent` (User-Agent).

    What may not be discovered has those of what is missing.
    """
    match error:
        case NotFound():
            code = {"X-Error-Code": _CODES[error.kind]} if error.kind in _CODES else {}
            commit = {"X-Repo-Commit": error.version} if error.version else {}
            return {**code, **commit, "X-Error-Message": _header(sentence(error))}
        case Unauthenticated() if error.kind != "missing":
            return {"X-Error-Message": _REFUSED_TOKEN}
        case NotPermitted():
            # The one 403 that a download in a program shows as it is; it takes any other for a lost connection.
            # Of that one the command says "requires approval" and no more; of any other what was said.
            code = {} if agent.startswith(HF_COMMAND) else {"X-Error-Code": "GatedRepo"}
            return {**code, "X-Error-Message": _header(sentence(error))}
        case _:
            return {"X-Error-Message": _header(sentence(error))}


def _header(text: str) -> str:
    """The text as a header's value: Latin-1 without control characters."""
    printable = "".join(character if character.isprintable() else " " for character in text[:_LONGEST])
    return printable.encode("latin-1", "replace").decode("latin-1")
