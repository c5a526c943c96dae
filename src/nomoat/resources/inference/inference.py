"""Asking models: an endpoint's name becomes the upstreams that would answer, and one of those that may be is asked.

Rules: an upstream is asked only if policies permit that this prompt is sent there; the next one only if nothing of the
prompt reached the one before. The client's credential stays here. What is written into the prompt for the upstream is the
model's name there; the rest is what the client said, as it was parsed once.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, final

import orjson

from nomoat.content import Inspector, redacted
from nomoat.content.usage import UsageReader
from nomoat.core.content import Finding
from nomoat.core.decision import Withhold
from nomoat.core.directory import Directory
from nomoat.core.errors import NotFound, NotPermitted, Unavailable
from nomoat.core.inference import Dialect, Endpoint, Served, Upstream
from nomoat.core.lineage import Label
from nomoat.core.operation import InvokeModel, ListEndpoints, Operation, Resolved, SealCredential, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.resources.identities import target_of
from nomoat.resources.inference.charging import Account, charged
from nomoat.resources.inference.quotas import QuotaReading
from nomoat.resources.inference.targets import endpoint_target
from nomoat.resources.repositories.alike import withheld_parts
from nomoat.resources.repositories.resolution import Resolver, place_in
from nomoat.stores.credentials import Credentials
from nomoat.stores.quotas import Quotas
from nomoat.stores.upstreams import Unsent, UpstreamAnswer, Upstreams

UNKNOWN: Final = "there is no such model"
KEPT: Final = ("content-type", "retry-after", "x-request-id", "request-id")
"""Headers of an upstream's answer that the client sees."""
EVENTS: Final = "text/event-stream"
NOT_OURS: Final = frozenset({401, 403, 407})
"""What an upstream answers to a credential of the gateway's, which is none of the client's business."""


@dataclass(frozen=True, slots=True)
class EndpointPlace:
    """An endpoint and what would answer for it, in its order; each is a part of the decision."""

    endpoint: Endpoint
    served: Sequence["Offer"]


class Offer(NamedTuple):
    """An upstream that could be sent a prompt, as it is or `redacted`."""

    served: Served
    upstream: Upstream
    redacted: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answers: status, headers, and the body as it arrives; `streamed`: as events."""

    status: int
    headers: Mapping[str, str]
    parts: AsyncIterator[bytes]
    streamed: bool


@final
class Inference:
    """What may be asked of models."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        upstreams: Upstreams,
        credentials: Credentials,
        inspector: Inspector,
        quotas: Quotas,
        clock: Callable[[], float],
    ) -> None:
        self.inspector = inspector
        self.quotas = QuotaReading(directory, quotas)
        self._quotas = quotas
        self._directory = directory
        self._upstreams = upstreams
        self._credentials = credentials
        self._clock = clock

    async def close(self) -> None:
        """End the connections to upstreams that are kept, and store what was taken of quotas."""
        self._upstreams.close()
        await self._quotas.close()

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {
            ListEndpoints: self.resolve_list,
            InvokeModel: self.resolve_invoke,
            SealCredential: self.resolve_seal,
            **self.quotas.resolvers,
        }

    def resolve_list(self, who: Principal, operation: ListEndpoints) -> Resolved[ListEndpoints]:
        """Resolve to the caller, who asks for itself; the parts are the endpoints."""
        endpoints = tuple(endpoint for _, endpoint in sorted(self._directory().endpoints.items()))
        return Resolved(
            operation, (target_of(who),), {"place": endpoints}, parts=tuple(map(endpoint_target, endpoints))
        )

    def resolve_invoke(self, who: Principal, operation: InvokeModel) -> Resolved[InvokeModel]:
        """Resolve an endpoint, and what its prompt would be at each upstream. Raises `NotFound`."""
        del who
        directory = self._directory()
        endpoint = directory.endpoints.get(operation.endpoint)
        if endpoint is None:
            raise NotFound(UNKNOWN, kind="model")
        speaks = operation.call.dialect
        content, own = operation.content, Label(endpoint.classification, endpoint.labels)
        ways = ((False, content.label), *([(True, residue)] if (residue := content.residue) is not None else []))
        offers = tuple(
            (Offer(each, upstream, without), _sent(upstream, own.join(said), without))
            for each in endpoint.served
            if (upstream := directory.upstreams[each.upstream]).dialect is speaks
            for without, said in ways
        )
        place = EndpointPlace(endpoint, [offer for offer, _ in offers])
        parts = tuple(part for _, part in offers)
        target = endpoint_target(endpoint)
        targets = (target, *map(_source, content.sources))
        return Resolved(operation, targets, {"place": place}, target, UNKNOWN, parts)

    def resolve_seal(self, who: Principal, operation: SealCredential) -> Resolved[SealCredential]:
        """Resolve to the directory, which says what upstreams there are."""
        del who
        facts = (("widens_self", False),)
        target = Target("Directory", "directory", "directory", str(self._directory().generation), facts=facts)
        return Resolved(operation, (target,))

    async def seal(self, permit: Permit[SealCredential]) -> str:
        """Keep what the gateway shows to an upstream; return the address that it is for. Raises `NotFound`."""
        operation = permit.claim(SealCredential).operation
        upstream = self._directory().upstreams.get(operation.upstream)
        if upstream is None:
            raise NotFound("there is no such upstream; declare it first", kind="upstream")
        by = permit.principal.subject
        await self._credentials.keep(upstream, operation.credential, self._clock(), by, permit.check)
        permit.note(url=upstream.url)
        return upstream.url

    def list_endpoints(self, permit: Permit[ListEndpoints]) -> list[str]:
        """The names of the endpoints that the caller may invoke."""
        resolved = permit.claim(ListEndpoints, Withhold)
        withheld = withheld_parts(permit.allow.obligations)
        found = [part.id for number, part in enumerate(resolved.parts) if number not in withheld]
        permit.note(shown=str(len(found)))
        return found

    @asynccontextmanager
    async def invoke(self, permit: Permit[InvokeModel]) -> AsyncGenerator[Answer]:
        """Have a model answer; leaving the `with` before the end cancels the upstream.

        Raises `NotPermitted` when the prompt may be sent to no upstream of the endpoint, `OverQuota` when a quota has no room
        for it, `Unavailable` when none answers.
        """
        resolved = permit.claim(InvokeModel, Withhold)
        operation, place = resolved.operation, place_in(resolved, EndpointPlace)
        withheld = withheld_parts(permit.allow.obligations)
        open_to = [each for number, each in enumerate(place.served) if number not in withheld]
        if not place.served:
            raise NotPermitted(f"{operation.endpoint} is not served by what speaks {operation.call.dialect}")
        if not open_to:
            raise NotPermitted(f"this prompt may be sent to no server of {operation.endpoint}")
        servers = [each.served for each in open_to]
        async with (
            charged(self._quotas, self._directory(), permit, operation, servers) as account,
            AsyncExitStack() as stack,
        ):
            answer, served = await self._first(stack, permit, operation, open_to)
            if answer.status in NOT_OURS:
                if account is not None:
                    account.refuse()
                raise Unavailable("upstream", "it does not take the gateway's own credential")
            headers = {name: value for name in KEPT if (value := answer.header(name))}
            streamed = headers.get("content-type", "").startswith(EVENTS)
            # Closed here: where its reader stops, what it says for the record comes before the record.
            if account is not None:
                account.answered(served, answer.status, streamed=streamed)
            async with aclosing(_noted(permit, answer.parts, UsageReader(streamed=streamed), account)) as parts:
                yield Answer(answer.status, headers, parts, streamed)

    async def _first(
        self,
        stack: AsyncExitStack,
        permit: Permit[InvokeModel],
        operation: InvokeModel,
        offers: Sequence[Offer],
    ) -> tuple[UpstreamAnswer, Served]:
        """The answer of the first upstream that is reached, and which that was."""
        failure = Unavailable("upstream", "none is declared")
        for each, upstream, without in offers:
            body = redacted(operation.body, operation.content.hits) if without else operation.body
            headers = {**dict(operation.headers), **self._shown(upstream)}
            asked = self._upstreams.ask(
                upstream, operation.call.value, headers, orjson.dumps({**body, "model": each.model})
            )
            try:
                answer = await stack.enter_async_context(asked)
            except Unsent as unsent:
                failure = unsent
                continue
            permit.note(upstream=upstream.name, model=each.model, status=str(answer.status))
            if without:
                permit.note(redacted=str(len(operation.content.hits)))
            return answer, each
        raise failure

    def _shown(self, upstream: Upstream) -> Mapping[str, str]:
        """The header that shows the gateway's credential; none where it was given none."""
        credential = self._credentials.find(upstream)
        if not credential:
            return {}
        if upstream.dialect is Dialect.ANTHROPIC:
            return {"X-Api-Key": credential}
        return {"Authorization": f"Bearer {credential}"}


async def _noted(
    permit: Permit[InvokeModel], parts: AsyncIterator[bytes], usage: UsageReader, account: Account | None
) -> AsyncGenerator[bytes]:
    """The parts of an answer, for as long as the permit holds; the record says what was given out."""
    digest = hashlib.sha256()
    try:
        async for part in parts:
            permit.check()
            digest.update(part)
            usage.feed(part)
            if account is not None:
                account.feed(part)
            permit.note(bytes=len(part))
            yield part
        if account is not None:
            account.ended()
    finally:
        permit.note(response=digest.hexdigest())
        if account is not None:
            account.settle(usage)
        elif (said := usage.total()) is not None:
            permit.note(input_tokens=str(said.input), output_tokens=str(said.output))


def _sent(upstream: Upstream, label: Label, without: bool) -> Target:
    """An upstream, and the label of what would be sent there, as it is or redacted."""
    return Target(
        kind="Upstream",
        id=upstream.name,
        name=upstream.name,
        classification=label.classification,
        labels=label.labels,
        facts=(
            ("cleared", upstream.clearance.value),
            ("external", upstream.external),
            ("redacted", without),
            ("region", upstream.region),
        ),
    )


def _source(finding: Finding) -> Target:
    """A registered source of which a prompt has something."""
    label = finding.label
    return Target(
        kind="Source",
        id=finding.source,
        name=finding.source,
        classification=label.classification,
        labels=label.labels,
        owner_group=finding.cleared,
    )
