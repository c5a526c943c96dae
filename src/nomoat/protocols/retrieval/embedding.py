"""Texts of an index, sent to a model that makes vectors of them → InvokeModel, by whoever searches or writes.

Rules: a query goes by the permission of who asks it, a document by that of who puts it in, with the document's label; both as any
prompt does. What comes back is one vector for each text, of the length that is declared and of numbers, or nothing is made of it.
"""

import asyncio
import hashlib
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, TypeAlias, cast, final

import orjson

from nomoat.core.connection import Presented, Verified
from nomoat.core.errors import NotFound, NotPermitted, StepUpRequired, Unavailable, Withheld
from nomoat.core.inference import Call
from nomoat.core.operation import InvokeModel
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.inference.routes import InferenceEndpoint
from nomoat.resources.inference import Answer, Inference
from nomoat.resources.retrieval.embedding import AskedModel, Embedded, Texts

MOST_TEXTS: Final = 64  # in one request
MOST_CHARACTERS: Final = 128 << 10  # of them together, but for one that is longer
NUMBER_SIZE: Final = 32  # bytes of a number in an answer, with the space around it
AROUND: Final = 64 << 10  # bytes of an answer beside its numbers
OK: Final = 200
PART: Final = "embedder"
NAMED: Final = 3  # documents that a refusal names

AskFor: TypeAlias = Callable[[Principal, Texts], Awaitable[Embedded]]


@final
class Embedding:
    """The enforcement point for what an index has a model make vectors of."""

    def __init__(self, guard: Guard, inference: Inference) -> None:
        self._guard = guard
        self._inference = inference
        self._models = InferenceEndpoint(guard, inference)

    def asker(self, exchange: Exchange) -> AskFor:
        """What asks for vectors for one exchange, as a principal that was verified for it."""

        async def ask(who: Principal, asked: Texts) -> Embedded:
            vectors, records = bytearray(), list[int]()
            with exchange.holding() as hold:
                for texts in _batches(asked.texts) if asked.texts else [()]:
                    made, record = await exchange.attended(self._apart(exchange, who, asked, texts))
                    hold(len(made))
                    vectors += made
                    records.append(record)
            return Embedded(bytes(vectors), tuple(records))

        return ask

    async def _apart(self, exchange: Exchange, who: Principal, asked: Texts, texts: Sequence[str]) -> tuple[bytes, int]:
        """In a task of its own: a revocation ends both accesses, and each task hears of that once."""
        return await asyncio.create_task(self._batch(exchange, who, asked, texts))

    async def _batch(self, exchange: Exchange, who: Principal, asked: Texts, texts: Sequence[str]) -> tuple[bytes, int]:
        """The vectors of some texts, and the record that allowed asking for them."""
        connection, _, protocol, method, _ = exchange.presented
        presented = Presented(connection, Verified(who), protocol, method)
        body = {"model": asked.model.endpoint, "input": list(texts), "encoding_format": "float"}
        written = orjson.dumps(body)
        digest = hashlib.sha256(written).hexdigest()
        operation = InvokeModel(
            asked.model.endpoint, Call.EMBEDDING, digest, stream=False, body=body, size=len(written)
        )
        most, may_ask = AROUND + NUMBER_SIZE * asked.model.size * len(texts), False
        try:
            operation = await self._inference.look(who, operation, asked.label)
            async with self._guard.admit(presented, operation) as permit:
                may_ask = True
                if not texts:
                    return b"", permit.receipt.index
                with exchange.holding() as hold:
                    hold(most)
                    answer = await self._inference.invoke(permit)
                    try:
                        content = await self._content(presented, permit, answer, most)
                    finally:
                        answer.end()
                    if permit.outcome.get("model") != asked.model.model:
                        raise Unavailable(PART, "it is another model since this was begun; try again")
                    return parse_vectors(content, len(texts), asked.model.size), permit.receipt.index
        except StepUpRequired:
            raise
        except (NotFound, NotPermitted) as refusal:
            raise _refused(asked, refusal, may_ask=may_ask) from None

    async def _content(self, presented: Presented, permit: Permit[InvokeModel], answer: Answer, most: int) -> bytes:
        """The whole answer. Raises `Unavailable` where it is none, or larger than vectors are; `Withheld`."""
        if answer.status != OK:
            raise Unavailable(PART, f"the model did not take the texts (it answered {answer.status})")
        content = bytearray()
        while True:
            content += await answer.part()
            if answer.found is not None:
                await asyncio.create_task(self._models.release(presented, permit, answer))
            elif answer.is_over:
                return bytes(content)
            if len(content) > most:
                raise Unavailable(PART, "the model's answer is larger than the vectors of these texts")


def kept(ask: AskFor) -> AskFor:
    """The same, which asks a model once for what is asked of it again."""
    known: dict[tuple[AskedModel, tuple[str, ...]], Embedded] = {}

    async def again(who: Principal, asked: Texts) -> Embedded:
        key = (asked.model, tuple(asked.texts))
        if key not in known:
            known[key] = await ask(who, asked)
        return known[key]

    return again


def parse_vectors(content: bytes, count: int, size: int) -> bytes:
    """The vectors of an answer in the order of the texts, as 32-bit floats. Raises `Unavailable` for what is none."""
    try:
        answer: object = orjson.loads(content)
    except orjson.JSONDecodeError:  # also where a number is none: JSON has no NaN and no infinity
        raise Unavailable(PART, "the model's answer is not JSON") from None
    data = cast("dict[str, object]", answer).get("data") if isinstance(answer, dict) else None
    rows = cast("list[object]", data) if isinstance(data, list) else []
    if len(rows) != count:
        raise Unavailable(PART, f"the model answered {len(rows)} vectors for {count} texts")
    found: dict[int, bytes] = {}
    for each in rows:
        row = cast("dict[str, object]", each) if isinstance(each, dict) else {}
        number = row.get("index")
        if type(number) is not int or not 0 <= number < count or number in found:
            raise Unavailable(PART, "the model does not say which vector is of which text")
        found[number] = _vector(row.get("embedding"), size)
    return b"".join(found[number] for number in range(count))


def _vector(said: object, size: int) -> bytes:
    numbers = cast("list[object]", said) if isinstance(said, list) else []
    if len(numbers) != size:
        raise Unavailable(PART, f"the model answered a vector of {len(numbers)} dimensions; {size} are declared")
    if not all(type(number) in {int, float} for number in numbers):
        raise Unavailable(PART, "the model answered a vector that is not of numbers")
    try:
        return struct.pack(f"<{size}f", *cast("list[float]", numbers))
    except (OverflowError, struct.error):
        raise Unavailable(PART, "the model answered a number that no vector has") from None


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts in requests that are not too large, in their order."""
    batch, length = list[str](), 0
    for text in texts:
        if batch and (len(batch) == MOST_TEXTS or length + len(text) > MOST_CHARACTERS):
            yield batch
            batch, length = [], 0
        batch.append(text)
        length += len(text)
    if batch:
        yield batch


def _refused(asked: Texts, refusal: NotFound | NotPermitted, *, may_ask: bool) -> NotPermitted:
    """What to tell who searches or writes. Of the model's name nothing, where they may not ask it."""
    if isinstance(refusal, Withheld) or (may_ask and not asked.documents):
        return NotPermitted(f"a model makes a vector of this query, and {refusal.reason}", detail=refusal.reason)
    if not may_ask:
        why = f": record {refusal.record} says why" if refusal.record is not None else ""
        instead = "" if asked.documents else "; search by keywords alone"
        return NotPermitted(
            f"a model makes the vectors of this index, and you may not ask it{why}{instead}", detail=refusal.reason
        )
    more = len(asked.documents) - NAMED
    names = ", ".join(asked.documents[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return NotPermitted(
        f"{names} ({', '.join(asked.label.told)}), with what your session carries, may be sent to no server of "
        f"{asked.model.endpoint}, which makes the vectors of this index; nothing was put in",
        detail=refusal.reason,
    )
