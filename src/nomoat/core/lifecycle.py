"""Stages of a version: who may have it depends on where it stands.

    quarantined ─► candidate ─► approved ─► withdrawn
         └──────────────────────────┴───────────┘

A version is a commit. What is published begins as a candidate, or in quarantine when something in it may not be had
without a person's word; where nobody has to review (`review = "none"`), a candidate is approved as it is published.
"""

from enum import StrEnum
from typing import NamedTuple

from nomoat.core.verdict import Verdict


class Stage(StrEnum):
    """Where a version stands."""

    QUARANTINED = "quarantined"
    CANDIDATE = "candidate"
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"


class Standing(NamedTuple):
    """Where a version stands, since when (Unix seconds), by whose word and why."""

    stage: Stage
    subject: str
    at: float
    reason: str


def stage_of(worst: Verdict, *, reviewed: bool) -> Stage:
    """The stage that a new version begins in: `worst` is the verdict of its worst file."""
    if worst not in {Verdict.CLEAN, Verdict.CONTAINS_CODE}:
        return Stage.QUARANTINED
    return Stage.CANDIDATE if reviewed else Stage.APPROVED
