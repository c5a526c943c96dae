"""The guard: the one path that every access takes. Start reading here.

    1  authenticate   who is asking, verified for this very request, from headers and connection alone
    2  resolve        names become immutable ids, versions and labels, from one snapshot
    3  decide         the lease is registered first, so that a revocation from here on finds the access
    4  record         the decision is durable before anything else happens; refusals too
    5  recheck        if anything moved while the disk was busy: again from 1
    6  permit         minted only now; it carries the resolved target and the receipt
    7  serve          the handler's own coroutine, inside `async with`; it checks before each chunk
    8  close          the outcome is recorded; a revoked access ends as `cut`

Rules: whatever fails on the way fails closed. There is no second way in, no flag that skips a step
and no ambient context that could stand in for one.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeAlias

from nomoat.audit.log import Log
from nomoat.core._seal import SEAL
from nomoat.core.connection import Presented
from nomoat.core.decision import CONFINED, Context, Decision, Deny
from nomoat.core.durations import Durations
from nomoat.core.errors import (
    Conflict,
    NoMoatError,
    NotFound,
    NotPermitted,
    Refused,
    Revoked,
    Unauthenticated,
    Unavailable,
)
from nomoat.core.operation import Operation, OpT, Resolved
from nomoat.core.permit import Lease, Permit
from nomoat.core.principal import Principal
from nomoat.core.record import Receipt
from nomoat.guard.leases import Leases, cancel
from nomoat.guard.obligations import decide_resolved, withholds_more
from nomoat.guard.recording import ending_of, opening, outcome, overtaken, reasons, refusal_without_target
from nomoat.guard.step_up import denial
from nomoat.guard.strangers import Strangers
from nomoat.identity.authenticator import Authenticator
from nomoat.policy.engine import PolicySnapshot, decide

ATTEMPTS: Final = 4  # how often an access may be overtaken by changes before it is told to come back

Epoch: TypeAlias = tuple[object, ...]
Asked: TypeAlias = OpT | Callable[[Principal], Awaitable[OpT]]


class Resolver(Protocol[OpT]):
    """Turns names into what they mean now; raises `NotFound` or `Malformed`, does no I/O that waits."""

    def __call__(self, principal: Principal, operation: OpT, /) -> Resolved[OpT]: ...


class Guard:
    """The path, wired: `admit` is its only door. `TracedGuard` is the same path, with a clock beside it.

    `resolvers` has one entry for each Operation that can be served (an operation without one is refused). Where
    resolving costs more than deciding, `glances` has what can be said without it: who is denied that is refused
    before the work is done. `policies` returns the active policies, `candidate` those on trial, which change no
    answer. `epoch` returns a value that changes with every revocation, directory, policies or repository.
    """

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        resolvers: Mapping[type[Operation], Resolver[Any]],
        glances: Mapping[type[Operation], Resolver[Any]] | None = None,
        policies: Callable[[], PolicySnapshot],
        candidate: Callable[[], PolicySnapshot | None] = lambda: None,
        epoch: Callable[[], Epoch],
        log: Log,
        clock: Callable[[], float],
    ) -> None:
        self._authenticator = authenticator
        self._resolvers = resolvers
        self._glances = glances or {}
        self._policies = policies
        self._trial = candidate
        self._epoch = epoch
        self._log = log
        self._keep = log.submit
        self._clock = clock
        self.leases = Leases()
        self.durations = Durations()
        self.strangers = Strangers(log, clock, authenticator.stored)

    @asynccontextmanager
    async def admit(self, presented: Presented, asked: Asked[OpT]) -> AsyncGenerator[Permit[OpT]]:
        """Walk the path for one operation and yield its `Permit`; leaving the `async with` closes it.

        `asked` is the operation, or a coroutine function that parses it from the body and is called
        only after authentication. Raises `Refused` (already recorded: `record` says where),
        `Revoked` when the session ends on the way or while serving, `Unavailable` when a part of the
        path failed.
        """
        seen = self._epoch()
        principal = await self._authenticate(presented)
        task = asyncio.current_task()
        lease = Lease(principal, lambda: cancel(task))
        with self.leases.register(lease):
            try:
                operation = await self._parse(presented, principal, asked) if callable(asked) else asked
                self.leases.describe(lease, presented, operation)
                permit = await self._pass(presented, operation, lease, seen)
                started, ending = self._clock(), "interrupted"
                try:
                    yield permit
                    ending = "complete"
                except NoMoatError as error:
                    ending = ending_of(error)
                    permit.outcome.update(reasons(error))
                    if isinstance(error, Refused):  # the opening is its record already
                        error.record = permit.receipt.index
                    raise
                except Exception:
                    ending = "failed"
                    raise
                finally:
                    permit.expire()
                    self._close(permit, operation.action, "cut" if lease.revoked else ending, self._clock() - started)
                if lease.revoked:
                    await asyncio.sleep(0)  # the cancellation that the revocation sent arrives here at the latest
            except asyncio.CancelledError:
                if not lease.revoked or task is None:
                    raise
                task.uncancel()
                raise Revoked(lease.reason) from None

    async def _authenticate(self, presented: Presented) -> Principal:
        """Step 1."""
        try:
            return self._authenticator.authenticate(presented)
        except Unauthenticated as refusal:
            refusal.record = await self.strangers.answer(presented, refusal)
            raise

    async def _refreshed(self, presented: Presented, principal: Principal) -> Principal:
        """Step 1 again after something changed, without spending a one-time credential twice."""
        try:
            return self._authenticator.refresh(principal)
        except Unauthenticated as refusal:
            refusal.record = await self.strangers.refuse(presented, refusal)
            raise

    async def _parse(
        self, presented: Presented, principal: Principal, parse: Callable[[Principal], Awaitable[OpT]]
    ) -> OpT:
        """Read the operation from the body: only now that somebody answers for it."""
        try:
            return await parse(principal)
        except Refused as refusal:
            await self._record_refusal(presented, principal, "", "", refusal)
            raise

    async def _pass(self, presented: Presented, operation: OpT, lease: Lease, seen: Epoch) -> Permit[OpT]:
        """Steps 2 to 6; `seen` is the epoch at which the lease's principal was verified."""
        for _ in range(ATTEMPTS):
            epoch = self._epoch()
            if epoch != seen:
                lease.principal, seen = await self._refreshed(presented, lease.principal), epoch
            principal = lease.principal
            context = self._context(presented, principal)
            try:
                resolved, decision = self._examine(principal, operation, context)
            except Refused as refusal:
                await self._record_refusal(presented, principal, operation.action, operation.requested, refusal)
                raise
            # When cancelled here, the log itself closes what it kept.
            receipt = await self._keep(opening(principal, resolved, decision, context, presented, self._trial()))
            moved = self._epoch() != epoch
            if lease.revoked or (moved and not self._still_holds(lease, operation, context, (resolved, decision))):
                self._overtaken(principal, operation, decision, receipt)
                continue
            if isinstance(decision, Deny):
                denied = self._refusal(principal, resolved, decision, context)
                denied.record = receipt.index
                raise denied
            presented.admitted(receipt.index)
            return Permit(SEAL, resolved, decision, receipt, lease)
        raise Unavailable("policy", "too much changed while the request was decided; try again")

    def _examine(self, principal: Principal, operation: OpT, context: Context) -> tuple[Resolved[OpT], Decision]:
        """Steps 2 and 3, at a glance first where a full look costs much: nobody makes us work by being refused."""
        glance: Resolver[OpT] | None = self._glances.get(type(operation))
        if glance is not None:
            glanced = glance(principal, operation)
            decision = self._decide(principal, glanced, context)
            if isinstance(decision, Deny) and decision.max_age is None:
                return glanced, decision
        resolved = self._resolve(principal, operation)
        return resolved, self._decide(principal, resolved, context)

    def _resolve(self, principal: Principal, operation: OpT) -> Resolved[OpT]:
        """Step 2: one synchronous look at one snapshot."""
        resolver = self._resolvers.get(type(operation))
        if resolver is None:
            raise NotPermitted(f"{operation.action} is not served here", detail="no resolver")
        resolved: Resolved[OpT] = resolver(principal, operation)
        return resolved

    def _decide(self, principal: Principal, resolved: Resolved[Operation], context: Context) -> Decision:
        """Step 3: first what the credential itself is confined to, then the policies."""
        policies = self._policies()
        confined, operation = principal.confined_to, resolved.operation
        within = confined is None or (
            confined == operation if isinstance(confined, Operation) else operation.action in confined
        )
        if not within:
            return Deny((), policies.digest, "this credential serves another purpose", CONFINED)
        return decide_resolved(policies, principal, resolved, context)

    def _still_holds(self, lease: Lease, operation: Operation, context: Context, found: object) -> bool:
        """Step 5, where something changed: whether the same caller would get the same, for the same reasons."""
        try:
            principal = self._authenticator.refresh(lease.principal)
            return principal == lease.principal and self._examine(principal, operation, context) == found
        except NoMoatError:
            return False

    def _overtaken(self, principal: Principal, operation: Operation, decision: Decision, receipt: Receipt) -> None:
        """Step 5: the recorded decision was not acted on, and the log says so."""
        if not isinstance(decision, Deny):
            self._log.post(overtaken(principal.subject, operation.action, receipt))

    def _close(self, permit: Permit[Operation], action: str, ending: str, seconds: float) -> None:
        """Step 8: queued, not awaited; at restart an opening without an outcome is closed as interrupted."""
        self.durations.add(seconds)
        self._log.post(outcome(permit, action, ending, seconds))

    # -- around the path ----------------------------------------------------------------------------

    async def refuse(self, presented: Presented, refusal: Refused) -> None:
        """Record a refusal that happened before there was an operation (a malformed or unlisted request)."""
        try:
            if isinstance(refusal, Unauthenticated):
                raise refusal
            principal = self._authenticator.authenticate(presented)
        except Unauthenticated as stranger:
            refusal.record = await self.strangers.refuse(presented, stranger)
            return
        await self._record_refusal(presented, principal, "", "", refusal)

    def let_go(self) -> None:
        """Let go of what is beside the path, at the end."""

    def end_sessions(self, sessions: frozenset[str], reason: str) -> None:
        """Cut every access in flight of these sessions; the session registry calls it on a revocation."""
        self.leases.revoke(sessions, reason)

    def reexamine(self) -> None:
        """After a change of policies or directory: decide every access in flight again."""
        for each in self.leases.in_flight():
            self.review(*each)

    def review(self, lease: Lease, presented: Presented, operation: Operation) -> None:
        """Decide an access in flight as it would be now; cut what is not permitted, or not all of it."""
        try:
            principal = self._authenticator.refresh(lease.principal)
            resolved, decision = self._examine(principal, operation, self._context(presented, principal))
        except Conflict:
            return  # the change that is being answered right now: its base moved, not its permission
        except NoMoatError:
            lease.revoke("the access is no longer possible")
        else:
            if isinstance(decision, Deny) or withholds_more(lease.granted, resolved, decision):
                lease.revoke("the access is no longer permitted")

    async def _record_refusal(
        self, presented: Presented, principal: Principal, action: str, requested: str, refusal: Refused
    ) -> None:
        context = self._context(presented, principal)
        record = refusal_without_target(principal, context, action, requested, presented, refusal)
        refusal.record = (await self._log.append(record)).index

    def _refusal(self, principal: Principal, resolved: Resolved[Operation], deny: Deny, context: Context) -> Refused:
        """Word a denial: who may not discover the thing gets the answer for a thing that does not exist."""
        if resolved.discovery is not None:
            discover = resolved.operation.discover
            known = decide(self._policies(), principal, discover, (resolved.discovery,), context)
            if isinstance(known, Deny):
                return NotFound(resolved.missing, kind="repository", detail=deny.reason)
        return denial(principal, resolved, deny)

    def _context(self, presented: Presented, principal: Principal) -> Context:
        now = int(self._clock())
        return Context(
            at=now,
            binding=principal.binding,
            obtained=principal.obtained,
            auth_age=max(0, now - principal.authenticated_at),
            source=presented.connection.source,
            session=principal.session,
        )
