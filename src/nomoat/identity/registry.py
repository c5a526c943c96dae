"""Who is enrolled and which sessions live: the truth in memory that every request is checked against.

Rules: pure, no I/O and no clock. What is not found here is refused, so forgetting fails closed. Only
`add` and `extend` let anybody in, only for what was never ended; `end` is final: nothing sets a
revoked thing back. Whatever is live is in here in full, so that ending something ends all of it.
"""

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, final

from nomoat.core.errors import Holder, Malformed, NotFound, Unauthenticated
from nomoat.core.principal import PrincipalKind
from nomoat.identity.trust_domain import Subject

SWEEP_INTERVAL: Final = 60  # seconds


class Revocable(StrEnum):
    """What can be revoked by name."""

    PERSON = "person"
    WORKLOAD = "workload"
    DEVICE = "device"
    SESSION = "session"


def parse_revocable(text: str) -> Revocable:
    """Parse `person`, `workload`, `device` or `session`; raise `Malformed` otherwise."""
    try:
        return Revocable(text)
    except ValueError:
        raise Malformed("what can be revoked is a person, a workload, a device or a session") from None


@dataclass(slots=True, eq=False)
class Device:
    """A person's registered device; `public_key` is DER, `session` the newest session's id ('' before)."""

    id: str
    person: str
    public_key: bytes = field(repr=False)
    revoked: bool = False
    session: str = ""


@dataclass(slots=True, eq=False)
class Session:
    """One log-in of a person's device, or one run of a workload (`device` ''). Times in Unix seconds."""

    id: str
    kind: PrincipalKind
    subject: str
    device: str
    authenticated_at: int
    expires_at: int
    revoked: bool = False

    @property
    def holder(self) -> Subject:
        """Whose session it is."""
        return Subject(self.kind, self.subject, self.device)


@dataclass(slots=True, eq=False)
class Code:
    """A one-time code by the SHA-256 of its text; `session` and `device` are what the first use made."""

    digest: bytes = field(repr=False)
    kind: PrincipalKind
    subject: str
    expires_at: int
    used: bool = False
    session: str = ""
    device: str = ""
    revoked: bool = False

    @property
    def handle(self) -> str:
        """What stands for the code where a session's id would: in leases and records."""
        return "c-" + _base32(self.digest[:10])


@dataclass(frozen=True, slots=True)
class Ended:
    """What one revocation ended: exact ids, so that writing it twice changes nothing more."""

    kind: Revocable
    name: str
    at: int
    sessions: frozenset[str]
    devices: frozenset[str]
    codes: frozenset[bytes] = field(repr=False)
    handles: frozenset[str]  # every id under which an access in flight may be known
    anew: frozenset[str]  # those of them that were good until then


def new_id(kind: str) -> str:
    """Return a fresh id, `d-…` for a device or `s-…` for a session: 80 random bits, no secret."""
    return f"{kind}-{_base32(secrets.token_bytes(10))}"


def with_new_code(subject: Subject | None = None) -> str:
    """Return how somebody gets in again for whom only a new code can help."""
    of_workload = subject is not None and subject.kind is PrincipalKind.WORKLOAD
    made_by = f" (nomoat enroll {subject.name} --workload)" if subject is not None and of_workload else ""
    return f"ask an administrator for a new code{made_by}, then: nomoat login URL --code CODE --replace"


@final
class Registry:
    """Devices, sessions and codes. `generation` moves whenever something is ended."""

    def __init__(self, devices: Iterable[Device], sessions: Iterable[Session], codes: Iterable[Code]) -> None:
        self.generation = 0
        self._devices = {device.id: device for device in devices}
        self._sessions: dict[str, Session] = {}
        self._codes = {code.digest: code for code in codes}
        self._handles = {code.handle: code for code in self._codes.values()}
        self._swept_at = 0.0
        for session in sorted(sessions, key=lambda session: session.authenticated_at):
            self._insert(session)

    # -- Looking up ---------------------------------------------------------------------------------

    def device(self, name: str) -> Device | None:
        """Return a registered device, revoked or not."""
        return self._devices.get(name)

    def code(self, digest: bytes) -> Code | None:
        """Return a code by its digest, whatever its state."""
        return self._codes.get(digest)

    def code_called(self, handle: str) -> Code | None:
        """Return a code by its handle, whatever its state."""
        return self._handles.get(handle)

    def live(self, name: str, holder: Subject, now: float) -> Session:
        """Return the session called `name` if it is live and `holder`'s; the credential that says so is verified.

        Raises `Unauthenticated`: `revoked`, or `ended` (also for a session that nobody knows).
        """
        session = self._sessions.get(name)
        if session is None or (now >= session.expires_at and not session.revoked):
            answer = f"the session has ended; {self._again(holder)}"
            raise Unauthenticated(answer, kind="ended", holder=_whose(holder, name, "the session has ended"))
        if session.revoked:
            answer = self.revoked_answer(session)
            raise Unauthenticated(
                answer, kind="revoked", detail=name, holder=_whose(holder, name, "the session was revoked")
            )
        if (session.kind, session.subject, session.device) != (holder.kind, holder.name, holder.device):
            raise Unauthenticated("the credential does not belong to its session", kind="wrong-session", detail=name)
        return session

    def revoked_answer(self, session: Session) -> str:
        """Return the sentence for the holder of a revoked session."""
        why = "ask an administrator why, then " if self._has_key(session.holder) else ""
        return f"the session was revoked; {why}{self._again(session.holder)}"

    def _again(self, holder: Subject) -> str:
        """How `holder` gets a session again: with the device's key, as long as that is not revoked too."""
        return "log in again with: nomoat login" if self._has_key(holder) else with_new_code(holder)

    def _has_key(self, holder: Subject) -> bool:
        device = self._devices.get(holder.device)
        return device is not None and not device.revoked

    def newest_session(self, device: Device, now: float) -> Session | None:
        """Return the device's newest session if it is live."""
        session = self._sessions.get(device.session)
        return session if session is not None and not session.revoked and now < session.expires_at else None

    def unused_codes(self, kind: PrincipalKind, subject: str, now: float) -> int:
        """Count the codes of a subject that could still be used."""
        return sum(
            not code.used and not code.revoked and now < code.expires_at
            for code in self._codes.values()
            if (code.kind, code.subject) == (kind, subject)
        )

    def subject_of(self, kind: Revocable, name: str) -> str:
        """Return whose a revocable thing is, as `person:NAME` or `workload:NAME`; '' when it is not known."""
        if kind is Revocable.SESSION:
            session = self._sessions.get(name)
            return "" if session is None else f"{session.kind}:{session.subject}"
        if kind is Revocable.DEVICE:
            device = self._devices.get(name)
            return "" if device is None else f"person:{device.person}"
        return f"{kind}:{name}"

    def subjects(self) -> set[tuple[PrincipalKind, str]]:
        """Everybody who has a session, a device or a code that is not revoked."""
        held = {(session.kind, session.subject) for session in self._sessions.values() if not session.revoked}
        held |= {(PrincipalKind.PERSON, device.person) for device in self._devices.values() if not device.revoked}
        return held | {(code.kind, code.subject) for code in self._codes.values() if not code.revoked and not code.used}

    def made_by(self, code: Code) -> tuple[Revocable, str] | None:
        """Return what a code's first use made and is not revoked: a person's device, a workload's session."""
        if code.kind is PrincipalKind.WORKLOAD:
            session = self._sessions.get(code.session)
            return None if session is None or session.revoked else (Revocable.SESSION, session.id)
        device = self._devices.get(code.device)
        return None if device is None or device.revoked else (Revocable.DEVICE, device.id)

    # -- Letting in ---------------------------------------------------------------------------------

    def add_code(self, code: Code, now: float) -> None:
        """Keep a new code."""
        self._sweep(now)
        self._codes[code.digest] = self._handles[code.handle] = code

    def add_session(self, session: Session, now: float) -> None:
        """Keep a new session of a workload or of a registered device."""
        self._insert(session)
        self._sweep(now)  # after it: the code that made the session must not look spent for nothing

    def add_device(self, device: Device) -> None:
        """Keep a new device."""
        self._devices[device.id] = device

    def withdraw(self, session: Session, device: Device | None = None) -> None:
        """Take back what was added and could not be stored."""
        session.revoked = True
        self._sessions.pop(session.id, None)
        if device is not None:
            device.revoked = True
            self._devices.pop(device.id, None)

    def withdraw_code(self, code: Code) -> None:
        """Take back a code that could not be stored."""
        code.revoked = True
        self._codes.pop(code.digest, None)
        self._handles.pop(code.handle, None)

    def _insert(self, session: Session) -> None:
        self._sessions[session.id] = session
        device = self._devices.get(session.device)
        if device is not None:
            device.session = session.id

    # -- Ending -------------------------------------------------------------------------------------

    def end(self, kind: Revocable, name: str, now: float) -> Ended:
        """Mark everything revoked that goes by `kind` and `name`, and say what it was.

        Raises `NotFound` for a device or session that is not known; people and workloads may be
        named even when nothing of theirs is left.
        """
        devices: set[str] = set()
        codes: list[Code] = []
        if kind is Revocable.SESSION:
            if name not in self._sessions:
                raise NotFound(f"there is no session {name:.40}", kind="entry")
            sessions = {name}
        elif kind is Revocable.DEVICE:
            if name not in self._devices:
                raise NotFound(f"there is no device {name:.40}", kind="entry")
            devices = {name}
            sessions = {session.id for session in self._sessions.values() if session.device == name}
        else:
            subject = (PrincipalKind(kind.value), name)
            sessions = {s.id for s in self._sessions.values() if (s.kind, s.subject) == subject}
            codes = [code for code in self._codes.values() if (code.kind, code.subject) == subject and not code.used]
            if kind is Revocable.PERSON:
                devices = {device.id for device in self._devices.values() if device.person == name}
        anew = self._good(sessions, devices, codes, now)
        self.generation += 1
        for session in sessions:
            self._sessions[session].revoked = True
        for device in devices:
            self._devices[device].revoked = True
        for code in codes:
            code.revoked = True
        handles = sessions | devices | {code.handle for code in codes}
        digests = frozenset(code.digest for code in codes)
        return Ended(kind, name, int(now), frozenset(sessions), frozenset(devices), digests, frozenset(handles), anew)

    def _good(self, sessions: set[str], devices: set[str], codes: list[Code], now: float) -> frozenset[str]:
        """Return what of these somebody could still use, by its handle."""
        live = {name for name in sessions if not (it := self._sessions[name]).revoked and now < it.expires_at}
        unrevoked = {name for name in devices if not self._devices[name].revoked}
        usable = {code.handle for code in codes if not code.revoked and now < code.expires_at}
        return frozenset(live | unrevoked | usable)

    def _sweep(self, now: float) -> None:
        """Forget what can authenticate nobody any more and whose replay would end nothing."""
        if now < self._swept_at + SWEEP_INTERVAL:
            return
        self._swept_at = now
        self._sessions = {name: session for name, session in self._sessions.items() if now < session.expires_at}
        for code in [code for code in self._codes.values() if self._is_spent(code, now)]:
            del self._codes[code.digest]
            self._handles.pop(code.handle, None)

    def _is_spent(self, code: Code, now: float) -> bool:
        if not code.used:
            return code.revoked or now >= code.expires_at
        return not self.made_by(code)


def _whose(holder: Subject, session: str, why: str) -> Holder:
    return Holder(str(holder), session, holder.device, why)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()
