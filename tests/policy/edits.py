"""Random edits of policies, as people make them: some harmless, some not."""

import re
from collections.abc import Callable, Mapping
from random import Random

from nomoat.core.errors import NoMoatError
from nomoat.policy import PolicySnapshot, compile_policies
from nomoat.policy.source import clauses

GROUPS = ("data-engineers", "data-scientists", "administrators", "auditors", "approvers")
SEGMENTS = ("ingestion", "training", "deployment")
ACTIONS = ("Read", "Write", "Discover", "ReadFile", "ListFiles", "Administer", "Identify")


def chance(seed: int) -> Random:
    """What a test draws from; the same every time."""
    return Random(seed)  # noqa: S311


def _drop(_: Random, __: str) -> str:
    return ""


def _unconditional(_: Random, text: str) -> str:
    return re.sub(r"\s*\b(when|unless)\b\s*\{.*\};", ";", text, flags=re.DOTALL)


def _otherwise(_: Random, text: str) -> str:
    return text.replace("when", "unless", 1) if "when" in text else text.replace("unless", "when", 1)


def _flip(_: Random, text: str) -> str:
    return text.replace("permit (", "forbid (") if "permit (" in text else text.replace("forbid (", "permit (")


def _level(random: Random, text: str) -> str:
    return re.sub(r">= (\d|resource\.classification)", lambda _: random.choice([">= 1", ">= 2", ">= 0", ">= 3"]), text)


def _segment(random: Random, text: str) -> str:
    return re.sub(r'"(ingestion|training|deployment)"', lambda _: f'"{random.choice(SEGMENTS)}"', text)


def _group(random: Random, text: str) -> str:
    return re.sub(r'Group::"[^"]*"', lambda _: f'Group::"{random.choice(GROUPS)}"', text)


def _action(random: Random, text: str) -> str:
    return re.sub(
        r'action (==|in) NoMoat::Action::"\w+"', lambda _: f'action in NoMoat::Action::"{random.choice(ACTIONS)}"', text
    )


def _label(_: Random, text: str) -> str:
    return text.replace('contains("metrics")', 'contains("metrix")')


EDITS: tuple[Callable[[Random, str], str], ...] = (
    _drop, _unconditional, _otherwise, _flip, _level, _segment, _group, _action, _label,
)  # fmt: skip


def addition(random: Random) -> str:
    """A policy that nobody thought through."""
    who = random.choice([f'principal in NoMoat::Group::"{random.choice(GROUPS)}"', "principal is NoMoat::Workload"])
    what = random.choice(['"Read"', '"Write"', '"ReadFile"'])
    condition = random.choice(
        [
            f"resource.classification <= {random.randrange(4)}",
            f"context.auth_age < {random.choice([10, 1000])}",
            "resource has owner_group && principal in resource.owner_group",
            f'principal.segment == "{random.choice(SEGMENTS)}"',
            'context.source.isInRange(ip("127.0.0.0/8"))',
        ]
    )
    effect = random.choice(["permit", "permit", "forbid"])
    return f'@id("added-{random.randrange(1000)}")\n{effect} ({who}, action in NoMoat::Action::{what}, resource)\nwhen {{ {condition} }};'


def edited(random: Random, files: Mapping[str, str]) -> PolicySnapshot:
    """A set that compiles and differs from these in one to three edits."""
    while True:
        changed = {name: [clause.text for clause in clauses(name, text)] for name, text in files.items()}
        for _ in range(random.randint(1, 3)):
            name = random.choice(sorted(changed))
            if not changed[name] or random.random() < 0.25:
                changed[name].append(addition(random))
            else:
                place = random.randrange(len(changed[name]))
                changed[name][place] = random.choice(EDITS)(random, changed[name][place])
        try:
            snapshot = compile_policies({name: "\n".join(texts) for name, texts in changed.items()})
        except NoMoatError:
            continue
        if snapshot.digest != compile_policies(files).digest:
            return snapshot
