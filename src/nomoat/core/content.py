"""Content: what inspectors found in a prompt or an answer, and the label that follows from it.

Rules: pure. What was found makes a text more confidential, never less. What can be redacted is a stretch of a text; the
rest stands. The names of rules are listed in docs/reference/content.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from nomoat.core.lineage import Label

Path = tuple[str | int, ...]
"""Where a text is within a JSON value: keys and places, from the outside in."""


KNOWN_FORMS: Final = ("secret:", "personal:")
"""How the names of rules begin that are the same at every gateway."""


MOST_NAMED: Final = 64


class Finding(NamedTuple):
    """One sort of thing that was found.

    `rule` is its stable name (`secret:aws-access-key`), `label` what it makes of a text that has it. `redactable`: the
    text without it is worth sending. `source` is the registered source that it is of, '' for none, and `cleared` the
    group whose members may have that.
    """

    rule: str
    label: Label
    redactable: bool = False
    source: str = ""
    cleared: str = ""


class Hit(NamedTuple):
    """Where a finding is: characters `start` to `end` of the text at `path`."""

    path: Path
    start: int
    end: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class Content:
    """What was found in one request or answer; `hits` says where what can be redacted is."""

    findings: frozenset[Finding] = frozenset()
    hits: Sequence[Hit] = field(default=(), compare=False)

    @property
    def label(self) -> Label:
        """The join of what everything found makes of it."""
        return Label.of(finding.label for finding in self.findings)

    @property
    def residue(self) -> Label | None:
        """The label of what remains when what can be redacted is; None where nothing can."""
        return self.lasting if any(finding.redactable for finding in self.findings) else None

    @property
    def lasting(self) -> Label:
        """The label of what cannot be redacted: what can be is found, and can be left out, wherever it comes again.

        So is a canary, whose finder is not to learn of it by what happens to other prompts.
        """
        return Label.of(
            each.label for each in self.findings if not each.redactable and "canary" not in each.label.labels
        )

    @property
    def sources(self) -> tuple[Finding, ...]:
        """The findings that are of a registered source."""
        return tuple(sorted((each for each in self.findings if each.source), key=lambda each: each.rule))

    @property
    def rules(self) -> str:
        """The names of what was found, as a record keeps them: so many that it has room."""
        names = sorted({finding.rule for finding in self.findings})
        return " ".join([*names[:MOST_NAMED], *(["…"] if len(names) > MOST_NAMED else [])])

    @property
    def told(self) -> str:
        """The rules that who wrote the prompt is told of: by forms that everybody knows, not by what is secret here."""
        told = {finding.rule for finding in self.findings if finding.rule.startswith(KNOWN_FORMS)}
        return ", ".join(sorted(told))


EMPTY: Final = Content()
