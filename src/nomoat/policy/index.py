"""The index: for each kind of request, the few policies that can apply to it, parsed and kept.

Cedar evaluates every policy of a set for every request. The scope of a policy (its principal, action
and resource, before `when`) says of most policies that they cannot apply, and it depends on little:
the action, the kind and groups of the caller, the kind of the target, and the ids that policies name.
Requests that agree in these share a *slice*: the policies whose scope holds, without their scope.

Rules: a constraint of a scope either certainly holds (and is left out of the slice), certainly does not
(and the policy is left out), or is not understood here (and stays for Cedar to evaluate). A scope
cannot err, so leaving out a policy whose scope does not hold hides no error. Conditions are never
touched. INVARIANT (same answer): a slice decides, and errs, exactly like the whole set; a property
test compares them.

An id that no policy names cannot change a decision, so all of them are one (`anonymous`): a thousand
files with the same labels are one target to policies. That holds for targets because the only other
way to compare an entity, an attribute that holds one, exists for groups and people alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

from nomoat.policy import cedar
from nomoat.policy.cedar import ACTION, GROUP, Est, Policy, Uid
from nomoat.policy.scope import CONSTRAINTS, Constraint, Holds, scope
from nomoat.policy.syntax import entities, nodes

SLICES: Final = 1_024  # kinds of request
SHARED: Final = 256  # selections of policies; kinds of request that select the same share one

CIRCUMSTANCES: Final = frozenset({"at", "auth_age", "binding", "obtained", "session", "source"})
FILE: Final = "NoMoat::File"
REPOSITORIES: Final = frozenset({"NoMoat::Dataset", "NoMoat::Model"})
ALL: Final[Policy] = {"op": "All"}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """The policies `ids` without their scopes, and the attributes of the context that they read."""

    policies: cedar.PolicySet
    ids: tuple[str, ...]
    reads: tuple[str, ...]


@final
class PolicyIndex:
    """An index over policies in Cedar's JSON form, by id. Immutable but for its bounded caches.

    `files` and `repositories` are the ids of those that some policy names, `reads` the circumstances that some
    policy reads.
    """

    __slots__ = (
        *("_anonymous", "_cut", "_find", "_groups", "_named", "_policies", "_scopes"),
        *("files", "reads", "repositories"),
    )

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._policies = policies
        self._scopes = {name: scope(policy) for name, policy in policies.items()}
        self._named = frozenset(uid for policy in policies.values() for uid in entities(policy))
        self.reads: Final = frozenset(
            read for policy in policies.values() for read in context_reads(policy["conditions"])
        )
        self.files: Final = frozenset(name for kind, name in self._named if kind == FILE)
        self.repositories: Final = frozenset(name for kind, name in self._named if kind in REPOSITORIES)
        self._groups = frozenset(name for kind, name in self._named if kind == GROUP)
        taken = {name for _, name in self._named}
        self._anonymous = next(name for number in range(len(taken) + 1) if (name := f"unnamed-{number}") not in taken)
        self._find = lru_cache(maxsize=SLICES)(self._search)
        self._cut = lru_cache(maxsize=SHARED)(self._parse)

    def known(self, uid: Uid) -> Uid:
        """`uid` if a policy names it, otherwise the one that stands for all others of its type."""
        return uid if uid in self._named else (uid[0], self._anonymous)

    def names_any(self, kind: str) -> bool:
        """Whether some policy names an entity of this type by its id."""
        return any(kind == named for named, _ in self._named)

    def named(self, kind: str) -> frozenset[str]:
        """The ids of this type that some policy names."""
        return frozenset(name for named, name in self._named if named == kind)

    def about(self, action: str) -> list[Policy]:
        """The policies whose scope does not say that they are about other actions."""
        groups = frozenset((ACTION, name) for name in cedar.groups_of_actions().get(action, ()))
        asked = self._scopes.items()
        return [
            self._policies[name] for name, scope in asked if _holds(scope.action, (ACTION, action), groups) is not False
        ]

    def slice(self, action: str, principal: Uid, groups: frozenset[str], resource: Uid, above: Iterable[Uid]) -> Slice:
        """The slice that decides such a request exactly as all policies would.

        `groups` are the names of the caller's groups, `above` the entities that the target lies in.
        """
        return self._find(
            action,
            self.known(principal),
            groups & self._groups,
            self.known(resource),
            frozenset([uid for uid in above if uid in self._named]),
        )

    def _search(
        self, action: str, principal: Uid, groups: frozenset[str], resource: Uid, above: frozenset[Uid]
    ) -> Slice:
        parents = frozenset((GROUP, name) for name in groups)
        actions = frozenset((ACTION, name) for name in cedar.groups_of_actions().get(action, ()))
        chosen: list[tuple[str, tuple[bool, ...]]] = []
        for name, asked in self._scopes.items():
            about_action = _holds(asked.action, (ACTION, action), actions)
            if about_action is False:  # first, because it tells most policies apart
                continue
            certain = (
                _holds(asked.principal, principal, parents),
                about_action,
                _holds(asked.resource, resource, above),
            )
            if False not in certain:
                chosen.append((name, tuple(part is True for part in certain)))
        return self._cut(tuple(chosen))

    def _parse(self, chosen: tuple[tuple[str, tuple[bool, ...]], ...]) -> Slice:
        """Parse the chosen policies, each without the constraints of its scope that certainly hold."""
        policies: dict[str, Policy] = {}
        reads: set[str] = set()
        for name, certain in chosen:
            policy = self._policies[name]
            reads.update(context_reads(policy["conditions"]))
            dropped = [part for part, holds in zip(CONSTRAINTS, certain, strict=True) if holds]
            policies[name] = {**policy, **dict.fromkeys(dropped, ALL), "annotations": {}}
        return Slice(cedar.parse_policy_set(policies), tuple(policies), tuple(sorted(reads)))


def _holds(part: Constraint | None, uid: Uid, above: frozenset[Uid]) -> Holds:
    return None if part is None else part.holds(uid, above)


def context_reads(conditions: Est) -> frozenset[str]:
    """The attributes of the context that conditions may read: all, if they use the context as a whole.

    Conditions may also ask for one that there never is (`context has colour` is valid, and false).
    """
    reads: set[str] = set()
    attributes = whole = 0
    for node in nodes(conditions):
        match node:
            case {".": {"left": {"Var": "context"}, "attr": str(name)}} | {
                "has": {"left": {"Var": "context"}, "attr": str(name)}
            }:
                attributes += 1
                reads.add(name)
            case {"Var": "context"}:
                whole += 1  # also once for each of the above
            case _:
                pass
    return CIRCUMSTANCES & reads if whole == attributes else CIRCUMSTANCES
