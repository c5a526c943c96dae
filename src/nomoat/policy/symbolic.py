"""Policies as formulas: what one set allows and another does not, searched for among all requests by z3.

Rules: a formula only ever proposes. Every request that is told is decided by Cedar under both sets first
(`analysis.py`). What a formula cannot say (`like`, addresses, sums) is a free truth value, the same for the
same condition in both sets: a proposal may then be wrong, and that nothing was found proves nothing; which
policies that is about is said. Strings are numbers: policies compare them for equality alone.

z3 is loaded when it is used: it is an extra (`pip install nomoat[analysis]`).
"""

from collections.abc import Mapping, Sequence
from typing import final

from nomoat.policy import cedar
from nomoat.policy.cedar import ACTION, GROUP, PERSON, Est, Policy, Uid
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.policy.syntax import entities, literals
from nomoat.policy.unknowns import SUBJECTS, Formula, Request


class Outside(Exception):
    """A part of a condition that formulas do not say; the message names it."""


def allows(request: Request, snapshot: PolicySnapshot) -> tuple[Formula, frozenset[str]]:
    """When a set allows a request, and the ids of those of its policies that are partly outside of formulas."""
    z3 = request.z3
    permits: list[Formula] = []
    forbids: list[Formula] = []
    outside: set[str] = set()
    for name, policy in snapshot.policies.items():
        scope = _scope(request, policy)
        if z3.is_false(z3.simplify(scope)):
            continue
        applies, whole = _conditions(request, policy)
        if not whole:
            outside.add(name)
        (permits if policy["effect"] == "permit" else forbids).append(z3.And(scope, applies))
    return z3.And(z3.Or(*permits), z3.Not(z3.Or(*forbids))), frozenset(outside)


def _scope(request: Request, policy: Policy) -> Formula:
    parts = [_constraint(request, variable, policy[variable]) for variable in ("principal", "action", "resource")]
    return request.z3.And(*parts)


def _constraint(request: Request, variable: str, part: Est) -> Formula:  # noqa: PLR0911  # a line for each form
    z3 = request.z3
    match part:
        case {"op": "All"}:
            return z3.BoolVal(True)
        case {"op": "==", "entity": {"type": str(kind), "id": str(name)}}:
            return _is(request, variable, (kind, name))
        case {"op": "in", "entity": {"type": str(kind), "id": str(name)}}:
            return _within(request, variable, (kind, name))
        case {"op": "in", "entities": [*several]}:
            return z3.Or(*(_within(request, variable, uid) for each in several for uid in entities(each)))
        case {"op": "is", "entity_type": str(kind), "in": above}:
            inside = [_within(request, variable, uid) for uid in entities(above)]
            return z3.And(z3.BoolVal(kind == _type(request, variable)), *inside)
        case {"op": "is", "entity_type": str(kind)}:
            return z3.BoolVal(kind == _type(request, variable))
        case _:
            return request.unknown(part)


def _type(request: Request, variable: str) -> str:
    shape = request.shape
    return {"principal": shape.principal, "action": ACTION, "resource": shape.resource}[variable]


def _is(request: Request, variable: str, uid: Uid) -> Formula:
    z3, (kind, name) = request.z3, uid
    if variable == "action":
        return z3.BoolVal(uid == (ACTION, request.shape.action))
    if kind != _type(request, variable):
        return z3.BoolVal(False)
    return (request.name if variable == "principal" else request.resource) == request.words.number(name)


def _within(request: Request, variable: str, uid: Uid) -> Formula:
    z3, (kind, name) = request.z3, uid
    if variable == "action":
        above = cedar.groups_of_actions().get(request.shape.action, frozenset())
        return z3.BoolVal(kind == ACTION and name in above)
    if variable == "principal" and kind == GROUP:
        return request.member[name]
    if variable == "resource" and kind == request.shape.parent:
        return request.parent == request.words.number(name)
    return _is(request, variable, uid)


def _conditions(request: Request, policy: Policy) -> tuple[Formula, bool]:
    """When the conditions hold, and whether formulas say all of them."""
    found: list[Formula] = []
    outside = False
    conditions = policy["conditions"]
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, Mapping):
            body = Translation(request)
            said = body.truth(condition["body"])
            outside = outside or body.outside
            found.append(said if condition["kind"] == "when" else request.z3.Not(said))
    return request.z3.And(*found), not outside


@final
class Translation:
    """One condition as a formula. `outside`: some part of it is a free truth value."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._z3 = request.z3
        self.outside = False

    def truth(self, node: Est) -> Formula:
        """A condition as a truth value; where formulas cannot say it, a free one."""
        try:
            return self._truth(node)
        except Outside:
            self.outside = True
            return self._request.unknown(node)

    def _truth(self, node: Est) -> Formula:  # noqa: PLR0911  # a line for each form of a condition
        z3 = self._z3
        match node:
            case {"Value": bool(value)}:
                return z3.BoolVal(value)
            case {"&&": {"left": left, "right": right}}:
                return z3.And(self.truth(left), self.truth(right))
            case {"||": {"left": left, "right": right}}:
                return z3.Or(self.truth(left), self.truth(right))
            case {"!": {"arg": inner}}:
                return z3.Not(self.truth(inner))
            case {"if-then-else": {"if": condition, "then": then, "else": otherwise}}:
                return z3.If(self.truth(condition), self.truth(then), self.truth(otherwise))
            case {"has": {"left": {"Var": variable}, "attr": str(name)}}:
                return self._has(str(variable), name)
            case {"is": {"left": {"Var": str(variable)}, "entity_type": str(kind)}}:
                return z3.BoolVal(kind == _type(self._request, variable))
            case {".": {"left": {"Var": "resource"}, "attr": str(name)}} if name in self._request.truths:
                return self._request.truths[name]
            case _:
                return self._compared(node)

    def _compared(self, node: Est) -> Formula:  # noqa: PLR0911  # the same
        z3 = self._z3
        match node:
            case {"==": {"left": left, "right": right}}:
                return self._equal(left, right)
            case {"!=": {"left": left, "right": right}}:
                return z3.Not(self._equal(left, right))
            case {"<": {"left": left, "right": right}}:
                return self._number(left) < self._number(right)
            case {"<=": {"left": left, "right": right}}:
                return self._number(left) <= self._number(right)
            case {">": {"left": left, "right": right}}:
                return self._number(left) > self._number(right)
            case {">=": {"left": left, "right": right}}:
                return self._number(left) >= self._number(right)
            case {"in": {"left": {"Var": str(variable)}, "right": right}}:
                return self._in(variable, right)
            case _:
                return self._of_sets(node)

    def _of_sets(self, node: Est) -> Formula:
        z3, labels = self._z3, {".": {"left": {"Var": "resource"}, "attr": "labels"}}
        match node:
            case {"contains": {"left": left, "right": {"Value": str(value)}}} if left == labels:
                return self._request.label[value]
            case {"containsAny": {"left": left, "right": {"Set": [*members]}}} if left == labels:
                return z3.Or(*(self._request.label[value] for value in _texts(members)))
            case {"containsAll": {"left": left, "right": {"Set": [*members]}}} if left == labels:
                return z3.And(*(self._request.label[value] for value in _texts(members)))
            case {"contains": {"left": {"Set": [*members]}, "right": right}}:
                return z3.Or(*(self._equal(right, member) for member in members))
            case _:
                raise Outside(next(iter(node)) if isinstance(node, Mapping) else "a value")

    def _has(self, variable: str, name: str) -> Formula:
        request = self._request
        if (variable, name) == ("resource", "owner_group"):
            return request.owned_by_group
        if (variable, name) == ("resource", "owner_person"):
            return request.owned_by_person
        if (variable, name) in {("resource", "stage"), ("resource", "authored")}:
            return request.versioned
        if (variable, name) == ("resource", "publisher_signed"):
            return self._z3.And(request.versioned, self._z3.BoolVal(request.shape.repository_kind == "model"))
        if (variable, name) == ("resource", "verdict"):
            return request.examined
        raise Outside("has")

    def _in(self, variable: str, right: Est) -> Formula:
        request, z3 = self._request, self._z3
        match right:
            case {".": {"left": {"Var": "resource"}, "attr": "owner_group"}} if variable == "principal":
                return request.in_group(request.owner_group)
            case {"Value": {"__entity": {"type": str(kind), "id": str(name)}}}:
                return _within(request, variable, (kind, name))
            case {"Set": [*members]}:
                return z3.Or(*(_within(request, variable, uid) for member in members for uid in entities(member)))
            case _:
                raise Outside("in")

    def _equal(self, left: Est, right: Est) -> Formula:
        for one, other in ((left, right), (right, left)):
            match one:
                case {"Var": str(variable)}:
                    return self._same_entity(variable, other)
                case _:
                    continue
        for one, other in ((left, right), (right, left)):
            match one, other:
                case ({"Value": bool(value)}, _):
                    said = self._truth(other)
                    return said if value else self._z3.Not(said)
                case ({".": {"left": {"Var": "resource"}, "attr": "owner_group"}}, _):
                    return self._same_group(other)
                case _:
                    continue
        return self._number(left) == self._number(right)

    def _same_entity(self, variable: str, other: Est) -> Formula:
        request, z3 = self._request, self._z3
        match other:
            case {"Value": {"__entity": {"type": str(kind), "id": str(name)}}}:
                return _is(request, variable, (kind, name))
            case {".": {"left": {"Var": "resource"}, "attr": "owner_person"}} if variable == "principal":
                return z3.And(z3.BoolVal(request.shape.principal == PERSON), request.name == request.owner_person)
            case _:
                raise Outside("==")

    def _same_group(self, other: Est) -> Formula:
        for kind, name in entities(other):
            if kind == GROUP:
                return self._request.owner_group == self._request.words.groups.index(name)
        raise Outside("==")

    def _number(self, node: Est) -> Formula:
        """A Long, or a string by its number."""
        request, z3 = self._request, self._z3
        match node:
            case {"Value": bool()}:
                raise Outside("a truth value")
            case {"Value": int(value)}:
                return z3.IntVal(value)
            case {"Value": str(value)}:
                return z3.IntVal(request.words.number(value))
            case {".": {"left": {"Var": str(variable)}, "attr": str(name)}}:
                found = _attributes(request).get((variable, name))
                if found is None:
                    raise Outside(f"{variable}.{name}")
                return found
            case _:
                raise Outside(next(iter(node)) if isinstance(node, Mapping) else "a value")


def _attributes(request: Request) -> dict[tuple[str, str], Formula]:
    words, z3 = request.words, request.z3
    kind = "person" if request.shape.principal == PERSON else "workload"
    return {
        ("principal", "clearance"): request.clearance,
        ("principal", "segment"): request.segment,
        ("principal", "subject"): _subject(request, kind, request.name),
        ("resource", "classification"): request.classification,
        ("resource", "repository_kind"): z3.IntVal(words.number(request.shape.repository_kind)),
        ("resource", "subject"): request.subject_of,
        ("resource", "subject_kind"): request.subject_kind,
        ("resource", "stage"): request.stage,
        ("resource", "verdict"): request.verdict,
        ("resource", "cleared"): request.cleared,
        ("resource", "region"): request.region,
        ("context", "binding"): request.binding,
        ("context", "obtained"): request.obtained,
        ("context", "at"): request.at,
        ("context", "auth_age"): request.auth_age,
        ("context", "session"): request.session,
    }


def _subject(request: Request, kind: str, name: Formula) -> Formula:
    """The number of `kind:NAME`: that of the string if policies name it, otherwise one beyond them for each name."""
    words, z3 = request.words, request.z3
    said: Formula = name + SUBJECTS
    for number, text in enumerate(words.names):
        subject = f"{kind}:{text}"
        if subject in words.names:
            said = z3.If(name == number, z3.IntVal(words.number(subject)), said)
    return said


def _texts(members: Sequence[Est]) -> list[str]:
    found = [value for member in members for value in literals(member) if isinstance(value, str)]
    if len(found) != len(members):
        raise Outside("a set")
    return found
