"""The errors of the path, and who is at fault.

    NoMoatError
    ├── Refused             the caller's fault; carries a public reason apart from internal detail
    │   ├── Unauthenticated     no credential, or one that does not verify
    │   ├── NotPermitted        policy said no (or a credential is confined to other operations)
    │   │   ├── StepUpRequired      it said no for the age of the authentication alone
    │   │   └── Withheld            what was to be given out has what they may not have
    │   ├── Revoked             the session ended, possibly while serving
    │   ├── NotFound            no such thing, or none that this caller may discover
    │   ├── Malformed           the request is not well formed
    │   ├── TooLarge            over a stated limit
    │   ├── Rejected            a content was examined, and is not taken
    │   ├── Unanswered          a query was run, and there is no answer
    │   ├── OverQuota           a quota has no room for it; there will be some again
    │   │   └── UsedUp              it ran out while it was being served
    │   └── Conflict            it contradicts the present state
    ├── Unavailable         a dependency failed, so closed; trying again may help
    ├── Disconnected        the client left; nobody is there to be told
    ├── Corrupt             stored bytes failed verification; nothing of them was served
    └── Misuse              a bug of ours

Policy returns Deny; only the guard turns it into `NotPermitted`. Protocols map this tree to the
wire in one exhaustive table each.
"""

from typing import Final, NamedTuple

CHALLENGE: Final = "use-nonce"  # RFC 9449, section 8: a step of the protocol; nothing else was wrong


class NoMoatError(Exception):
    """Base of everything that NoMoat raises on purpose."""


class Refused(NoMoatError):
    """The request was refused and the caller can know why.

    `reason` may be shown to the caller; `detail` goes to the log only; `record` is the index of
    the refusal's record once the guard has written it (None before).
    """

    def __init__(self, reason: str, *, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.record: int | None = None


class Holder(NamedTuple):
    """Whose a refused credential verifiably is: a secret that matched or a signature that verified says so.

    `subject` is `person:NAME` or `workload:NAME`; `session` and `device` are ids, '' where there is none.
    `why` says to who reads the log what the caller is not told ('' for nothing more than that).
    """

    subject: str
    session: str = ""
    device: str = ""
    why: str = ""


class Unauthenticated(Refused):
    """No credential was presented, or it does not verify.

    `kind` is a short stable word for counting (for example `expired`, `bad-signature`, `revoked`).
    `holder` is whose the credential is, where it proved that and is over all the same; a claim that
    nothing proves is never one. `counted` says that it was counted, and has no record of its own.
    """

    def __init__(self, reason: str, *, kind: str, detail: str = "", holder: Holder | None = None) -> None:
        super().__init__(reason, detail=detail)
        self.kind = kind
        self.holder = holder
        self.counted = False


class NotPermitted(Refused):
    """No policy permits it, or one forbids it."""


class StepUpRequired(NotPermitted):
    """Nothing is in the way but the age of the authentication: with one of at most `max_age` seconds it is allowed.

    The challenge of RFC 9470.
    """

    def __init__(self, reason: str, *, max_age: int, detail: str = "") -> None:
        super().__init__(reason, detail=detail)
        self.max_age = max_age


class Withheld(NotPermitted):
    """What was allowed, and is there, has something in it that the caller may not have."""


class Revoked(Refused):
    """The session, device, person or workload was revoked."""


class NotFound(Refused):
    """There is no such thing, or none that this caller may discover: the same answer for both.

    `kind` is `repository`, `revision` or `entry`; `version` is the commit that lacks an entry.
    """

    def __init__(self, reason: str, *, kind: str, detail: str = "", version: str = "") -> None:
        super().__init__(reason, detail=detail)
        self.kind = kind
        self.version = version


class Malformed(Refused):
    """The request does not parse."""


class TooLarge(Refused):
    """A part of the request is over its limit."""


class Rejected(Refused):
    """A content was examined and is not accepted; `rule` is the one that it breaks (docs/reference/scanning.md)."""

    def __init__(self, reason: str, *, rule: str, detail: str = "") -> None:
        super().__init__(reason, detail=detail)
        self.rule = rule


class Unanswered(Refused):
    """A query was run and has no answer.

    `reason` tells the caller why, in words that may quote the data that they may see; `ended` is what the record
    says instead, so it quotes none.
    """

    def __init__(self, reason: str, *, ended: str = "") -> None:
        super().__init__(reason)
        self.ended = ended

    def __str__(self) -> str:
        return self.ended or self.reason


class OverQuota(Refused):
    """A quota has no room for it; `quota` is its name, `retry_after` the seconds (1 or more) until it has."""

    def __init__(self, reason: str, *, quota: str, retry_after: int) -> None:
        super().__init__(reason)
        self.quota = quota
        self.retry_after = retry_after


class UsedUp(OverQuota):
    """A quota ran out under an answer that took more than was expected: the rest of it is not served."""


class Conflict(Refused):
    """The request contradicts the present state (already exists, changed meanwhile)."""


class Unavailable(NoMoatError):
    """A part that the path depends on failed, so nothing is served.

    `part` names it (`log`, `state`, `objects`, `clock`, `policy`), `reason` may be shown.
    """

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"{part}: {reason}")
        self.part = part
        self.reason = reason


class Disconnected(NoMoatError):
    """The client left before the answer was complete."""


class Corrupt(NoMoatError):
    """Stored bytes failed verification; `what` names them without a path on the server."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} failed verification")
        self.what = what


class Misuse(NoMoatError):
    """A bug in NoMoat itself: a permit spent twice, claimed as another kind, minted off the path."""
