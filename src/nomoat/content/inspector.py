"""The pass over a request: each of its texts is looked at once, by all detectors, and joined to one `Content`.

Rules: what a session sent before is not looked at again, which holds for that session alone: how fast an answer comes
tells nobody what others sent. A large request lets others run between its parts.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, final

import orjson

from nomoat.content.runs import runs_of
from nomoat.content.texts import Text, texts_of, units_of
from nomoat.core.content import EMPTY, Content, Finding, Hit

KEPT: Final = 16_384  # units that were looked at, of all sessions
WORK: Final = 64 << 10  # bytes that are looked at before others run


class Trace(NamedTuple):
    """That a text has something of a registered source; how much of it has to come together is for that to say."""

    source: str
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What one detector found in one unit of a request."""

    hits: tuple[Hit, ...] = ()
    findings: frozenset[Finding] = frozenset()
    traces: frozenset[Trace] = frozenset()


class Detector(Protocol):
    """Looks at the texts of one unit of a request. `version` changes with what it would find."""

    @property
    def version(self) -> object:
        """What it would find depends on this."""
        ...

    def look(self, texts: Sequence[Text]) -> Seen:
        """What is in the texts; paths of hits are those of the texts."""
        ...


class AcrossDetector(Detector, Protocol):
    """A detector that also finds what was split over several texts; `looks` is whether there is anything to look for."""

    @property
    def looks(self) -> bool:
        """Whether there is anything to look for."""
        ...


Judge = Callable[[frozenset[Trace]], Iterable[Finding]]
"""What the traces of a whole request come to."""


def hash_of(texts: Sequence[Text]) -> bytes:
    """What some texts are remembered by."""
    return hashlib.blake2b(orjson.dumps([text.text for text in texts]), digest_size=16).digest()


@final
class Inspector:
    """Looks at requests."""

    def __init__(
        self, detectors: Sequence[Detector], judge: Judge = lambda _: (), across: AcrossDetector | None = None
    ) -> None:
        self._detectors = detectors
        self._across = across
        self._judge = judge
        self._kept: OrderedDict[tuple[object, ...], Seen] = OrderedDict()

    async def look(self, session: str, body: Mapping[str, object]) -> Content:
        """What is found in a request of this session."""
        versions = tuple(detector.version for detector in self._detectors)
        hits: list[Hit] = []
        findings: set[Finding] = set()
        traces: set[Trace] = set()
        done = 0
        for path, unit in units_of(body):
            written = orjson.dumps(unit)
            key = (session, hashlib.blake2b(written, digest_size=16).digest(), versions)
            seen = self._kept.get(key)
            if seen is None:
                seen = self._look(unit)
                self._keep(key, seen)
                done += len(written)
                if done > WORK:
                    done = 0
                    await asyncio.sleep(0)
            else:
                self._kept.move_to_end(key)
            hits += [hit._replace(path=(*path, *hit.path)) for hit in seen.hits]
            findings |= seen.findings
            traces |= seen.traces
        if self._across is not None and self._across.looks:
            findings |= await self._look_across(self._across, session, body)
        findings.update(self._judge(frozenset(traces)) if traces else ())
        return Content(frozenset(findings), hits) if findings else EMPTY

    async def _look_across(
        self, detector: AcrossDetector, session: str, body: Mapping[str, object]
    ) -> frozenset[Finding]:
        """What short texts have together that follow each other: a copy may come in many messages."""
        findings: set[Finding] = set()
        for texts in runs_of(body):
            key = (session, hash_of(texts), detector.version)
            seen = self._kept.get(key)
            if seen is None:
                seen = Seen(findings=detector.look(texts).findings)
                self._keep(key, seen)
                await asyncio.sleep(0)
            else:
                self._kept.move_to_end(key)
            findings |= seen.findings
        return frozenset(findings)

    def _look(self, unit: object) -> Seen:
        texts = list(texts_of(unit))
        seen = [detector.look(texts) for detector in self._detectors]
        hits = tuple(hit for each in seen for hit in each.hits)
        return Seen(
            hits,
            frozenset(hit.finding for hit in hits).union(*(each.findings for each in seen)),
            frozenset[Trace]().union(*(each.traces for each in seen)),
        )

    def _keep(self, key: tuple[object, ...], seen: Seen) -> None:
        self._kept[key] = seen
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
