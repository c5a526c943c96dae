"""One-time codes: how a person's device or a workload comes in for the first time.

Rules: a code is for one identity, lives ten minutes, and is kept as its SHA-256 (160 random bits need
no slow derivation), so comparing is looking up a hash that the sender cannot steer. Authenticating
with a code changes nothing; `redeem` spends it and stores what it made in one transaction. Somebody
who comes with a spent code shows that two had it: what the first use made is revoked at once.
Unknown, expired and spent codes get the same public answer.
"""

import secrets
from typing import Final, final

from sqlalchemy import Connection, delete, insert, update

from nomoat.core.enrolment import SECRET_BYTES, EnrolmentCode, parse_enrolment_code
from nomoat.core.errors import Conflict, Holder, Malformed, Unauthenticated, Unavailable
from nomoat.core.names import parse_subject_name
from nomoat.core.principal import PrincipalKind
from nomoat.identity.keys import thumbprint
from nomoat.identity.registry import Code, Device, Session, new_id, with_new_code
from nomoat.identity.sessions import Sessions, begin_session, insert_session, require_not_revoked
from nomoat.stores.state.schema import code as code_table
from nomoat.stores.state.schema import device as device_table

CODE_LIFE: Final = 600  # seconds
OUTSTANDING: Final = 64  # unused codes of one identity

_ANSWER: Final = f"the one-time code is not valid (any more); {with_new_code()}"


@final
class Codes:
    """Creates, checks and redeems codes; `fingerprint` is the SHA-256 of the CA certificate (DER)."""

    def __init__(self, sessions: Sessions, fingerprint: bytes) -> None:
        self._sessions = sessions
        self._registry = sessions.registry
        self._fingerprint = fingerprint

    async def create(self, kind: PrincipalKind, name: str, now: float) -> str:
        """Make a code for a person or workload and return its text, which is kept nowhere.

        Raises `Malformed` for the name, `Conflict` when the identity has 64 unused codes already or
        is revoked meanwhile, `Unavailable` when the code is not stored.
        """
        parse_subject_name(name)
        if self._registry.unused_codes(kind, name, now) >= OUTSTANDING:
            raise Conflict(f"{kind}:{name} has {OUTSTANDING} unused codes already; use one or let them expire")
        made = EnrolmentCode(kind, secrets.token_bytes(SECRET_BYTES), self._fingerprint)
        code = Code(made.digest, kind, name, int(now) + CODE_LIFE)
        # Kept before it is stored, so that a revocation meanwhile finds it; nobody has its text yet.
        self._registry.add_code(code, now)
        try:
            await self._sessions.commit(lambda connection: _insert(connection, code, now))
        except Unavailable:
            self._registry.withdraw_code(code)
            raise
        if code.revoked:
            raise Conflict(f"{kind}:{name} was revoked while the code was made")
        return made.text

    def authenticate(self, text: str, now: float) -> Code:
        """Return the code that `text` is, still unspent; raise `Unauthenticated` otherwise.

        A spent one revokes what its first use made; the error's detail says so.
        """
        try:
            code = self._registry.code(parse_enrolment_code(text).digest)
        except Malformed:
            raise Unauthenticated(_ANSWER, kind="code", detail="malformed") from None
        if code is None:
            raise Unauthenticated(_ANSWER, kind="code", detail="unknown")
        if code.revoked:
            raise _over(code, "code", "a one-time code was used after it was revoked", code.handle)
        if code.used:
            raise self._reused(code, now)
        if now >= code.expires_at:
            raise _over(code, "code", "a one-time code was used after its time", code.handle)
        return code

    async def stored(self) -> None:
        """Return when what a spent code ended is stored."""
        await self._sessions.stored()

    def still_good(self, handle: str, now: float) -> Code:
        """Return the code of a principal that `authenticate` led to; raise `Unauthenticated` if it was ended since."""
        code = self._registry.code_called(handle)
        if code is None or code.revoked or now >= code.expires_at:
            raise Unauthenticated(_ANSWER, kind="code", detail="revoked or expired meanwhile")
        if code.used and self._registry.made_by(code) is None:
            raise Unauthenticated(_ANSWER, kind="code-reused", detail="what it made was revoked meanwhile")
        return code

    async def redeem(self, handle: str, public_key: bytes, now: float) -> Session:
        """Spend a code: register the device (of a person, by its public key, DER) and start the session.

        One transaction stores all of it. Raises `Unauthenticated` for a code that was spent or ended
        since it was authenticated, `Revoked` for one that is ended meanwhile, `Unavailable` when the
        disk fails: then the code can be tried again.
        """
        code = self.still_good(handle, now)
        if code.used:
            refusal = self._reused(code, now)
            await self.stored()
            raise refusal
        device = Device(new_id("d"), code.subject, public_key) if code.kind is PrincipalKind.PERSON else None
        session = begin_session(code.kind, code.subject, "" if device is None else device.id, now)
        # INVARIANT (one use): spent in memory before anything waits, so that a second use finds it spent.
        code.used, code.session, code.device = True, session.id, session.device
        if device is not None:
            self._registry.add_device(device)
        self._registry.add_session(session, now)
        try:
            await self._sessions.commit(lambda connection: _spend(connection, code, device, session, now))
        except Unavailable:
            ended = session.revoked
            self._registry.withdraw(session, device)
            if not ended:
                code.used, code.session, code.device = False, "", ""
            raise
        except Unauthenticated:
            self._registry.withdraw(session, device)
            raise
        require_not_revoked(session)
        return session

    def _reused(self, code: Code, now: float) -> Unauthenticated:
        """Revoke what a spent code made, and return the refusal of its second use."""
        made = self._registry.made_by(code)
        again = "a one-time code was used again"
        if made is None:
            return _over(code, "code-reused", f"{again}; what it made had ended already", code.handle)
        kind, name = made
        self._sessions.revoke_now(kind, name, now)
        detail = f"{code.handle} of {code.kind}:{code.subject} was used again; {kind} {name} is revoked"
        return _over(code, "code-reused", f"{again}; what it made is revoked", detail)


def _over(code: Code, kind: str, why: str, detail: str) -> Unauthenticated:
    """The refusal of a code that matched: the caller is told no more than for an unknown one, the log is."""
    holder = Holder(f"{code.kind}:{code.subject}", code.session, code.device, why)
    return Unauthenticated(_ANSWER, kind=kind, detail=detail, holder=holder)


def _insert(connection: Connection, code: Code, now: float) -> None:
    stale = code_table.c.used_at.is_(None) & (code_table.c.expires_at < now - CODE_LIFE)
    connection.execute(delete(code_table).where(stale))
    row = {
        "hash": code.digest,
        "subject_kind": code.kind.value,
        "subject": code.subject,
        "expires_at": float(code.expires_at),
    }
    connection.execute(insert(code_table).values(row))


def _spend(connection: Connection, code: Code, device: Device | None, session: Session, now: float) -> None:
    unused = (code_table.c.hash == code.digest) & code_table.c.used_at.is_(None)
    spent = connection.execute(update(code_table).where(unused).values(used_at=now, session=session.id))
    if spent.rowcount != 1:  # a use that was stored although its caller was told that it failed
        raise Unauthenticated(_ANSWER, kind="code-reused", detail=f"{code.handle} is spent in the database")
    if device is not None:
        row = {
            "id": device.id,
            "person": device.person,
            "public_key": device.public_key,
            "thumbprint": thumbprint(device.public_key),
            "created_at": now,
        }
        connection.execute(insert(device_table).values(row))
    insert_session(connection, session)
