"""Compiling policies: what an administrator's files must pass before they can decide anything.

Rules: all or nothing. Every policy has its own stable `@id`, fits the schema strictly, and is no
template (a template decides nothing until somebody links it, which nothing here does). A refusal
says where and what to do, and leaves nothing behind: the active policies stay as they are.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NoReturn

from nomoat.core.errors import Malformed, TooLarge
from nomoat.policy import cedar
from nomoat.policy.cedar import Policy
from nomoat.policy.index import PolicyIndex
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.policy.source import Clause, clauses

MAX_FILES: Final = 256
MAX_TEXT: Final = 2 * 1024 * 1024  # characters of all files together
MAX_POLICIES: Final = 5_000
MAX_POLICY_TEXT: Final = 16 * 1024  # characters of one policy
MAX_BRACKETS: Final = 128  # of one policy: a thousand within each other overflow the stack of Cedar's parser

MAX_DOTS: Final = 256  # of one policy: `has a.b.c` is expanded to the square of its length

TOO_DEEP: Final = "a condition with too many operators in a row"
DIVIDE: Final = "Use [..].contains(..), several when clauses, or several policies."

_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,92}\.cedar")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def compile_policies(files: Mapping[str, str]) -> PolicySnapshot:
    """Compile Cedar texts (by file name) into a snapshot; no file at all gives one that denies everything.

    Raises `Malformed` with file, line and column and what to do, `TooLarge` over a limit.
    """
    _check_sizes(files)
    policies: dict[str, Policy] = {}
    places: dict[str, str] = {}
    for file in sorted(files):
        for clause, name, policy in _compile_file(file, files[file]):
            if name in places:
                _refuse(clause, f'the id "{name}" is already used in {places[name]}', "Give every policy its own @id.")
            policies[name] = policy
            places[name] = file
            if len(policies) > MAX_POLICIES:
                raise TooLarge(f"more than {MAX_POLICIES} policies")
    ids = tuple(sorted(policies))
    policies = {name: policies[name] for name in ids}
    return PolicySnapshot(
        digest=digest(files),
        ids=ids,
        files=MappingProxyType(dict(files)),
        places=MappingProxyType(places),
        policies=MappingProxyType(policies),
        index=PolicyIndex(policies),
    )


def digest(files: Mapping[str, str]) -> str:
    """The digest of a set of files: SHA-256 over their names and texts, whatever their order."""
    canonical = json.dumps(dict(files), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(b"nomoat policies 1\n" + canonical.encode()).hexdigest()


def is_file_name(name: str) -> bool:
    """Whether a file of policies may be called so: a plain name, and no path."""
    return _FILE.fullmatch(name) is not None


def _check_sizes(files: Mapping[str, str]) -> None:
    if len(files) > MAX_FILES:
        raise TooLarge(f"more than {MAX_FILES} policy files")
    for name, text in files.items():
        if not is_file_name(name):
            raise Malformed(f"{name!r:.110} is not the name of a policy file; use letters, digits, '._-' and .cedar")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise Malformed(f"{name} is not UTF-8 text")
    if sum(map(len, files.values())) > MAX_TEXT:
        raise TooLarge(f"the policy files have more than {MAX_TEXT} characters together")


def _compile_file(file: str, text: str) -> list[tuple[Clause, str, Policy]]:
    """The policies of one file with their ids, in the order of the text."""
    compiled: list[tuple[Clause, str, Policy]] = []
    for clause in clauses(file, text):
        if len(compiled) >= MAX_POLICIES:
            raise TooLarge(f"more than {MAX_POLICIES} policies")
        if len(clause.text) > MAX_POLICY_TEXT:
            raise TooLarge(f"{clause.position()}: a policy of more than {MAX_POLICY_TEXT} characters")
        if sum(map(clause.text.count, "([{")) > MAX_BRACKETS:
            _refuse(clause, f"more than {MAX_BRACKETS} opening brackets", "Write it as several policies.")
        if clause.text.count(".") > MAX_DOTS:
            _refuse(clause, f"more than {MAX_DOTS} dots", "Write it as several policies, or declare a group.")
        policy = _parse(clause)
        compiled.append((clause, _id(clause, policy), policy))
    if not compiled:
        return compiled
    # INVARIANT (same text): what was cut into policies is what Cedar reads in the file as a whole.
    if cedar.parse_text(text) != ([policy for _, _, policy in compiled], 0):
        raise Malformed(f"{file}: its policies cannot be told apart; end each one with a semicolon")
    for index, problem in cedar.validate_text(text):
        clause, name, _ = compiled[index]
        said = problem.replace(f"for policy `policy{index}`, ", "")
        optional = "optional attribute" in said
        advice = "Ask `has` first." if optional else "docs/policies.md lists the actions, types and attributes."
        _refuse(clause, f"{name}: {said}", advice, said)
    return compiled


def _parse(clause: Clause) -> Policy:
    try:
        policies, templates = cedar.parse_text(clause.text)
    except cedar.TooDeep:
        _refuse(clause, TOO_DEEP, DIVIDE)
    except ValueError as error:
        _refuse(clause, str(error), "Correct the Cedar text there; every policy ends with a semicolon.", str(error))
    if templates:
        advice = "Name the group, person or kind instead."
        _refuse(clause, "templates (?principal, ?resource) are not used here", advice)
    if len(policies) != 1:
        _refuse(clause, "this is not one policy", "Write permit (…) or forbid (…), ended with a semicolon.")
    try:
        cedar.parse_policy_set({"alone": policies[0]})
    except ValueError:  # Cedar's own limit is the lower one, and has no error of its own
        _refuse(clause, TOO_DEEP, DIVIDE)
    return policies[0]


def _id(clause: Clause, policy: Policy) -> str:
    annotations = policy.get("annotations")
    name = annotations.get("id") if isinstance(annotations, Mapping) else None
    if not isinstance(name, str) or not name:
        _refuse(clause, "this policy has no id", 'Write @id("some-name") before it.')
    if not _ID.fullmatch(name):
        _refuse(clause, "its id is not a name", "Use at most 64 lower-case letters, digits and '-' in @id.")
    return name


def _refuse(clause: Clause, problem: str, advice: str, quoting: str = "") -> NoReturn:
    raise Malformed(f"{clause.position(quoting)}: {problem:.400}. {advice}")
