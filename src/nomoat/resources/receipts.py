"""Receipts of one's own accesses: what the log can prove of somebody, for themselves.

Rules: a receipt is given to whoever the record is about, of what they were told: an access that was allowed, or a
refusal that named its record. Of anything else (somebody else's record, none at all, a refusal that told of
a missing thing, whether there is one or not) the answer is one and the same. Nothing is disclosed: what a record says may
be more than its subject may know, and an entry holds pseudonyms only.
"""

import json
from collections.abc import Mapping
from typing import Final, cast, final

from nomoat.audit.evidence import Evidence
from nomoat.core.errors import Conflict, NotFound
from nomoat.core.operation import ProveOwnRecord, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.policy.question import Unanswerable, is_decision, question_of
from nomoat.resources.history import PolicySets, is_of, may_discover

Record = Mapping[str, object]
UNTOLD: Final = NotFound.__name__


@final
class OwnReceipts:
    """The receipts of a caller's own accesses. `sets` says what the caller may know of, then and now."""

    def __init__(self, evidence: Evidence, sets: PolicySets) -> None:
        self._evidence = evidence
        self._sets = sets

    def resolve(self, principal: Principal, operation: ProveOwnRecord) -> Resolved[ProveOwnRecord]:
        """Resolve whose records are meant: the caller's own."""
        facts = (("subject", principal.subject),)
        return Resolved(operation, (Target("LogRecord", "records", f"record {operation.number}", facts=facts),))

    async def prove(self, permit: Permit[ProveOwnRecord]) -> str:
        """Return the receipt of a record of the caller's own (c2sp.org/tlog-proof).

        Raises `NotFound` for every other number.
        """
        number = permit.claim(ProveOwnRecord).operation.number
        try:
            receipt, opening = await self._evidence.receipt(number, disclose=True)
        except (NotFound, Conflict):  # there is none, or its content was erased, which is somebody else's affair
            opening, receipt = None, b""
        permit.check()
        record = cast("Record", json.loads(opening.content if opening is not None else b"{}"))
        if not (is_of(record, permit.principal) and self._was_told(record)):
            raise NotFound(f"there is no record {number} of an access of yours", kind="entry")
        permit.note(record=str(number))
        return receipt.decode()

    def _was_told(self, record: Record) -> bool:
        """Whether the caller heard the record's number, and may know now what they heard."""
        if record.get("decision") == "allow":
            return True
        if not is_decision(record):
            return record.get("refusal", UNTOLD) != UNTOLD
        snapshot = self._sets.former(str(record["snapshot"]))
        try:
            question = question_of(record)
        except Unanswerable:
            return False
        return snapshot is not None and all(may_discover(each, question) for each in (snapshot, self._sets.active()))
