"""What can go wrong on the caller's side, beyond the errors of the path.

Rules: every message says what happened in one sentence, and `advice` what to do or run next.

    Refused
    ├── NotLoggedIn         the profile holds no log-in, or it ended and cannot renew itself
    ├── BadProfile          the profile's files are damaged, or others could read them
    └── Untrusted           what answered is not the gateway that the code or the profile names
    Unavailable
    ├── Unwritable          the profile's files cannot be written: no room, or no permission
    ├── NoGateway           at the address is no gateway, or none that can be reached
    └── Unintelligible      it answered, but nothing that this version understands
    LogContradicted     the gateway's log contradicts a checkpoint that this profile keeps
"""

from nomoat.core.errors import NoMoatError, Refused, Unavailable

OWN_HOME = "have NOMOAT_HOME name a directory of your own (without it: ~/.config/nomoat)"


class NotLoggedIn(Refused):
    """Nobody is logged in under the profile, or its log-in is over."""

    def __init__(self, profile: str, reason: str = "", *, advice: str = "nomoat login URL --code CODE") -> None:
        super().__init__(reason or f"nobody is logged in under the profile {profile!r}")
        self.advice = advice


class BadProfile(Refused):
    """The profile's files cannot be used as they are."""

    def __init__(self, profile: str, reason: str, *, advice: str = "nomoat login URL --code CODE") -> None:
        super().__init__(f"the profile {profile!r} cannot be used: {reason}")
        self.advice = advice


class Untrusted(Refused):
    """The other side is not the gateway that it should be; nothing secret was sent to it."""

    def __init__(self, reason: str, *, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


class Unwritable(Unavailable):
    """A file of the profile cannot be written as things are; with room and permission it can."""

    def __init__(self, profile: str, file: object, why: str) -> None:
        super().__init__("profile", f"the profile {profile!r} cannot be written: {file}: {why}")
        self.advice = f"{OWN_HOME}, on a disk with room"


class NoGateway(Unavailable):
    """At the address is no gateway, or none that can be reached."""

    def __init__(self, reason: str) -> None:
        super().__init__("gateway", reason)
        self.advice = "check the address and port, and that nomoat serve DIR runs there"


class Unintelligible(Unavailable):
    """The gateway answered, but not what it should: no JSON, a missing field, a status of its own."""

    def __init__(self, reason: str) -> None:
        super().__init__("gateway", reason)


class LogContradicted(NoMoatError):
    """The gateway signed a log that cannot be the one seen before: rolled back, forked, or another key.

    `reason` is the sentence, `kept` and `offered` are the numbers of records of the two checkpoints.
    """

    def __init__(
        self,
        reason: str,
        *,
        kept: int = 0,
        offered: int = 0,
        advice: str = "stop trusting this gateway, keep this profile's checkpoint, tell your security team, and have "
        "a copy of the log checked: nomoat audit verify COPY",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kept = kept
        self.offered = offered
        self.advice = advice
