"""Copies of registered source code: what is known of it, and what of a text is of it.

Rules: what is known of a source are its fingerprints under a key of the gateway's. A text is known by `NEEDED` of them of
one way near each other, or by `NEEDED_APART` in all of a request. What formatters, names and comments change makes no
difference; what is written anew, or described, is not seen here. This loads numpy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from numpy.typing import NDArray

from nomoat.content.fingerprints import Way, Words, fingerprints
from nomoat.content.inspector import Seen, Trace
from nomoat.core.content import Finding
from nomoat.core.lineage import Label

NEEDED: Final = 5  # fingerprints of a source
NEAR: Final = 80  # fingerprints of a text: some 60 lines
NEEDED_APART: Final = 8
MOST_TRACES: Final = 64  # of a source in one unit of a request
SHORTEST: Final = 60  # characters that can be told from anybody's


def keyed(key: bytes, words: bytes, way: Way) -> bytes:
    """Fingerprints as they are kept: under AES-256 as a pseudorandom permutation of (fingerprint, way).

    `key` has 32 bytes; `words` 8 for each fingerprint. A permutation of single blocks: equal ones have to stay equal.
    """
    values = np.frombuffer(words, "<u8")
    blocks = np.empty((len(values), 2), "<u8")
    blocks[:, 0] = values
    blocks[:, 1] = way.value
    # One block each, never two of one message: ECB is the permutation itself.
    sealed = Cipher(AES256(key), ECB()).encryptor().update(blocks.tobytes())  # noqa: S305
    return np.frombuffer(sealed, "<u8").reshape(-1, 2)[:, 0].tobytes()


def kept(key: bytes, words: bytes, way: Way) -> bytes:
    """Fingerprints as `keyed`, in an order that says nothing of the one that they came in."""
    return np.sort(np.frombuffer(keyed(key, words, way), "<u8")).tobytes()


@dataclass(frozen=True, slots=True)
class Source:
    """A registered source, and its fingerprints as they are kept, by way."""

    name: str
    label: Label
    cleared: str
    words: Mapping[Way, bytes]

    @property
    def finding(self) -> Finding:
        """What a text has that has something of it."""
        rule = f"source:{self.name}"
        return Finding(rule, self.label.join(Label(labels=frozenset({rule}))), source=self.name, cleared=self.cleared)


def _distinct(words: bytes) -> Words:
    """Fingerprints in order, each once; `numpy.unique` takes many times as long for so many."""
    ordered = np.sort(np.frombuffer(words, "<u8"))
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


@final
class KnownSources:
    """What is registered, ready to be looked for; immutable."""

    def __init__(self, generation: int = 0, key: bytes = b"", sources: Sequence[Source] = ()) -> None:
        self.generation = generation
        self._key = key
        self.findings = {source.name: source.finding for source in sources}
        self._names = list(self.findings)
        self._known: dict[Way, tuple[Words, NDArray[np.uint16]]] = {}
        if sources:
            for way in Way:
                words = [_distinct(source.words[way]) for source in sources]
                owners = [np.full(len(of), number, np.uint16) for number, of in enumerate(words)]
                if len(words) == 1:
                    self._known[way] = words[0], owners[0]
                    continue
                values, of = np.concatenate(words), np.concatenate(owners)
                order = np.argsort(values, kind="stable")
                self._known[way] = values[order], of[order]

    def look(self, text: str) -> Seen:
        """What of a text is of a source."""
        if not self._known or len(text) < SHORTEST:
            return Seen()
        findings: set[Finding] = set()
        traces: set[Trace] = set()
        for way, words in fingerprints(text.encode("utf-8", "surrogatepass")).items():
            for name, places, values in self._of(way, words):
                traces.update(Trace(name, value) for value in values)
                first, last = places[: len(places) - NEEDED + 1], places[NEEDED - 1 :]
                if len(last) and (last - first).min() <= NEAR:
                    findings.add(self.findings[name])
        return Seen(findings=frozenset(findings), traces=frozenset(traces))

    def judge(self, traces: frozenset[Trace]) -> Iterable[Finding]:
        """The sources of which all texts of a request together have enough."""
        count: dict[str, int] = {}
        for trace in traces:
            count[trace.source] = count.get(trace.source, 0) + 1
        return [self.findings[name] for name, of in count.items() if of >= NEEDED_APART and name in self.findings]

    def _of(self, way: Way, words: Words) -> list[tuple[str, NDArray[np.int64], list[int]]]:
        """Of each source: which of a text's fingerprints are known, by their places, and what some of them are."""
        known, owners = self._known[way]
        if not len(known) or not len(words):
            return []
        values = np.frombuffer(keyed(self._key, words.tobytes(), way), "<u8")
        first = np.searchsorted(known, values)
        there = np.flatnonzero(known[np.minimum(first, len(known) - 1)] == values)
        # The same again proves nothing more: of equal ones of a text, the first counts.
        there = np.sort(there[np.unique(values[there], return_index=True)[1]])
        begin = first[there]
        shared = np.searchsorted(known, values[there], side="right") - begin  # by how many sources
        places = np.repeat(there, shared)
        within = np.arange(len(places)) - np.repeat(np.cumsum(shared) - shared, shared)
        of = owners[np.repeat(begin, shared) + within]
        return [
            (self._names[owner], places[of == owner], values[places[of == owner][:MOST_TRACES]].tolist())
            for owner in np.unique(of).tolist()
        ]
