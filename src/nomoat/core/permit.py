"""Permit: the one ticket to a resource, minted by the guard after the record is durable.

Rules: a resource takes its coordinates only from `claim`; a permit is spent once, dies with the
guard's `async with`, and refuses every chunk after its lease was revoked.
"""

from collections.abc import Callable
from typing import Generic, final

from nomoat.core._seal import require_seal
from nomoat.core.decision import Allow, Obligation
from nomoat.core.errors import Misuse, Revoked
from nomoat.core.operation import Operation, OpT, OpT_co, Resolved
from nomoat.core.principal import Principal
from nomoat.core.record import Receipt


@final
class Lease:
    """The revocable part of an access: registered before the decision, so that no revocation misses it.

    `version` is the commit that its permit is about ('' before there is one, and where it is about none), `granted` what its
    permit is for (None before there is one).
    """

    __slots__ = ("_cancel", "granted", "principal", "reason", "revoked", "version")

    def __init__(self, principal: Principal, cancel: Callable[[], object]) -> None:
        self.principal = principal
        self.version = ""
        self.granted: tuple[Resolved[Operation], Allow] | None = None
        self.revoked = False
        self.reason = ""
        self._cancel = cancel

    def revoke(self, reason: str) -> None:
        """Mark the access revoked and cancel the task that serves it. `reason` may be shown."""
        if not self.revoked:
            self.revoked = True
            self.reason = reason
            self._cancel()


@final
class Permit(Generic[OpT_co]):
    """The right to one resolved operation, for the time of one `async with`.

    `principal` is who, `allow` what allowed it, `receipt` the record that is already durable.
    """

    __slots__ = ("_claimed", "_lease", "_over", "_resolved", "allow", "bytes", "outcome", "principal", "receipt")

    def __init__(self, seal: object, resolved: Resolved[OpT_co], allow: Allow, receipt: Receipt, lease: Lease) -> None:
        require_seal(seal, "a permit")
        self._resolved = resolved
        self._lease = lease
        lease.version = resolved.target.version
        lease.granted = (resolved, allow)
        self._claimed = False
        self._over = False
        self.principal = lease.principal
        self.allow = allow
        self.receipt = receipt
        self.bytes = 0
        self.outcome: dict[str, str] = {}

    def claim(self, kind: type[OpT], *applied: type[Obligation]) -> Resolved[OpT]:
        """Spend the permit and return what it is for; `kind` is the operation the resource serves.

        `applied` are the obligations that the resource applies to what it gives out. Raises `Misuse` when
        the permit is spent, over, of another kind or comes with another obligation, `Revoked` when the
        session ended.
        """
        resolved: Resolved[Operation] = self._resolved
        if type(resolved.operation) is not kind:
            raise Misuse(f"a permit for {resolved.operation.action} was claimed as {kind.__name__}")
        if self._claimed:
            raise Misuse("a permit was claimed twice")
        for obligation in self.allow.obligations:
            if not isinstance(obligation, applied):
                raise Misuse(f"{kind.__name__} does not apply an obligation of its permit")
        self.check()
        self._claimed = True
        return resolved  # type: ignore[return-value]  # narrowed by the check of the operation's type above

    def check(self) -> None:
        """Raise `Revoked` if the access was revoked since; call it before each chunk."""
        if self._lease.revoked:
            raise Revoked(self._lease.reason)
        if self._over:
            raise Misuse("a permit was used after its access was over")

    def note(self, *, bytes: int = 0, **outcome: str) -> None:
        """Add to what the outcome record will say: bytes served or stored, and named facts."""
        self.bytes += bytes
        self.outcome.update(outcome)

    def expire(self) -> None:
        """End the permit; the guard calls it when the access is over."""
        self._over = True
