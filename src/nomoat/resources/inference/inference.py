"""Asking models: an endpoint's name becomes the upstreams that would answer, and one of those that may be is asked.

Rules: an upstream is asked only if policies permit that this prompt is sent there; the next one only if nothing of the
prompt reached the one before. With a prompt goes what its session carries. The client's credential stays here. What is
written into the prompt for the upstream is the model's name there; the rest is what the client said, as it was parsed once.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from typing import Final, final

import orjson

from nomoat.content import AnswerReader, Inspector, redacted
from nomoat.core.content import Content
from nomoat.core.decision import Withhold, withheld_parts
from nomoat.core.directory import Directory
from nomoat.core.errors import Misuse, NotFound, NotPermitted, Unavailable
from nomoat.core.inference import Call, Dialect, Health, Served, Upstream
from nomoat.core.lifecycle import Stage
from nomoat.core.lineage import NOTHING, Label
from nomoat.core.names import Classification
from nomoat.core.operation import (
    InvokeModel,
    ListEndpoints,
    Operation,
    ReleaseAnswer,
    Resolved,
    SealCredential,
    Target,
)
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.resources.identities import target_of
from nomoat.resources.inference.answers import Answer
from nomoat.resources.inference.charging import charged
from nomoat.resources.inference.contents import Contents, Sent, keep
from nomoat.resources.inference.offers import EndpointPlace, Offer, Offers
from nomoat.resources.inference.quotas import QuotaReading
from nomoat.resources.inference.references import called, fetched, is_version, kept, tokens
from nomoat.resources.inference.registering import Registering
from nomoat.resources.inference.sources import Sources
from nomoat.resources.inference.targets import endpoint_target, source_target
from nomoat.resources.inference.weights import Weights
from nomoat.resources.repositories.resolution import Resolver, place_in
from nomoat.stores.contents import StoredContents
from nomoat.stores.credentials import Credentials
from nomoat.stores.quotas import Quotas
from nomoat.stores.session_labels import SessionLabels
from nomoat.stores.upstreams import REJECTED, Unsent, UpstreamAnswer, Upstreams

UNKNOWN: Final = "there is no such model"
WITHOUT_TEXT: Final = frozenset({Call.EMBEDDING, Call.COUNT})
CACHED: Final = "prompt_cache_retention"
BUSY: Final = frozenset({429, 503})  # nothing was made of the prompt: another server may be asked


@final
class Inference:
    """What may be asked of models."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        upstreams: Upstreams,
        credentials: Credentials,
        inspector: Inspector,
        registering: Registering,
        sources: Sources,
        sessions: SessionLabels,
        quotas: Quotas,
        weights: Weights,
        contents: StoredContents,
        clock: Callable[[], float],
    ) -> None:
        self.registering = registering
        self.sources = sources
        self._offers = Offers(weights)
        self.quotas = QuotaReading(directory, quotas, self._offers)
        self.contents = Contents(contents, sessions, clock)
        self._contents = contents
        self._inspector = inspector
        self._sessions = sessions
        self._quotas = quotas
        self._directory = directory
        self._upstreams = upstreams
        self._credentials = credentials
        self._clock = clock

    def health(self) -> Mapping[str, Health]:
        """What is known of each declared upstream."""
        return {name: self._upstreams.health(each) for name, each in sorted(self._directory().upstreams.items())}

    async def close(self) -> None:
        """End the connections to upstreams that are kept, store what was taken of quotas, and write what is kept of answers."""
        self._upstreams.close()
        self._contents.close()
        await self._quotas.close()

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {
            ListEndpoints: self.resolve_list,
            InvokeModel: self.resolve_invoke,
            ReleaseAnswer: self.resolve_release,
            SealCredential: self.resolve_seal,
            **self.registering.resolvers,
            **self.sources.resolvers,
            **self.quotas.resolvers,
            **self.contents.resolvers,
        }

    async def look(self, who: Principal, operation: InvokeModel, about: Label = NOTHING) -> InvokeModel:
        """The operation with what is found in its prompt, which the caller's session carries from now on.

        Also if it is refused: who sent it has it. `about`: the label of what the prompt is made of. Raises `Unavailable`.
        """
        content = await self._inspector.look(who.session, operation.body)
        if passed := [{value: None} for _, value in operation.headers if not is_version(value)]:
            # What stands in a header cannot be redacted: it is looked at as keys are.
            beside = await self._inspector.look(who.session, {"headers": passed})
            content = Content(content.findings | beside.findings, content.hits) if beside.findings else content
        if content.findings:
            await self._sessions.join(who.session, content.lasting, self._clock())
            operation = replace(operation, content=content)
        carried = None if about == NOTHING else self._sessions.label(who.session).join(about)
        return operation if carried is None else replace(operation, carried=carried)

    def resolve_list(self, who: Principal, operation: ListEndpoints) -> Resolved[ListEndpoints]:
        """Resolve to the caller, who asks for itself; the parts are the endpoints."""
        endpoints = tuple(endpoint for _, endpoint in sorted(self._directory().endpoints.items()))
        directory = self._directory()
        parts = tuple(target for endpoint in endpoints for target in self._offers.targets(directory, endpoint))
        return Resolved(operation, (target_of(who),), {"place": endpoints}, parts=parts)

    def resolve_invoke(self, who: Principal, operation: InvokeModel) -> Resolved[InvokeModel]:
        """Resolve an endpoint, and what its prompt would be at each upstream. Raises `NotFound`, `Unavailable`."""
        directory = self._directory()
        endpoint = directory.endpoints.get(operation.endpoint)
        if endpoint is None:
            raise NotFound(UNKNOWN, kind="model")
        # One that was decided already is decided again as it was sent.
        carried = self._sessions.label(who.session) if operation.carried is None else operation.carried
        content, own = operation.content, self._offers.memorised(directory, endpoint).join(carried)
        said: tuple[Label, ...] = (own,)
        if content.findings:
            residue = content.residue
            said = (own.join(content.label), *([] if residue is None else [own.join(residue)]))
        place, parts = self._offers.of(directory, endpoint, operation.call.dialect, said)
        targets = self._offers.targets(directory, endpoint)
        if content.findings:
            targets = (*targets, *map(source_target, content.sources))
        return Resolved(replace(operation, carried=carried), targets, {"place": place}, targets[0], UNKNOWN, parts)

    def resolve_release(self, who: Principal, operation: ReleaseAnswer) -> Resolved[ReleaseAnswer]:
        """Resolve to the endpoint, as confidential as its answer, and to each source found there. Raises `NotFound`."""
        del who
        directory = self._directory()
        endpoint = directory.endpoints.get(operation.endpoint)
        if endpoint is None:
            raise NotFound(UNKNOWN, kind="model")
        label = self._offers.memorised(directory, endpoint).join(operation.content.label)
        answered = endpoint_target(endpoint, label)
        return Resolved(operation, (answered, *map(source_target, operation.content.sources)))

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
        hidden = {resolved.parts[number].id for number in withheld}
        found = list(dict.fromkeys(part.id for part in resolved.parts if part.id not in hidden))
        permit.note(shown=str(len(found)))
        return found

    async def invoke(self, permit: Permit[InvokeModel]) -> Answer:
        """Have a model answer; the answer has to be ended, which cancels the upstream where it is not over.

        Raises `NotPermitted` when the prompt may be sent to no upstream of the endpoint, `OverQuota` when a quota has no room
        for it, `Unavailable` when none answers.
        """
        resolved = permit.claim(InvokeModel, Withhold)
        operation, place = resolved.operation, place_in(resolved, EndpointPlace)
        open_to = _open_to(operation, place, withheld_parts(permit.allow.obligations))
        servers = [each.served for each in open_to]
        account = await charged(self._quotas, self._directory(), permit, operation, servers)
        try:
            upstream, served = await self._first(permit, operation, open_to, place)
        except BaseException as failure:
            if account is not None:
                account.lose(failure)
            raise
        if upstream.status in REJECTED:
            upstream.end()
            if account is not None:
                account.refuse()
            name = served.upstream
            raise Unavailable(
                "upstream",
                f"{name} does not take the gateway's own credential; who administers gives it one: nomoat upstream credential {name}",
            )
        memorised = place.memorised
        try:
            reader = self._reader(operation, permit.principal.session, memorised)
            answer = Answer(permit, operation.endpoint, upstream, reader, account)
            if account is not None:
                account.answered(served, answer.status, streamed=answer.streamed)
        except BaseException:
            upstream.end()
            raise
        try:
            await self._sessions.join(permit.principal.session, memorised, self._clock())
        except BaseException:
            answer.end()
            raise
        return answer

    def _reader(self, operation: InvokeModel, session: str, told: Label) -> AnswerReader | None:
        """What looks at an answer while it passes; None where nothing is looked for, and it need not be held."""
        label = told.join(operation.carried or NOTHING).join(operation.content.label)
        whole, looks = _is_held_whole(label), self._inspector.looks and operation.call not in WITHOUT_TEXT
        if not whole and not looks:
            return None
        return AnswerReader(self._inspector, session, streamed=operation.stream, whole=whole)

    async def release(self, permit: Permit[ReleaseAnswer], answer: Answer) -> None:
        """Let an answer go on in which something was found; the caller's session carries it from now on.

        Raises `Misuse` when more was found than was decided on, `Unavailable` when the label cannot be stored.
        """
        operation = permit.claim(ReleaseAnswer).operation
        content = operation.content
        if answer.record != operation.record or answer.found != content:
            raise Misuse("an answer was released for another one")
        await self._sessions.join(permit.principal.session, content.lasting, self._clock())
        answer.go_on(content, whole=_is_held_whole(content.label))

    async def _first(
        self,
        permit: Permit[InvokeModel],
        operation: InvokeModel,
        offers: Sequence[Offer],
        place: EndpointPlace,
    ) -> tuple[UpstreamAnswer, Served]:
        """The answer of the first upstream that is reached and not too busy, and which that was; else of the first busy one."""
        failure = Unavailable("upstream", "none is declared")
        busy: tuple[UpstreamAnswer, Offer] | None = None
        try:
            for offer in offers:
                if busy is not None and offer.upstream == busy[1].upstream:
                    continue  # it said that it is busy, whatever it is sent
                try:
                    answer = await self._ask(permit, operation, offer, place)
                except Unsent as unsent:
                    failure = unsent
                    continue
                if answer.status not in BUSY:
                    return _noted(permit, operation, answer, offer)
                if busy is None:
                    busy = answer, offer
                else:
                    answer.end()
            if busy is None:
                raise failure
            told, busy = busy, None
            return _noted(permit, operation, *told)
        finally:
            if busy is not None:
                busy[0].end()

    async def _ask(
        self, permit: Permit[InvokeModel], operation: InvokeModel, offer: Offer, place: EndpointPlace
    ) -> UpstreamAnswer:
        body = redacted(operation.body, operation.content.hits) if offer.redacted else operation.body
        headers = {**dict(operation.headers), **self._shown(offer.upstream)}
        model = offer.served.model
        sent = orjson.dumps({**body, "model": model, **_unkept(operation, offer.upstream)})
        copy = None
        if place.endpoint.kept:
            label = place.memorised.join(operation.content.label).join(operation.carried or NOTHING)
            copy = await keep(
                *(self._contents, permit, operation, Sent(offer.upstream.name, model, label, sent), self._clock())
            )
        answer = await self._upstreams.ask(offer.upstream, operation.call.value, headers, sent)
        answer.copy = copy
        return answer

    def _shown(self, upstream: Upstream) -> Mapping[str, str]:
        """The header that shows the gateway's credential; none where it was given none."""
        credential = self._credentials.find(upstream)
        if not credential:
            return {}
        if upstream.dialect is Dialect.ANTHROPIC:
            return {"X-Api-Key": credential}
        return {"Authorization": f"Bearer {credential}"}


def _noted(
    permit: Permit[InvokeModel], operation: InvokeModel, answer: UpstreamAnswer, offer: Offer
) -> tuple[UpstreamAnswer, Served]:
    permit.note(upstream=offer.upstream.name, model=offer.served.model, status=str(answer.status))
    if offer.weights is not None:
        permit.note(weights=str(offer.weights), weights_digest=offer.weights.digest)
    if offer.redacted:
        permit.note(redacted=str(len(operation.content.hits)))
    return answer, offer.served


def _unkept(operation: InvokeModel, upstream: Upstream) -> Mapping[str, object]:
    """What tells somebody else's server not to keep what it is sent, where it would: Responses are, unless this says no."""
    if not upstream.external or upstream.retention:
        return {}
    cached = {CACHED: None} if operation.body.get(CACHED) else {}  # as long as the server likes, not as the client does
    return {"store": False, **cached} if operation.call is Call.RESPONSE or operation.body.get("store") else cached


def _require_here(operation: InvokeModel, place: EndpointPlace) -> None:
    """Refuse to have a server tell others what this prompt is, or what its session carries. Raises `NotPermitted`."""
    own = operation.content.label.join(operation.carried or NOTHING)
    named = fetched(operation.body) if own != NOTHING else ""
    if named:
        raise NotPermitted(
            f"a server would go to an address in {named}, which says what is not public; send what is there"
        )
    named = called(operation.body) if own.join(place.memorised) != NOTHING else ""
    if named:
        raise NotPermitted(
            f"the model would tell the server in {named} what is not public; call that server yourself, as a tool of yours"
        )


def _is_held_whole(label: Label) -> bool:
    """Whether nothing of an answer with this label may leave before all of it was looked at."""
    return label.classification >= Classification.RESTRICTED


def _open_to(operation: InvokeModel, place: EndpointPlace, withheld: Container[int]) -> list[Offer]:
    """What a prompt may be sent to, the preferred one first. Raises `NotPermitted` where there is nothing."""
    if not place.served and place.silent:
        raise NotPermitted(
            f"no server of {operation.endpoint} has said which weights it loaded; who runs it has to (nomoat loaded)"
        )
    if not place.served:
        raise NotPermitted(f"{operation.endpoint} is not served by what speaks {operation.call.dialect}")
    _require_here(operation, place)
    needs = kept(operation.call, operation.body)
    if needs and not any(each.upstream.retention for each in place.served):
        raise NotPermitted(f"no server of {operation.endpoint} keeps what {needs} needs; send the conversation itself")
    hidden = tokens(operation.call, operation.body)
    if hidden and all(each.upstream.external for each in place.served):
        raise NotPermitted(
            "a server of others is sent no numbers of tokens, which nobody can look at: send the text itself"
        )
    found = [
        each
        for number, each in enumerate(place.served)
        if number not in withheld and (each.upstream.retention or not needs) and not (hidden and each.upstream.external)
    ]
    if not found:
        raise NotPermitted(f"this prompt may be sent to no server of {operation.endpoint}{_why(operation, place)}")
    return found


def _why(operation: InvokeModel, place: EndpointPlace) -> str:
    """What a refusal says of why no server may have a prompt, as far as that is the caller's to know."""
    if stages := {each.weights.stage for each in place.served if each.weights} - {Stage.APPROVED}:
        return f": the version of its weights that is loaded is {', '.join(sorted(stages))}"
    # Whoever may not have a source is refused before; which one it is, the record says.
    found = [
        *filter(None, [operation.content.told]),
        *(["registered source code"] if operation.content.sources else []),
    ]
    has = f", as it has {' and '.join(found)}: take that out" if found else ""
    carried = operation.carried or NOTHING
    if place.memorised.join(operation.content.label).covers(carried):
        return has
    return (
        f"{has}: with it goes what your session read, sent or was told before, which is {', '.join(carried.told)} (nomoat whoami). Ask a model "
        "whose servers are cleared for that; for work that has nothing to do with it, log in anew (nomoat login)"
    )
