"""Terms: what the index knows a record by, as numbers that say nothing without a key.

Rules: pure. A term is 64 bits of HMAC-SHA256 over a word of the filter language and what it asks for, under a
key of the index, so that the file holds no name and nobody can try names out on it. Two words may share a
term: whoever uses one looks at the record as well. What `asked` returns must be among a
record's terms whenever `Query` matches it by what it says, and what `ended` returns among those of its outcome
when it matches by that; a test holds them together.
"""

import hmac
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from nomoat.audit.query import SENDS, Query, kinds_of, labels_of, names_of, unversioned
from nomoat.core.errors import Misuse
from nomoat.core.record import Json

_CACHED: Final = 1 << 17
_STOPS: Final = "@: "


class Terms:
    """Makes terms with one key (32 bytes or more)."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise Misuse("the key of an index has at least 32 bytes")

        @lru_cache(maxsize=_CACHED)
        def term(word: str, value: str) -> int:
            message = f"{word}\n{value}".encode("utf-8", "surrogatepass")
            return int.from_bytes(hmac.digest(key, message, "sha256")[:8], "big", signed=True)

        self.term: Final[Callable[[str, str], int]] = term
        self.every: Final = term("every", "")
        """The term of every record that is no outcome."""

    def of_decision(self, what: str, decision: str) -> list[int]:
        """Return the terms of an action and its decision, and that of every record."""
        return [self.every, self.term("what", what), self.term("decision", decision)]

    def of_ending(self, decision: str, upstream: str) -> list[int]:
        """Return the terms of an outcome: of a decision, where it has one, and of the server that was asked."""
        return [self.term(word, value) for word, value in (("ended", decision), ("upstream", upstream)) if value]

    def of_found(self, rules: str) -> list[int]:
        """Return the terms of what was found ('' for nothing)."""
        return [self.term("found", kind) for kind in kinds_of(rules)]

    def of_who(self, who: Mapping[str, Json]) -> list[int]:
        """Return the terms of who it was."""
        kind, name = who.get("kind"), who.get("name")
        return list({self.term("by", value) for value in (kind, name, f"{kind}:{name}") if isinstance(value, str)})

    def of_session(self, session: str) -> list[int]:
        """Return the terms of a session ('' for none)."""
        return [self.term("session", session)] if session else []

    def of_things(self, content: Mapping[str, Json]) -> list[int]:
        """Return the terms of everything that a record says it is on, and of its labels."""
        found = {self.term("on", part) for name in names_of(content) for part in _parts(name)}
        return list(found | {self.term("label", label) for label in labels_of(content)})

    def asked(self, query: Query) -> list[int]:
        """Return the terms that every record matching a query has."""
        words = {"on": query.on, "by": query.by, "what": query.what, "decision": query.decisions}
        words |= {"label": query.labels, "session": query.sessions, "found": query.found}
        if query.upstreams:
            words["what"] = (*query.what, SENDS)
        return [self.term(word, value) for word, values in words.items() for value in values] or [self.every]

    def ended(self, query: Query) -> list[int]:
        """Return the terms one of which an outcome has, if the query matches its opening only with it."""
        return [self.term("ended", value) for value in query.decisions]

    def sent(self, query: Query) -> list[int]:
        """Return the terms that the outcome of every record matching a query has."""
        return [self.term("upstream", value) for value in query.upstreams]


def _parts(name: str) -> Iterator[str]:
    """Yield everything that a thing is within: `acme/digits:a` is within `acme/digits`, in any version."""
    for candidate in {name, unversioned(name)}:
        yield candidate
        yield from (candidate[:at] for at, character in enumerate(candidate) if character in _STOPS)
