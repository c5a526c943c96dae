"""Stages of a version: who may have it depends on where it stands.

    quarantined ─► candidate ─► approved ─► withdrawn
         └──────────────────────────┴───────────┘        (from any of them, for good) ─► shredded

A version is a commit. What is published begins as a candidate, or in quarantine when something in it may not be had
without a person's word; where nobody has to review (`review = "none"`), a candidate is approved as it is published, and
what could not be examined is no reason for quarantine.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Final, NamedTuple

from nomoat.core.verdict import Verdict

HELD: Final = frozenset({Verdict.QUARANTINED, Verdict.REFUSED, Verdict.UNSCANNABLE})
"""What a file may be that puts its version in quarantine; where nobody reviews, what could not be examined does not."""


class Stage(StrEnum):
    """Where a version stands."""

    QUARANTINED = "quarantined"
    CANDIDATE = "candidate"
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"
    SHREDDED = "shredded"

    __hash__ = str.__hash__  # hashed for every request, as `Classification` is


class Standing(NamedTuple):
    """Where a version stands, since when (Unix seconds), by whose word and why.

    `statement` is what was signed of it then, a bundle; empty where nothing was.
    """

    stage: Stage
    subject: str
    at: float
    reason: str
    statement: bytes = b""


def stage_of(verdicts: Collection[Verdict], *, reviewed: bool) -> Stage:
    """The stage that a new version begins in: `verdicts` are those of its files.

    What could not be examined waits for a person where one looks anyway; elsewhere policies see the verdict.
    """
    if not (HELD if reviewed else HELD - {Verdict.UNSCANNABLE}).isdisjoint(verdicts):
        return Stage.QUARANTINED
    return Stage.CANDIDATE if reviewed else Stage.APPROVED
