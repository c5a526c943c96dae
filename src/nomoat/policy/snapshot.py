"""PolicySnapshot: one version of the policies, compiled, immutable, known by its digest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import final

from nomoat.policy.cedar import Policy
from nomoat.policy.index import PolicyIndex


@final
@dataclass(frozen=True, slots=True, eq=False)
class PolicySnapshot:
    """The policies in force at one time; `compile_policies` makes it.

    `digest` is `sha256:` and the hexadecimal hash of file names and texts, `ids` the sorted ids,
    `files` what was compiled. `places` gives the file of each id, `policies` its JSON form.
    """

    digest: str
    ids: tuple[str, ...]
    files: Mapping[str, str] = field(repr=False)
    places: Mapping[str, str] = field(repr=False)
    policies: Mapping[str, Policy] = field(repr=False)
    index: PolicyIndex = field(repr=False)

    def restricted(self, ids: Iterable[str]) -> "PolicySnapshot":
        """The same without any policy but these; it keeps the digest, and is for analysis, never in force."""
        kept = {name: self.policies[name] for name in ids}
        return replace(self, ids=tuple(sorted(kept)), policies=kept, index=PolicyIndex(kept))
