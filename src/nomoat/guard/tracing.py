"""The guard with a clock beside it: its steps as OpenTelemetry spans.

Rules: it walks the same path by the same code and decides nothing. A span says which step, for which
kind of operation and how it ended; never who, what or why, so no exception is recorded either: its
words name people and files. With traces off this file is not loaded, and the path has nothing of it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, get_current_span

from nomoat.core.connection import Presented
from nomoat.core.decision import Allow, Context, Decision
from nomoat.core.errors import NoMoatError
from nomoat.core.operation import Operation, OpT, Resolved
from nomoat.core.permit import Lease, Permit
from nomoat.core.principal import Principal
from nomoat.core.record import Receipt, Record
from nomoat.guard.guard import Asked, Guard


@final
class TracedGuard(Guard):
    """A `Guard` that tells `provider` of each access and its eight steps."""

    def __init__(self, provider: TracerProvider, **parts: Any) -> None:
        super().__init__(**parts)
        self._provider = provider
        self._tracer = provider.get_tracer("nomoat")
        submit = self._keep

        async def keep(record: Record) -> Receipt:
            with self._step("record"):
                return await submit(record)

        self._keep = keep  # type: ignore[assignment]  # awaited at once, like the future that it stands for

    def let_go(self) -> None:
        """Send what is left, and end."""
        self._provider.shutdown()

    @asynccontextmanager
    async def admit(self, presented: Presented, asked: Asked[OpT]) -> AsyncGenerator[Permit[OpT]]:
        """Walk the path as `Guard.admit` does, in a span."""
        with self._span("access") as span:
            span.set_attribute("nomoat.protocol", presented.protocol)
            try:
                async with super().admit(presented, asked) as permit:
                    span.add_event("permit")
                    with self._step("serve"):
                        yield permit
            except NoMoatError as error:
                span.set_attribute("nomoat.ending", type(error).__name__)
                raise

    async def _authenticate(self, presented: Presented) -> Principal:
        with self._step("authenticate"):
            return await super()._authenticate(presented)

    async def _parse(
        self, presented: Presented, principal: Principal, parse: Callable[[Principal], Awaitable[OpT]]
    ) -> OpT:
        with self._step("parse"):
            return await super()._parse(presented, principal, parse)

    def _resolve(self, principal: Principal, operation: OpT) -> Resolved[OpT]:
        get_current_span().set_attribute("nomoat.action", operation.action)
        with self._step("resolve"):
            return super()._resolve(principal, operation)

    def _decide(self, principal: Principal, resolved: Resolved[Operation], context: Context) -> Decision:
        with self._step("decide") as span:
            decision = super()._decide(principal, resolved, context)
            if span is not None:
                span.set_attribute("nomoat.allowed", isinstance(decision, Allow))
            return decision

    def _still_holds(self, lease: Lease, operation: Operation, context: Context, found: object) -> bool:
        with self._step("recheck"):
            return super()._still_holds(lease, operation, context, found)

    def _close(self, permit: Permit[Operation], action: str, ending: str, seconds: float) -> None:
        with self._step("close") as span:
            if span is not None:
                span.set_attribute("nomoat.ending", ending)
            super()._close(permit, action, ending, seconds)

    def _step(self, name: str) -> "AbstractContextManager[Span | None]":
        """A span within an access; nothing outside of one (when everything in flight is decided again)."""
        return self._span(name) if get_current_span().is_recording() else nullcontext()

    def _span(self, name: str) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span(
            f"nomoat.{name}", record_exception=False, set_status_on_exception=False
        )
