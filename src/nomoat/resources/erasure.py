"""Erasure as a resource: what the log says of somebody is destroyed, and that it was is on the record.

Rules: the key of the subject's content is what is destroyed; entries, tree and proofs stay. A subject
that comes back gets a new key. What was made of the content goes in the same transaction (columns), or is
as none from it on (the index, which is made anew; batches that wait for a receiver, which are read again).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import final

from sqlalchemy.engine import Connection

from nomoat.audit.log import Log
from nomoat.core.errors import Malformed, NotFound
from nomoat.core.names import parse_subject_name
from nomoat.core.operation import EraseContent, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.stores.subject_keys import StoredSubjectKeys

Forget = Callable[[str], Awaitable[None]]
"""Drop what was made of the content of a subject (`person:NAME`); called after its key is gone."""


@final
class Erasure:
    """Erases a subject's content, and what was made of it.

    `derived` destroys within the same transaction what could still tell of the content; `forget` are those
    who clean up after it: each is told, in order.
    """

    def __init__(
        self, log: Log, keys: StoredSubjectKeys, derived: Callable[[Connection], None], forget: Sequence[Forget] = ()
    ) -> None:
        self._log = log
        self._keys = keys
        self._derived = derived
        self._forget = forget

    def resolve(self, principal: Principal, operation: EraseContent) -> Resolved[EraseContent]:
        """Resolve whose content: anybody's who may have been here, declared now or not. Raises `Malformed`."""
        del principal
        kind, _, name = operation.subject.partition(":")
        try:
            subject = f"{PrincipalKind(kind).value}:{parse_subject_name(name)}"
        except ValueError:
            raise Malformed("whose content is erased is written person:NAME or workload:NAME") from None
        facts = (("subject_kind", kind), ("subject", subject))
        return Resolved(operation, (Target("Identity", subject, subject, facts=facts),))

    async def erase(self, permit: Permit[EraseContent]) -> dict[str, object]:
        """Destroy the key, durably; return the number of the record that says so and the subject's pseudonym.

        Raises `NotFound` when no record has content of that subject (any more), `Unavailable` when the
        state fails: then nothing was erased.
        """
        subject = permit.claim(EraseContent).operation.subject
        pseudonym = self._log.pseudonym(subject)
        record = permit.receipt.index
        # Right after the commit, before anything else runs: from then on nothing is sealed with that key.
        destroyed = await self._keys.destroy(pseudonym, record, self._log.forget, self._derived)
        if not destroyed:
            raise NotFound(f"no record has content of {subject} that could be erased", kind="entry")
        for forget in self._forget:
            await forget(subject)
        emptied = await self._keys.empty_journal()
        permit.note(pseudonym=pseudonym, journal="emptied" if emptied else "still in use")
        return {"subject": subject, "pseudonym": pseudonym, "record": record}
