"""Who is let in on this machine, and with what: the identity behind the door is somebody's.

Rules: a client shows the key, which means nothing anywhere else, or comes by a socket of its owner's. The Host
must be this very door's (a web page that made its own name point here has another one), and nothing that a
browser sends on behalf of a page comes in. An upload URL is a credential by itself and is passed on without any
other. What issues credentials, or administers, is not lent.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from nomoat.core.errors import Refused
from nomoat.core.inference import Call

Headers = Iterable[tuple[bytes, bytes]]

# Not `Sec-Fetch-Mode`, which Node's fetch sends, too: a browser never sends it without `Sec-Fetch-Site`.
_OF_BROWSERS: Final = frozenset({b"origin", b"sec-fetch-site", b"sec-fetch-dest", b"sec-fetch-user"})
_LENT: Final = frozenset(  # of what is under /v1
    {
        *(("GET", name) for name in (b"whoami", b"ca", b"checkpoint", b"consistency", b"models", b"vector_stores")),
        *(("POST", call.encode()) for call in Call),
        *(("GET", b"files"), ("POST", b"files"), ("POST", b"vector_stores")),
    }
)


class TurnedAway(Refused):
    """A local client that may not use this proxy; `status` is what HTTP calls it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Door:
    """One address of a proxy. `hosts` are its values of Host; `key` is '' for a socket, whose owner is checked."""

    hosts: frozenset[bytes]
    key: str = field(repr=False)

    def admit(self, method: str, path: bytes, headers: Headers) -> bool:
        """Return whether the request is passed on with the profile's identity; raise `TurnedAway`.

        False is for an upload URL and for what is asked as nobody, which are passed on with nothing.
        """
        hosts: list[bytes] = []
        shown: list[bytes] = []
        for name, value in headers:
            if name == b"host":
                hosts.append(value.lower())
            elif name == b"authorization":
                shown.append(value)
            elif name == b"x-api-key":  # clients of models
                shown.append(b"Bearer " + value)
            elif name in _OF_BROWSERS:
                raise TurnedAway(403, "this proxy is not for web pages")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            raise TurnedAway(421, "this proxy is not called that; a web page may be trying to reach it")
        if not path.startswith(b"/") or method in {"CONNECT", "TRACE"}:
            raise TurnedAway(400, "the request target is not a path")
        first, _, rest = path[1:].partition(b"/")
        first = unquote_to_bytes(first)  # as the gateway reads it
        # A Hub client has a card validated as nobody (`RepoCard.validate`), and nobody is who that is passed on as.
        # Claude Code asks whether somebody is here before it shows anything.
        public = (method, path) in {("POST", b"/api/validate-yaml"), ("HEAD", b"/")}
        as_nobody = public and self.key != "" and not shown
        bare = (method, first) == ("PUT", b"lfs") or as_nobody
        if self.key and not (bare and not shown):
            self._require_key(shown)
        if first == b"v1" and not _is_lent(method, rest):
            raise TurnedAway(403, "this is not lent to other programs; use the nomoat command")
        return not bare

    def _require_key(self, shown: list[bytes]) -> None:
        expected = f"Bearer {self.key}".encode()
        if len(shown) != 1 or not hmac.compare_digest(shown[0], expected):
            raise TurnedAway(
                401, 'this proxy\'s key is missing or is another one; run: eval "$(nomoat env TOOL --proxy)"'
            )


def _is_lent(method: str, rest: bytes) -> bool:
    """Whether what is under /v1 is lent: models, what finds something in an index, and files that are put into one."""
    if (method, rest) in _LENT:
        return True
    parts, methods = rest.split(b"/"), frozenset[str]()
    match parts:
        case [b"vector_stores", _] | [b"vector_stores", _, b"files", _, b"content"]:
            methods = frozenset({"GET"})
        case [b"vector_stores", _, b"search"] | [b"vector_stores", _, b"chat", b"completions"]:
            methods = frozenset({"POST"})
        case [b"vector_stores", _, b"files"]:
            methods = frozenset({"GET", "POST"})
        case [b"files", _] | [b"vector_stores", _, b"files", _]:
            methods = frozenset({"GET", "DELETE"})
        case _:
            pass
    return method in methods and all(parts)
