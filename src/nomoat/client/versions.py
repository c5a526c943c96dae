"""Versions of a repository, as the gateway tells of them."""

from dataclasses import dataclass

from nomoat.client.answers import field_of, rows_of
from nomoat.client.errors import Unintelligible
from nomoat.client.transport import Answer


@dataclass(frozen=True, slots=True)
class FileFinding:
    """The worst thing that a scan found in a file: by which rule, where in it ('' for all of it), and what."""

    path: str
    verdict: str
    rule: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class StandingVersion:
    """A commit of the main branch, and where it stands: since `at`, by whose word and why (Unix seconds, texts).

    `served` says whether it is what the branch means now, `findings` why it is in quarantine.
    """

    commit: str
    title: str
    author: str
    published: float
    served: bool
    stage: str
    by: str
    at: float
    reason: str
    findings: tuple[FileFinding, ...] = ()


def read_versions(answer: Answer) -> list[StandingVersion]:
    """Read the gateway's answer, newest first. Raises `Unintelligible`."""
    return [
        StandingVersion(
            **{name: field_of(row, name, str) for name in ("commit", "title", "author", "stage", "by", "reason")},
            published=_instant(row, "published"),
            served=field_of(row, "served", bool),
            at=_instant(row, "at"),
            findings=tuple(
                FileFinding(*(field_of(found, name, str) for name in ("path", "verdict", "rule", "where", "what")))
                for found in rows_of(row, "findings")
            ),
        )
        for row in rows_of(answer, "versions")
    ]


def _instant(answer: Answer, name: str) -> float:
    value = answer.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise Unintelligible(f"its answer has no proper {name!r}")
    return value
