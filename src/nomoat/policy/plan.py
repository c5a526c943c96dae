"""What would change if one set of policies took the place of another."""

from typing import Literal, NamedTuple

from nomoat.policy.snapshot import PolicySnapshot


class PolicyChange(NamedTuple):
    """One policy that differs: how, its id, and the file that it is (or was) in."""

    change: Literal["added", "removed", "changed"]
    id: str
    file: str


def plan(old: PolicySnapshot, new: PolicySnapshot) -> tuple[PolicyChange, ...]:
    """The policies that differ between two sets, by id.

    Comments, spaces and order are no change, although they change the digest; moving a policy to
    another file is one.
    """
    changes: list[PolicyChange] = []
    for name in sorted({*old.ids, *new.ids}):
        if name not in old.policies:
            changes.append(PolicyChange("added", name, new.places[name]))
        elif name not in new.policies:
            changes.append(PolicyChange("removed", name, old.places[name]))
        elif old.policies[name] != new.policies[name] or old.places[name] != new.places[name]:
            changes.append(PolicyChange("changed", name, new.places[name]))
    return tuple(changes)
