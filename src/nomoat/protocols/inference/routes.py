"""Requests of OpenAI's and Anthropic's clients → ListEndpoints and InvokeModel, and answers back as they arrive."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final, cast, final

import orjson

from nomoat.core.connection import Presented, Verified
from nomoat.core.content import EMPTY
from nomoat.core.errors import Malformed, NoMoatError, NotFound, NotPermitted, TooLarge, Withheld
from nomoat.core.inference import Call, Dialect
from nomoat.core.names import parse_endpoint_name, parse_subject_name
from nomoat.core.operation import InvokeModel, ListEndpoints, ReleaseAnswer, SealCredential
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text
from nomoat.protocols.http.routes import Route
from nomoat.protocols.inference.errors import error_event
from nomoat.resources.inference import Answer, Inference

LARGEST: Final = 32 << 20  # bytes of a request
MOST_MARKS: Final = 2 << 20  # of the marks that begin a value in it
DEEPEST: Final = 200  # levels; more than 254 could not be written again
VALUE_SIZE: Final = 72  # bytes that an empty object takes in memory, in a list of them
NEGLIGIBLE: Final = 64 << 10  # bytes of an answer that are held, and not counted
LONGEST_CREDENTIAL: Final = 4096  # characters
PASSED: Final = {
    Dialect.OPENAI: ("openai-beta",),
    Dialect.ANTHROPIC: ("anthropic-version", "anthropic-beta"),
}
"""Headers of the client that the upstream sees: which form of its protocol is spoken."""


@final
class InferenceEndpoint:
    """The enforcement point for models."""

    def __init__(self, guard: Guard, inference: Inference) -> None:
        self._guard = guard
        self._inference = inference

    async def _invoke(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        await self.invoke(exchange, Call("/".join(exchange.segments[1:])), partial(exchange.body, LARGEST), {})

    async def invoke(
        self, exchange: Exchange, call: Call, read: Callable[[], Awaitable[bytes]], also: Mapping[str, str]
    ) -> None:
        """Have a model answer the body that `read` returns; headers that are told `also` go with its answer."""
        try:
            with exchange.holding() as hold:

                async def parse(who: Principal) -> InvokeModel:
                    body, passed = await read(), _passed(exchange, call.dialect)
                    operation, values = _operation(call, body, passed)
                    hold(len(body) + VALUE_SIZE * values)
                    return await self._inference.look(who, operation)

                async with self._guard.admit(exchange.presented, parse) as permit:
                    await exchange.attended(self._answer(exchange, permit, hold, also))
        except NoMoatError as error:
            if not exchange.started or not exchange.streaming:
                raise
            # The answer began as a stream: its client hears in its own words why it ends.
            await exchange.part(error_event(call.dialect, error), more=False)

    async def _answer(
        self, exchange: Exchange, permit: Permit[InvokeModel], hold: Callable[[int], None], also: Mapping[str, str]
    ) -> None:
        answer = await self._inference.invoke(permit)
        try:
            await self._relay(exchange, permit, answer, hold, also)
        finally:
            answer.end()

    async def _relay(
        self,
        exchange: Exchange,
        permit: Permit[InvokeModel],
        answer: Answer,
        hold: Callable[[int], None],
        also: Mapping[str, str],
    ) -> None:
        exchange.streaming = answer.streamed
        head = {"Cache-Control": "no-store", **answer.headers, **also}
        if answer.streamed and not answer.is_held_whole:  # that it began is no secret; its first words may take long
            await exchange.start(answer.status, head)
        more, most = True, NEGLIGIBLE
        while more:
            part = await answer.part()
            if answer.held > most:  # the most that it held at one time counts to its end
                hold(answer.held - most)
                most = answer.held
            if answer.found is not None:
                # In a task of its own: a revocation ends both accesses, and each task hears of that once.
                await asyncio.create_task(self.release(exchange.presented, permit, answer))
                continue
            more = not answer.is_over
            if not exchange.started:
                await exchange.start(answer.status, head)
            await exchange.part(part, more=more)

    async def release(self, presented: Presented, permit: Permit[InvokeModel], answer: Answer) -> None:
        """Have an answer go on in which something was found, if that is permitted. Raises `Withheld`."""
        connection, _, protocol, method, _ = presented
        again = Presented(connection, Verified(permit.principal), protocol, method)
        operation = ReleaseAnswer(answer.endpoint, answer.found or EMPTY, answer.record)
        try:
            async with self._guard.admit(again, operation) as released:
                await self._inference.release(released, answer)
        except (NotPermitted, NotFound) as refusal:
            raise Withheld(f"the answer ends here, for what was found in it: {refusal.reason}") from None

    async def _list(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ListEndpoints()) as permit:
            names = self._inference.list_endpoints(permit)
            if exchange.header("anthropic-version") is not None:
                models = [
                    {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
                    for name in names
                ]
                ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
                await exchange.answer_json(200, {"data": models, "has_more": False, **ends})
                return
            listed = [{"id": name, "object": "model", "created": 0, "owned_by": "nomoat"} for name in names]
            await exchange.answer_json(200, {"object": "list", "data": listed})

    async def _seal(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> SealCredential:
            body = await exchange.json()
            require_only(body, "credential")
            credential = text(body, "credential", longest=LONGEST_CREDENTIAL)
            if not credential.isascii() or not credential.isprintable() or " " in credential or not credential:
                raise Malformed("a credential is printable ASCII without a space")
            return SealCredential(parse_subject_name(values["name"]), credential)

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, {"upstream": values["name"], "url": await self._inference.seal(permit)})

    async def _here(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        """Say that somebody is here: Claude Code asks before its first message."""
        await exchange.answer(200, b"", content_type="text/plain")

    def routes(self) -> list[Route]:
        """The routes of these protocols."""
        return [
            *(Route("POST", f"/v1/{call}", call.dialect.value, InvokeModel, self._invoke) for call in Call),
            Route("GET", "/v1/models", "openai", ListEndpoints, self._list),
            Route("HEAD", "/", "anthropic", None, self._here),
            Route("POST", "/v1/upstreams/{name}/credential", "admin", SealCredential, self._seal),
        ]


def _operation(call: Call, body: bytes, headers: tuple[tuple[str, str], ...]) -> tuple[InvokeModel, int]:
    """What a body asks for, and how many values it has at the most. Raises `Malformed`, `TooLarge`."""
    opened = body.count(b"[") + body.count(b"{")
    marks = body.count(b",") + opened
    if marks > MOST_MARKS:
        raise TooLarge("the body has too many values")  # parsed, they would take many times its size
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Malformed("the body is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("the body is not a JSON object")
    request = cast("dict[str, object]", value)
    model, stream = request.get("model"), request.get("stream", False)
    if not isinstance(model, str):
        raise Malformed("the body names no model")
    operation = InvokeModel(
        endpoint=parse_endpoint_name(model),
        call=call,
        digest=hashlib.sha256(body).hexdigest(),
        stream=stream is True,
        body=request,
        headers=headers,
        size=len(body),
    )
    # Marks within texts count, too: a look at the values is for bodies that have many.
    return operation, marks + 1 if opened <= DEEPEST else _count(request)


def _count(request: Mapping[str, object]) -> int:
    """How many values a request has. Raises `Malformed` for one that is nested too deeply."""
    level: list[object] = [request]
    count = 0
    for _ in range(DEEPEST):
        count += len(level)
        level = [value for each in level for value in _within(each)]
        if not level:
            return count
    raise Malformed(f"the body is nested more than {DEEPEST} levels deep")


def _within(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _passed(exchange: Exchange, dialect: Dialect) -> tuple[tuple[str, str], ...]:
    passed = tuple((name, value) for name in PASSED[dialect] if (value := exchange.header(name)) is not None)
    for name, value in passed:
        if not (value.isascii() and value.isprintable()):
            raise Malformed(f"the header {name} is not printable ASCII")
    return passed
