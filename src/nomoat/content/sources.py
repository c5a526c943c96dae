"""Source code that is registered, looked for in prompts and in answers.

Rules: this loads nothing that is large: where no source is registered, nothing is looked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, final

import orjson

from nomoat.content.inspector import Seen, Trace
from nomoat.content.readings import readings_of
from nomoat.content.runs import LONGEST, is_said
from nomoat.content.texts import Text, texts_of
from nomoat.core.content import Finding


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
        said = "\n".join([_plain(text.text) for text in texts if is_said(text)])
        seen = [known.look(reading.text) for reading in readings_of(said)]
        return Seen(
            findings=frozenset[Finding]().union(*(each.findings for each in seen)),
            traces=frozenset[Trace]().union(*(each.traces for each in seen)),
        )

    def judge(self, traces: frozenset[Trace]) -> Iterable[Finding]:
        """What the traces of a whole request come to."""
        return self._known().judge(traces)


def _plain(text: str) -> str:
    """What the arguments of a tool say, which come as JSON, without its marks: lines of code are read one after the other."""
    if len(text) > LONGEST or not text.startswith("{") or not text.endswith("}"):
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return "\n".join([each.text for each in texts_of(value) if each.path is not None or is_said(each)])
