"""Asking models: an endpoint's name becomes the upstreams that would answer, and one of those that may be is asked.

Rules: an upstream is asked only if policies permit that this prompt is sent there; the next one only if nothing of the
prompt reached the one before. The client's credential stays here. What is written into the prompt for the upstream is the
model's name there; the rest is what the client said, as it was parsed once.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
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
from nomoat.resources.inference.sources import Sources
from nomoat.resources.repositories.alike import withheld_parts
from nomoat.resources.repositories.resolution import Resolver, place_in
from nomoat.stores.credentials import Credentials
from nomoat.stores.upstreams import Unsent, UpstreamAnswer, Upstreams

UNKNOWN: Final = "there is no such model"
KEPT: Final = frozenset({b"content-type", b"content-length", b"retry-after", b"x-request-id", b"request-id"})
"""Headers of an upstream's answer that the client sees."""
MOST_OFFERS: Final = 1024  # that are kept for the directory as it is
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


@final
class Answer:
    """What a model answers, for as long as its permit holds; the record says what was given out.

    `status` and `headers` are the upstream's; `streamed`: the body is events.
    """

    __slots__ = ("_answer", "_digest", "_permit", "_usage", "headers", "status", "streamed")

    def __init__(self, permit: Permit[InvokeModel], answer: UpstreamAnswer) -> None:
        self._permit = permit
        self._answer = answer
        self.status = answer.status
        self.headers = answer.headers(KEPT)
        self.streamed = self.headers.get("content-type", "").startswith(EVENTS)
        if self.streamed:  # it may end with an event of ours
            self.headers.pop("content-length", None)
        self._digest = hashlib.sha256()
        self._usage = UsageReader(streamed=self.streamed)

    @property
    def is_over(self) -> bool:
        """Whether all of the body was taken."""
        return self._answer.is_over

    async def part(self) -> bytes:
        """The next of the body; b"" after its end. Raises `Revoked`, `Unavailable` when the upstream breaks off."""
        part = await self._answer.part()
        if part:
            self._permit.check()
            self._digest.update(part)
            self._usage.feed(part)
            self._permit.note(bytes=len(part))
        return part

    def end(self) -> None:
        """Say for the record what was given out, and let go of the upstream, whose answer ends with this."""
        self._permit.note(response=self._digest.hexdigest())
        if (said := self._usage.total()) is not None:
            self._permit.note(input_tokens=str(said.input), output_tokens=str(said.output))
        self._answer.end()


@final
class Inference:
    """What may be asked of models."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        upstreams: Upstreams,
        credentials: Credentials,
        inspector: Inspector,
        sources: Sources,
        clock: Callable[[], float],
    ) -> None:
        self.inspector = inspector
        self.sources = sources
        self._directory = directory
        self._offers_of: Directory | None = None
        self._offers: dict[tuple[str, Dialect, tuple[Label, ...]], tuple[EndpointPlace, tuple[Target, ...]]] = {}
        self._upstreams = upstreams
        self._credentials = credentials
        self._clock = clock

    def close(self) -> None:
        """End the connections to upstreams that are kept."""
        self._upstreams.close()

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {
            ListEndpoints: self.resolve_list,
            InvokeModel: self.resolve_invoke,
            SealCredential: self.resolve_seal,
            **self.sources.resolvers,
        }

    def resolve_list(self, who: Principal, operation: ListEndpoints) -> Resolved[ListEndpoints]:
        """Resolve to the caller, who asks for itself; the parts are the endpoints."""
        endpoints = tuple(endpoint for _, endpoint in sorted(self._directory().endpoints.items()))
        return Resolved(operation, (target_of(who),), {"place": endpoints}, parts=tuple(map(_target, endpoints)))

    def resolve_invoke(self, who: Principal, operation: InvokeModel) -> Resolved[InvokeModel]:
        """Resolve an endpoint, and what its prompt would be at each upstream. Raises `NotFound`."""
        del who
        directory = self._directory()
        endpoint = directory.endpoints.get(operation.endpoint)
        if endpoint is None:
            raise NotFound(UNKNOWN, kind="model")
        content, own = operation.content, Label(endpoint.classification, endpoint.labels)
        said: tuple[Label, ...] = (own,)
        if content.findings:
            residue = content.residue
            said = (own.join(content.label), *([] if residue is None else [own.join(residue)]))
        place, parts = self._offered(directory, endpoint, operation.call.dialect, said)
        target = _target(endpoint)
        targets = (target, *map(_source, content.sources)) if content.findings else (target,)
        return Resolved(operation, targets, {"place": place}, target, UNKNOWN, parts)

    def _offered(
        self, directory: Directory, endpoint: Endpoint, speaks: Dialect, said: tuple[Label, ...]
    ) -> tuple[EndpointPlace, tuple[Target, ...]]:
        """What may be made of an endpoint's upstreams by a prompt of this label, and of the second one when it is redacted."""
        if directory is not self._offers_of or len(self._offers) >= MOST_OFFERS:
            self._offers_of = directory
            self._offers.clear()
        key = (endpoint.name, speaks, said)
        found = self._offers.get(key)
        if found is None:
            offers = [
                Offer(each, upstream, bool(redacted))
                for each in endpoint.served
                if (upstream := directory.upstreams[each.upstream]).dialect is speaks
                for redacted in range(len(said))
            ]
            parts = tuple(_sent(offer.upstream, said[offer.redacted], offer.redacted) for offer in offers)
            found = self._offers[key] = EndpointPlace(endpoint, offers), parts
        return found

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

    async def invoke(self, permit: Permit[InvokeModel]) -> Answer:
        """Have a model answer; the answer has to be ended, which cancels the upstream where it is not over.

        Raises `NotPermitted` when the prompt may be sent to no upstream of the endpoint, `Unavailable` when none answers.
        """
        resolved = permit.claim(InvokeModel, Withhold)
        operation, place = resolved.operation, place_in(resolved, EndpointPlace)
        withheld = withheld_parts(permit.allow.obligations)
        open_to = [each for number, each in enumerate(place.served) if number not in withheld]
        if not place.served:
            raise NotPermitted(f"{operation.endpoint} is not served by what speaks {operation.call.dialect}")
        if not open_to:
            raise NotPermitted(f"this prompt may be sent to no server of {operation.endpoint}")
        upstream = await self._first(permit, operation, open_to)
        if upstream.status in NOT_OURS:
            upstream.end()
            raise Unavailable("upstream", "it does not take the gateway's own credential")
        return Answer(permit, upstream)

    async def _first(
        self,
        permit: Permit[InvokeModel],
        operation: InvokeModel,
        offers: Sequence[Offer],
    ) -> UpstreamAnswer:
        """The answer of the first upstream that is reached."""
        failure = Unavailable("upstream", "none is declared")
        for each, upstream, without in offers:
            body = redacted(operation.body, operation.content.hits) if without else operation.body
            headers = {**dict(operation.headers), **self._shown(upstream)}
            sent = orjson.dumps({**body, "model": each.model})
            try:
                answer = await self._upstreams.ask(upstream, operation.call.value, headers, sent)
            except Unsent as unsent:
                failure = unsent
                continue
            permit.note(upstream=upstream.name, model=each.model, status=str(answer.status))
            if without:
                permit.note(redacted=str(len(operation.content.hits)))
            return answer
        raise failure

    def _shown(self, upstream: Upstream) -> Mapping[str, str]:
        """The header that shows the gateway's credential; none where it was given none."""
        credential = self._credentials.find(upstream)
        if not credential:
            return {}
        if upstream.dialect is Dialect.ANTHROPIC:
            return {"X-Api-Key": credential}
        return {"Authorization": f"Bearer {credential}"}


def _target(endpoint: Endpoint) -> Target:
    return Target(
        kind="Endpoint",
        id=endpoint.name,
        name=endpoint.name,
        classification=endpoint.classification,
        labels=endpoint.labels,
        owner_group=endpoint.owner_group,
        owner_person=endpoint.owner_person,
    )


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
        name="registered source code",  # whoever may not have it need not know which
        classification=label.classification,
        labels=label.labels,
        owner_group=finding.cleared,
    )
