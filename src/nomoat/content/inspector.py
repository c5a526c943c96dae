"""The pass over a request: each of its texts is looked at once, by all detectors, and joined to one `Content`.

Rules: what a session sent before is not looked at again, which holds for that session alone: how fast an answer comes
tells nobody what others sent. A large request lets others run between its parts, of which a long text is several.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, final

import orjson

from nomoat.content.runs import runs_of
from nomoat.content.texts import Text, texts_of, units_of
from nomoat.core.content import EMPTY, Content, Finding, Hit, Path

KEPT: Final = 65_536  # units that were looked at and what was found in them, of all sessions
PIECE: Final = 48 << 10  # characters that are looked at before others run
EACH: Final = 16  # characters that a text counts for beside its own
MOST_HITS: Final = 16_384  # of a request that are told one by one
OVERLAP: Final = 16 << 10
"""Characters that two pieces of one long text share: as many as the longest thing has that is found as a whole."""


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

    @property
    def weight(self) -> int:
        """How much it is to remember, of what KEPT counts."""
        return 1 + len(self.hits) + len(self.traces)


class Detector(Protocol):
    """Looks at some texts of one unit of a request. `version` changes with what it would find."""

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
    """Looks at requests and answers. `judge` tells what the traces of a whole one come to."""

    def __init__(
        self, detectors: Sequence[Detector], judge: Judge = lambda _: (), across: AcrossDetector | None = None
    ) -> None:
        self._detectors = detectors
        self._across = across
        self.judge = judge
        self._kept: OrderedDict[tuple[object, ...], Seen] = OrderedDict()
        self._weight = 0

    @property
    def looks(self) -> bool:
        """Whether anything is looked for."""
        return bool(self._detectors)

    def see(self, texts: Sequence[Text]) -> Iterator[Seen]:
        """What each detector finds in some texts; what traces come to is for `judge` to say."""
        return (detector.look(texts) for detector in self._detectors)

    def see_across(self, texts: Sequence[Text]) -> frozenset[Finding]:
        """What texts have together that follow each other."""
        return self._across.look(texts).findings if self._across is not None and self._across.looks else frozenset()

    async def look(self, session: str, body: Mapping[str, object]) -> Content:
        """What is found in a request of this session."""
        versions = tuple(detector.version for detector in self._detectors)
        hits: list[Hit] = []
        findings: set[Finding] = set()
        traces: set[Trace] = set()
        done = told = 0
        for path, unit in units_of(body):
            written = orjson.dumps(unit)
            key = (session, hashlib.blake2b(written, digest_size=16).digest(), versions)
            seen = self._kept.get(key)
            done += EACH
            if done > PIECE:
                done = 0
                await asyncio.sleep(0)
            if seen is None:
                found: list[Seen] = []
                for piece in pieces_of(texts_of(unit)):
                    if done > PIECE:
                        done = 0
                        await asyncio.sleep(0)
                    done += piece.size
                    looked = [piece.whole(detector.look(piece.texts)) for detector in self._detectors]
                    told += sum(len(each.hits) for each in looked)
                    found += looked if told <= MOST_HITS else map(_gathered, looked)
                seen = _joined(found)
                self._keep(key, seen)
            else:
                self._kept.move_to_end(key)
            hits += [hit._replace(path=(*path, *hit.path)) for hit in seen.hits]
            findings |= seen.findings
            traces |= seen.traces
        if self._across is not None and self._across.looks:
            findings |= await self._look_across(self._across, session, body)
        findings.update(self.judge(frozenset(traces)) if traces else ())
        return Content(frozenset(findings), hits) if findings else EMPTY

    async def _look_across(
        self, detector: AcrossDetector, session: str, body: Mapping[str, object]
    ) -> frozenset[Finding]:
        """What short texts have together that follow each other: a copy may come in many messages."""
        findings: set[Finding] = set()
        for texts in runs_of(body):
            if not texts:
                await asyncio.sleep(0)
                continue
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

    def _keep(self, key: tuple[object, ...], seen: Seen) -> None:
        self._weight += seen.weight
        if (before := self._kept.pop(key, None)) is not None:  # the same unit twice at once
            self._weight -= before.weight
        self._kept[key] = seen
        while self._weight > KEPT:
            self._weight -= self._kept.popitem(last=False)[1].weight


def _joined(seen: Sequence[Seen]) -> Seen:
    hits = tuple(hit for each in seen for hit in each.hits)
    return Seen(
        hits,
        frozenset(hit.finding for hit in hits).union(*(each.findings for each in seen)),
        frozenset[Trace]().union(*(each.traces for each in seen)),
    )


def _gathered(seen: Seen) -> Seen:
    """What was found, with one hit for each finding in a text: from the first to the last."""
    spread: dict[tuple[Path, Finding], Hit] = {}
    for hit in seen.hits:
        first = spread.setdefault((hit.path, hit.finding), hit)
        if first is not hit:
            start, end = min(first.start, hit.start), max(first.end, hit.end)
            spread[hit.path, hit.finding] = first._replace(start=start, end=end)
    return Seen(tuple(spread.values()), seen.findings, seen.traces)


class Piece(NamedTuple):
    """Some texts that are looked at together: whole ones, or a part of one, from its character `start` on."""

    texts: Sequence[Text]
    size: int
    start: int = 0
    last: bool = True

    def whole(self, seen: Seen) -> Seen:
        """What was found, by places in whole texts, without what the next piece or the one before sees more of."""
        if not self.start and self.last:
            return seen
        kept = tuple(
            hit._replace(start=hit.start + self.start, end=hit.end + self.start)
            for hit in seen.hits
            if hit.end - hit.start >= OVERLAP
            or not ((self.start and not hit.start) or (not self.last and hit.end == self.size))
        )
        return Seen(kept, seen.findings, seen.traces)


def pieces_of(texts: Iterable[Text]) -> Iterator[Piece]:
    """All of some texts, in pieces that take about the same time."""
    held: list[Text] = []
    size = 0
    for text in texts:
        length = len(text.text)
        if length > PIECE + OVERLAP:
            for start in range(0, length - OVERLAP, PIECE):
                part = text.text[start : start + PIECE + OVERLAP]
                yield Piece([Text(text.path, part)], len(part), start, start + len(part) == length)
            continue
        held.append(text)
        size += length + EACH
        if size > PIECE:
            yield Piece(held, size)
            held, size = [], 0
    if held:
        yield Piece(held, size)
