"""Looking for secrets, personal data and what is registered, in every reading of a text.

Rules: what is found is where it stands in the text, never what it is. A text that has more than can be told one by one is
told as a whole. Nothing is remembered of a text.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

from nomoat.content import personal, secrets
from nomoat.content.inspector import Seen
from nomoat.content.readings import Reading, readings_of
from nomoat.content.registered import Registered
from nomoat.content.rules import Span
from nomoat.content.texts import Text
from nomoat.core.content import Finding, Hit

MOST_SPANS: Final = 4096  # that are told one by one of what is looked at together
BETWEEN: Final = "\n\n"  # texts; no pattern but that of a private key goes on after an empty line
RULES: Final = (*secrets.NAMES, *personal.NAMES)
_FAMILIES: Final = (*secrets.FAMILIES, *personal.FAMILIES)
_SUSPECT: Final = re.compile(r"[0-9@=:\\%]|[^\x00-\x7f]|\S{16}")
"""What every text has in which a pattern finds something, or that says something else when it is decoded: words alone have not,
and most of an answer is words."""


@final
class PatternDetector:
    """The detector of secrets, personal data, registered values and canaries. It may be used by several threads."""

    def __init__(self, registered: Callable[[], Registered] = Registered) -> None:
        self._registered = registered

    @property
    def version(self) -> object:
        """Changes with what is registered."""
        return self._registered().generation

    def look(self, texts: Sequence[Text]) -> Seen:
        """What is in some texts; in a key, nothing can be redacted."""
        starts: list[int] = []
        at = 0
        for _, text in texts:
            starts.append(at)
            at += len(text) + len(BETWEEN)
        hits: list[Hit] = []
        findings = set[Finding]()
        for start, end, finding in self.find(BETWEEN.join(text for _, text in texts)):
            for number in range(max(0, bisect_right(starts, start) - 1), bisect_right(starts, end - 1)):
                path, text = texts[number]
                begin, until = max(0, start - starts[number]), min(len(text), end - starts[number])
                if begin >= until:
                    continue
                if path is None:
                    findings.add(finding._replace(redactable=False))
                else:
                    hits.append(Hit(path, begin, until, finding))
        return Seen(tuple(hits), frozenset(findings))

    def find(self, text: str) -> list[Span]:
        """What is in a text, in no order: offsets of its characters, and the findings.

        No match has a space or a line's end but these: `secret:private-key` (up to 16,384 characters), `personal:iban`
        (42), `personal:payment-card` (23), `personal:phone` (24), `personal:fr-nir` (21), `value:…` (16 words), and what
        is encoded over several lines. All others end at the next space, however long that takes. What is encoded is
        found where the encoded run is complete. The time is linear in the text's length.
        """
        spans = set[Span]()
        for span in self._spans(text):
            spans.add(span)
            if len(spans) > MOST_SPANS:
                return [Span(0, len(text), finding) for finding in {each.finding for each in spans}]
        return list(spans)

    def _spans(self, text: str) -> Iterator[Span]:
        registered = self._registered()
        if _SUSPECT.search(text) is None:
            yield from registered.find(text)
            return
        for reading in readings_of(text):
            for start, end, finding in registered.find(reading.text):
                yield Span(*reading.place(start, end), finding)
            yield from _matches(reading)


def _matches(reading: Reading) -> Iterator[Span]:
    written = reading.text.encode("utf-8", "replace")
    ascii_only = len(written) == len(reading.text)
    for span in secrets.private_keys(written):
        yield _placed(reading, written, span, ascii_only=ascii_only)
    for family in _FAMILIES:
        for span in family.find(written):
            yield _placed(reading, written, span, ascii_only=ascii_only)


def _placed(reading: Reading, written: bytes, span: Span, *, ascii_only: bool) -> Span:
    """A span of bytes as one of the text's characters."""
    start, end, finding = span
    if not ascii_only:
        before = len(written[:start].decode("utf-8", "ignore"))
        start, end = before, before + len(written[start:end].decode("utf-8", "ignore"))
    return Span(*reading.place(start, end), finding)
