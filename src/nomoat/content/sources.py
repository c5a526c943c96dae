"""Source code that is registered, looked for in prompts and in answers.

Rules: this loads nothing that is large: where no source is registered, nothing is looked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, final

from nomoat.content.decoding import ways_of
from nomoat.content.inspector import Seen, Trace
from nomoat.content.runs import is_said
from nomoat.content.texts import Text
from nomoat.core.content import Finding

STEP: Final = 200  # characters of an answer after which it is looked at again
WATCHED: Final = 6000  # characters before those that are looked at with them: some 150 lines


class Known(Protocol):
    """What is registered now: `KnownSources`, or `NOTHING_KNOWN`."""

    @property
    def generation(self) -> int:
        """What is known is the same where this is."""
        ...

    @property
    def findings(self) -> Mapping[str, Finding]:
        """What a text has that has something of a source, by the source's name."""
        ...

    def look(self, text: str) -> Seen:
        """What of a text is of a source."""
        ...

    def judge(self, traces: frozenset[Trace]) -> Iterable[Finding]:
        """The sources of which all texts of a request together have enough."""
        ...


@final
class NothingKnown:
    """No source is registered."""

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self.findings: Mapping[str, Finding] = {}

    def look(self, text: str) -> Seen:
        """Find nothing."""
        del text
        return Seen()

    def judge(self, traces: frozenset[Trace]) -> Iterable[Finding]:
        """Know nothing."""
        del traces
        return ()


@final
class SourceDetector:
    """Looks for copies of what is registered now."""

    def __init__(self, known: Callable[[], Known]) -> None:
        self._known = known

    @property
    def version(self) -> object:
        """What it would find depends on this."""
        return self._known().generation

    @property
    def looks(self) -> bool:
        """Whether any source is registered."""
        return bool(self._known().findings)

    def look(self, texts: Sequence[Text]) -> Seen:
        """What the texts, one after the other, have of a source, as they are or decoded."""
        known = self._known()
        if not known.findings:
            return Seen()
        seen = [known.look(way) for way in ways_of("\n".join([text.text for text in texts if is_said(text)]))]
        return Seen(
            findings=frozenset[Finding]().union(*(each.findings for each in seen)),
            traces=frozenset[Trace]().union(*(each.traces for each in seen)),
        )

    def judge(self, traces: frozenset[Trace]) -> Iterable[Finding]:
        """What the traces of a whole request come to."""
        return self._known().judge(traces)


@final
class SourceWatcher:
    """Looks for copies in a text that comes in pieces: an answer as it streams.

    A copy is found at the latest `STEP` characters after it has enough fingerprints; how much that is of a copy, as measured,
    is in docs/reference/sources.md. `findings` is all that was found so far.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._text = ""
        self._new = 0
        self._traces: set[Trace] = set()
        self.findings: frozenset[Finding] = frozenset()

    def feed(self, text: str) -> frozenset[Finding]:
        """Take a piece; return the sources that the text has something of up to here, as far as it was looked at."""
        if self._known.findings:
            self._text += text
            self._new += len(text)
            if self._new >= STEP:
                self.look()
        return self.findings

    def look(self) -> frozenset[Finding]:
        """Look at what came since the last time, with what came before it: at the end, too."""
        seen = self._known.look(self._text)
        self._traces |= seen.traces
        self.findings |= seen.findings.union(self._known.judge(frozenset(self._traces)))
        self._text = self._text[-WATCHED:]
        self._new = 0
        return self.findings
