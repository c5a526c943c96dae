"""What was decided, asked again: explanations, simulations, differences of a trial, unused grants.

Rules: all of it reads the log, so each is an Operation of its own, decided and recorded. Who explains
their own refusal learns what they may know: nothing of a thing that may not exist for them, of the files
in a folder that they removed those that they may see, of policies only the ids, of people only themselves. The log is read in a thread that leaves the gateway its time.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from nomoat.audit.log import Log
from nomoat.core.decision import Allow
from nomoat.core.errors import NotFound, Unavailable
from nomoat.core.operation import (
    DescribeFile,
    ExplainRecord,
    FindUnused,
    ListDocuments,
    Operation,
    ReadDifferences,
    Resolved,
    SimulatePolicy,
    Target,
)
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.core.record import REFUSED
from nomoat.policy.engine import PolicySnapshot, compile_policies, decide_again
from nomoat.policy.explanation import considered, differences, readings
from nomoat.policy.question import Question, Unanswerable, is_decision, question_of
from nomoat.policy.replay import Replay, Tally, Usage, changes_nothing, discoveries, names, number_of, part
from nomoat.resources import explained_content
from nomoat.resources.repositories.resolution import MISSING

PART: Final = 20  # records between two pauses
PAUSE_S: Final = 0.0003
DAY_S: Final = 86_400
DESCRIBED: Final = {"File": DescribeFile.action, "Document": ListDocuments.part}
"""By the kind of a target that lies in another, what tells of it."""

Answer = dict[str, object]
Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PolicySets:
    """Where policies are found: the active ones, those on trial, former ones by digest, when each came into force.

    `versions` yields (digest, Unix seconds), newest first.
    """

    active: Callable[[], PolicySnapshot]
    candidate: Callable[[], PolicySnapshot | None]
    former: Callable[[str], PolicySnapshot | None]
    versions: Callable[[], list[tuple[str, float]]]


@final
class History:
    """The recorded decisions, for those who may learn from them."""

    def __init__(self, log: Log, sets: PolicySets, clock: Callable[[], float]) -> None:
        self._log = log
        self._sets = sets
        self._clock = clock
        self._one = asyncio.Semaphore(1)  # scan of the log at a time

    def resolve_record(self, principal: Principal, operation: ExplainRecord) -> Resolved[ExplainRecord]:
        """Resolve whose records are meant: the caller's own refusals, or anybody's decisions."""
        facts = (("subject", principal.subject if operation.own else ""),)
        name = f"record {operation.number}"
        return Resolved(operation, (Target("LogRecord", "records", name, facts=facts),))

    def resolve_simulation(self, _: Principal, operation: SimulatePolicy) -> Resolved[SimulatePolicy]:
        """Resolve what is decided again: the log as it is now."""
        return Resolved(operation, (self._whole(),))

    def resolve_differences(self, _: Principal, operation: ReadDifferences) -> Resolved[ReadDifferences]:
        """Resolve where differences are recorded: the log as it is now."""
        return Resolved(operation, (self._whole(),))

    def resolve_unused(self, _: Principal, operation: FindUnused) -> Resolved[FindUnused]:
        """Resolve where use shows: the log as it is now."""
        return Resolved(operation, (self._whole(),))

    def _whole(self) -> Target:
        return Target("Log", "log", "log", str(self._log.size))

    async def explain(self, permit: Permit[ExplainRecord]) -> Answer:
        """Say why record `number` was decided as it was. Raises `NotFound` for one that the caller may not explain."""
        operation, caller = permit.claim(ExplainRecord).operation, permit.principal
        found = await self._log.read(f"record {operation.number}", limit=1)
        permit.check()
        record: Record = found[0] if found else {}
        refused = record.get("decision") == "deny" or _rejection(record)
        if not record.get("decision") or (operation.own and not (refused and is_of(record, caller))):
            raise NotFound(f"there is no record {operation.number} that you may explain", kind="entry")
        return await asyncio.to_thread(self._explain, record, operation.own)

    def _explain(self, record: Record, own: bool) -> Answer:
        told: Answer = {
            "record": number_of(record),
            "at": record.get("at"),
            "what": record.get("what"),
            "decision": "allowed" if record["decision"] == "allow" else "refused",
            "why": record.get("why", ""),
        }
        if rejection := _rejection(record):
            told["rejected"] = rejection
            told |= explained_content.rejection(record, own=own) if explained_content.is_about_content(record) else {}
        if not is_decision(record) or (own and rejection):  # of what they sent themselves, they were told
            return told
        # Where it cannot be decided again whether they may know the thing, they hear of it what they would of none.
        unknown: Answer = {**told, "why": MISSING} if record.get("within") else told
        snapshot = self._sets.former(str(record["snapshot"]))
        if snapshot is None and own:
            return unknown
        if snapshot is None:
            raise Unavailable("policy", "the policies of that time are not kept here; restore the state with them")
        try:
            question = question_of(record)
        except Unanswerable as error:
            return unknown if own else {**told, "unexplained": str(error)}
        active = self._sets.active()
        if own and not all(may_discover(each, question) for each in (snapshot, active)):
            return {**told, "why": MISSING}
        if own and explained_content.hides(record, question, (snapshot, active)):
            about = part(record, "on").get("name")
            return {
                **told,
                **_by(snapshot, active, record, question),
                "on": [about],
                **explained_content.hidden(record),
            }
        return {**told, **_explained(snapshot, active, record, question, own)}

    async def simulate(self, permit: Permit[SimulatePolicy]) -> Answer:
        """Decide the log again under other policies. Raises `Malformed` for a query or policies that are none."""
        operation = permit.claim(SimulatePolicy).operation
        after = await asyncio.to_thread(compile_policies, dict(operation.files))
        before = await asyncio.to_thread(compile_policies, dict(operation.base)) if operation.base else None
        replay = Replay(after, before)
        await self._scan(permit, operation.query, replay.take)
        return {
            "digest": after.digest,
            "compared": before.digest if before else "what was recorded",
            "decided": replay.decided,
            "unanswerable": replay.unanswerable,
            **_tallied(replay.tally),
        }

    async def differences(self, permit: Permit[ReadDifferences]) -> Answer:
        """Tell where the policies on trial decided otherwise. Raises `NotFound` when none are."""
        operation, candidate = permit.claim(ReadDifferences).operation, self._sets.candidate()
        if candidate is None:
            raise NotFound("no policies are on trial; begin with: nomoat policy try DIRECTORY", kind="entry")
        tally = Tally()

        def take(record: Record) -> None:
            told = part(record, "candidate")
            if told.get("snapshot") == candidate.digest:
                tally.add(record, allowed=told.get("decision") == "allow", policies=names(told.get("policies")))

        await self._scan(permit, operation.query, take)
        return {"digest": candidate.digest, **_tallied(tally)}

    async def unused(self, permit: Permit[FindUnused]) -> Answer:
        """Find grants of the active policies that nobody used, and those whose removal changes no recorded decision."""
        days, active = permit.claim(FindUnused).operation.days, self._sets.active()
        usage = Usage(active)
        await self._scan(permit, "", usage.take)
        since = self._clock() - days * DAY_S
        oldest = await asyncio.to_thread(self._ages, active, since)
        never = {name for name in usage.grants if name not in usage.last and name not in oldest}
        removable = await self._removable(permit, active, never)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
        rows: list[Answer] = []
        for name in usage.grants:
            last = usage.last.get(name)
            used = str(last["at"]) if last else ""
            if used >= stamp:
                continue
            verdict = (
                "remove" if name in removable else "young" if name in oldest else "used before" if last else "keep"
            )
            record = number_of(last) if last else None
            rows.append({"id": name, "file": active.places[name], "last": used, "record": record, "verdict": verdict})
        return {
            "digest": active.digest,
            "days": days,
            "grants": len(usage.grants),
            "decided": usage.decided,
            "unanswerable": usage.unanswerable,
            "unused": rows,
        }

    async def _removable(self, permit: Permit[FindUnused], active: PolicySnapshot, never: set[str]) -> set[str]:
        """The grants that may go together: without them every recorded decision is decided as with them."""
        if not never:
            return set()
        without = active.restricted(name for name in active.ids if name not in never)
        changed: list[int] = []

        def take(record: Record) -> None:
            if not changes_nothing(record, active, without):
                changed.append(number_of(record))

        await self._scan(permit, "", take)
        return set() if changed else never

    def _ages(self, active: PolicySnapshot, since: float) -> set[str]:
        """The policies that came into force, as they are, later than `since`."""
        young = set(active.ids)
        for digest, at in self._sets.versions():
            former = self._sets.former(digest)
            if former is None or not young:
                break
            young = {name for name in young if former.policies.get(name) == active.policies[name]}
            if at <= since:  # it was in force then: what is in it is older
                return set(active.ids) - young
        return set(active.ids)

    async def _scan(self, permit: Permit[Operation], query: str, take: Callable[[Record], None]) -> None:
        """Show every decision that matches to `take`, in a thread, newest first."""
        records = self._log.decisions(query)
        async with self._one:
            count = await asyncio.to_thread(_drain, records, take, permit.check)
        permit.check()
        permit.note(records=str(count))


def _drain(records: Iterator[Record], take: Callable[[Record], None], check: Callable[[], None]) -> int:
    count = 0
    for count, record in enumerate(records, start=1):
        take(record)
        if count % PART == 0:
            check()
            time.sleep(PAUSE_S)  # the accesses of others go first
    return count


def _tallied(tally: Tally) -> Answer:
    turned = tally.turned
    return {
        "newly_allowed": turned["allowed"],
        "newly_refused": turned["refused"],
        "groups": tally.described(),
        "untold": tally.untold,
    }


def is_of(record: Record, caller: Principal) -> bool:
    """Whether a record is of something that the caller did."""
    who = part(record, "who")
    return f"{who.get('kind')}:{who.get('name')}" == caller.subject


def _rejection(record: Record) -> Answer:
    """Why a content was refused that an allowed access brought, and by which rule; empty where none was."""
    ended = part(record, "outcome")
    return {"why": ended.get("why"), "rule": ended.get("rule")} if ended.get("outcome") == REFUSED else {}


def may_discover(snapshot: PolicySnapshot, question: Question) -> bool:
    """Whether policies let who asked a question know of what it was about."""
    return all(isinstance(decide_again(snapshot, asked), Allow) for asked in discoveries(question))


def _describable(sets: Sequence[PolicySnapshot], question: Question) -> tuple[Target, ...]:
    """The targets that the caller may know of, by each of these policies; a repository or an index is one (discovered)."""

    def may(target: Target) -> bool:
        action = DESCRIBED.get(target.kind)
        asked = replace(question, action=action or "", targets=(target,))
        return action is None or all(isinstance(decide_again(each, asked), Allow) for each in sets)

    return tuple(filter(may, question.targets))


def _by(snapshot: PolicySnapshot, active: PolicySnapshot, record: Record, question: Question) -> Answer:
    """By which policies it was decided, and how it would be now."""
    return {
        "policies": record.get("policies"),
        "snapshot": snapshot.digest,
        "in_force": snapshot.digest == active.digest,
        "now": "allowed" if isinstance(decide_again(active, question), Allow) else "refused",
    }


def _explained(
    snapshot: PolicySnapshot, active: PolicySnapshot, record: Record, question: Question, own: bool
) -> Answer:
    decision = decide_again(snapshot, question)
    allowed = record["decision"] == "allow"
    mine = replace(question, targets=tuple(each._replace(owner_person="") for each in question.targets))
    told: Answer = {
        "on": [target.name for target in question.targets],
        **_by(snapshot, active, record, question),
        # The same policies decide the same; where they do not, the record does not hold all that was read.
        "confirmed": isinstance(decision, Allow) is allowed and not question.sampled,
    }
    if own and record.get("found"):
        visible = _describable((snapshot, active), question)
        if len(visible) < len(question.targets):  # what was read and would help tells of the others
            return {**told, "on": [target.name for target in visible], "partial": True}
    found = differences(snapshot, question)
    told |= {
        "read": [{"name": name, "value": value} for name, value in readings(snapshot, mine if own else question)],
        "ways": [
            {"changes": [change.said for change in way.changes], "policies": list(way.policies)} for way in found.ways
        ],
        "complete": found.complete,
    }
    if not own:
        told["who"] = record.get("who")
        told["considered"] = [each._asdict() for each in considered(snapshot, question)]
    return told
