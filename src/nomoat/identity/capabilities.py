"""Upload capabilities: the secret part of a URL that stores one exact content, once.

Rules: a capability is one operation of one session and no more: it dies with the session, an hour
after it was made, when it was consumed, and with the process. It is kept by its SHA-256, in memory
only, and in bounded numbers. Whoever presents it still walks the whole path.
"""

import secrets
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, final

from nomoat.core.errors import Conflict, Misuse, TooLarge, Unauthenticated
from nomoat.core.operation import UploadBlob
from nomoat.core.principal import Binding, Principal
from nomoat.identity.trust_domain import Subject

CAPABILITY_LIFE: Final = 3600  # seconds
PER_SESSION: Final = 16_384  # a stock client asks for all of a folder's files before it sends the first
TOGETHER: Final = 65_536
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Grant:
    """What a capability is good for; `obtained` is the binding it was asked for over."""

    holder: Subject
    spiffe_id: str
    session: str
    operation: UploadBlob
    obtained: Binding
    expires_at: int


@final
class Capabilities:
    """The outstanding capabilities of all sessions."""

    def __init__(self) -> None:
        self._grants: dict[bytes, Grant] = {}
        self._by_session: dict[str, dict[bytes, Grant]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._grants)

    def issue(self, who: Principal, operation: UploadBlob, now: float) -> str:
        """Make a capability for `who`'s session and return its secret, which is kept nowhere.

        Raises `TooLarge` when too many are outstanding.
        """
        if who.confined_to is not None:
            raise Misuse("a confined credential asked for a capability")
        self._expire(now)
        if len(self._by_session.get(who.session, ())) >= PER_SESSION or len(self._grants) >= TOGETHER:
            raise TooLarge("too many uploads are outstanding; finish some, or wait until they expire")
        secret = secrets.token_urlsafe(SECRET_BYTES)
        digest = _digest(secret)
        self._grants[digest] = self._by_session[who.session][digest] = Grant(
            holder=Subject(who.kind, who.name, who.device),
            spiffe_id=who.identifier,
            session=who.session,
            operation=operation,
            obtained=who.binding,
            expires_at=int(now) + CAPABILITY_LIFE,
        )
        return secret

    def authenticate(self, secret: str, now: float) -> Grant:
        """Return what `secret` is good for; raise `Unauthenticated` when it is good for nothing."""
        grant = self._grants.get(_digest(secret))
        if grant is None or now >= grant.expires_at:
            # Stock clients do not ask for another one; a new upload sends only what is not here yet.
            reason = "the upload URL was used, has expired or was forgotten in a restart; run the upload again"
            raise Unauthenticated(reason, kind="capability")
        return grant

    def consume(self, who: Principal) -> None:
        """Spend the capability that `who` authenticated with, once its content is stored.

        Every capability of the session for the same content goes with it: there is nothing left to
        upload. Raises `Conflict` when that happened already.
        """
        operation = who.confined_to
        if who.binding is not Binding.CAPABILITY or not isinstance(operation, UploadBlob):
            raise Misuse("only what came by an upload URL can be consumed")
        held = self._by_session.get(who.session, {})
        spent = [digest for digest, grant in held.items() if grant.operation == operation]
        if not spent:
            raise Conflict("the upload URL was used already")
        for digest in spent:
            self._forget(digest)

    def end(self, sessions: frozenset[str]) -> None:
        """Forget every capability of these sessions."""
        for session in sessions:
            for digest in tuple(self._by_session.get(session, ())):
                self._forget(digest)

    def _expire(self, now: float) -> None:
        # All live equally long, so the oldest come first.
        while self._grants:
            digest, grant = next(iter(self._grants.items()))
            if now < grant.expires_at:
                return
            self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        grant = self._grants.pop(digest)
        held = self._by_session[grant.session]
        del held[digest]
        if not held:
            del self._by_session[grant.session]


def _digest(secret: str) -> bytes:
    # Looking a hash up compares nothing that a sender can steer, so it needs no constant time.
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
