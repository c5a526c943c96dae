"""A gateway in this process with a simulated model server behind it: who asks, and what came of it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from nomoat.content import Inspector, Seen
from nomoat.content.texts import Text
from nomoat.core.content import Finding, Hit
from nomoat.core.inference import Call
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import InvokeModel
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.resources.inference import Inference
from nomoat.stores.session_labels import SessionLabels
from tests.guard.world import Actor, runs_in
from tests.inference.conftest import DECLARED
from tests.inference.upstream import Simulator, simulator
from tests.resources.world import DIGITS, SECRETS, Yard, yard

MORE = """
[[workload]]
name = "assistant"
segment = "training"
groups = ["model-users"]
clearance = "restricted"
[[endpoint]]
name = "acme/both"
classification = "public"
served = [{ upstream = "hosted", model = "theirs" }, { upstream = "internal", model = "ours" }]
[[endpoint]]
name = "acme/ours"
classification = "public"
served = [{ upstream = "internal", model = "ours" }]
"""
UNRELATED = "what is a good name for a cat?"


@dataclass
class Words:
    """A detector of exact words."""

    known: dict[str, Finding]
    version: object = 1

    def look(self, texts: Sequence[Text]) -> Seen:
        hits = [
            Hit(text.path or (), at, at + len(word), finding)
            for text in texts
            for word, finding in self.known.items()
            if (at := text.text.find(word)) >= 0
        ]
        return Seen(tuple(hits))


@dataclass
class Desk:
    """The gateway, the server behind it, and a workload that may read datasets and ask models."""

    there: Yard
    upstream: Simulator
    assistant: Actor = field(init=False)

    @property
    def inference(self) -> Inference:
        return self.there.world.gateway.inference

    @property
    def sessions(self) -> SessionLabels:
        return self.there.catalog.lineage.sessions

    def watch_for(self, **known: Finding) -> None:
        self.inference._inspector = Inspector([Words(known)])

    async def join(self, name: str = "assistant", kind: PrincipalKind = PrincipalKind.WORKLOAD) -> Actor:
        return await self.there.world.joined(kind, name)

    async def ask(self, model: str, by: Actor | None = None, said: str = UNRELATED, **more: object) -> bytes:
        """What a model answers, or the refusal that is raised."""
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": said}], **more}
        written = hashlib.sha256(orjson.dumps(body)).hexdigest()

        async def parse(who: Principal) -> InvokeModel:
            return await self.inference.look(
                who, InvokeModel(model, Call.CHAT, written, bool(more.get("stream")), body)
            )

        async with self.there.guard.admit((by or self.assistant).present(), parse) as permit:
            answer = await self.inference.invoke(permit)
            try:
                parts = [await answer.part()]
                while not answer.is_over:
                    parts.append(await answer.part())
            finally:
                answer.end()
            return b"".join(parts)

    def outside(self, said: str) -> bool:
        """Whether somebody else's server was sent this."""
        return any(path.startswith("/hosted") and said in str(body) for path, _, body in list(self.upstream.asked))


async def until(condition: Callable[[], bool]) -> None:
    """Return when it is so."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never was")


@asynccontextmanager
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    with simulator() as upstream:
        async with yard(tmp_path) as there:
            await there.world.declare(DECLARED.format(port=upstream.port) + MORE)
            await there.write(DIGITS, {"train.csv": b"1,2,3", "open/cat.txt": b"meow"})
            await there.write(SECRETS, {"plan.txt": b"the plan"})
            found = Desk(there, upstream)
            found.assistant = await found.join()
            yield found


at_desk = runs_in(desk)

PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED = Classification
SOURCE = Finding("source:engine", Label(CONFIDENTIAL, frozenset({"engine"})), source="engine", cleared="model-users")
SECRET = Finding("secret:key", Label(INTERNAL, frozenset({"secret"})), redactable=True)
