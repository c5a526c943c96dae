"""`policy diff`: which policies differ between two sets, and which requests they decide differently."""

from collections.abc import Mapping
from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation
from nomoat.cli.policy_files import DIRECTORY, read_policies
from nomoat.policy.analysis import Analysis, Example, analyse
from nomoat.policy.compilation import compile_policies
from nomoat.policy.plan import plan


@click.command()
@click.argument("old", type=DIRECTORY)
@click.argument("new", type=DIRECTORY)
@json_option
@pass_invocation
def diff(invocation: Invocation, old: Path, new: Path) -> None:
    """Compare the policies of OLD and NEW over all requests, offline.

    Every request that is shown was decided by Cedar under both sets. For what happened so far, use 'nomoat policy
    simulate NEW --against OLD'. Needs the extra: pip install 'nomoat[analysis]'.
    """
    before, after = compile_policies(read_policies(old)), compile_policies(read_policies(new))
    changes = plan(before, after)
    found = analyse(before, after)
    if invocation.as_json:
        output.document(
            {
                "plan": [change._asdict() for change in changes],
                "examples": [_described(example) for example in found.examples],
                "outside": sorted(found.outside),
                "undecided": found.undecided,
                "proven": found.proven,
            }
        )
        return
    if changes:
        output.table(["change", "policy", "file"], [tuple(change) for change in changes])
    for example in found.examples:
        _show(example)
    output.answer(sentence(found))


def _show(example: Example) -> None:
    question, (target, *_) = example.question, example.question.targets
    kind, name, groups, clearance, segment = question.who
    who = [f"clearance {clearance.name.lower()}"]
    who += [f"in {', '.join(sorted(groups))}"] if groups else []
    who += [f"segment {segment}"] if segment else []
    on = [target.classification.name.lower()]
    on += [f"labels {', '.join(sorted(target.labels))}"] if target.labels else []
    on += [f"owned by group {target.owner_group}"] if target.owner_group else []
    on += [f"owned by person {target.owner_person}"] if target.owner_person else []
    on += [f"in {above[0]} {above[1]}" for above in target.parents]
    on += [f"{fact} {value}" for fact, value in target.facts]
    given = question.given
    by = f"by {', '.join(example.policies)}" if example.policies else "no policy permits it"
    output.answer(
        f"newly {example.turn}: {kind.value} {name} ({'; '.join(who)}) · {question.action} · {target.kind} {target.id} ({'; '.join(on)})"
    )
    output.answer(
        f"  binding {given['binding']}, obtained {given['obtained']}, {given['auth_age']} s after authentication, from {given['source']}: {by}"
    )


def sentence(found: Analysis) -> str:
    """What the analysis as a whole says, and what it does not."""
    shown = f"{len(found.examples)} kinds of request differ" if found.examples else "no request was found that differs"
    if found.proven:
        return f"{shown}; there are no others" if found.examples else "both sets decide every request alike (proven)"
    reasons = [f"not analysed in full: {', '.join(sorted(found.outside))}"] if found.outside else []
    reasons += [f"{found.undecided} searches without a result"] if found.undecided else []
    return f"{shown}; others may ({'; '.join(reasons)})"


def _described(example: Example) -> Mapping[str, object]:
    question, (target, *_) = example.question, example.question.targets
    kind, name, groups, clearance, segment = question.who
    return {
        "turn": example.turn,
        "policies": list(example.policies),
        "who": {
            "kind": kind.value,
            "name": name,
            "groups": sorted(groups),
            "clearance": clearance.name.lower(),
            "segment": segment,
        },
        "what": question.action,
        "on": {
            "kind": target.kind,
            "id": target.id,
            "classification": target.classification.name.lower(),
            "labels": sorted(target.labels),
            "owner_group": target.owner_group,
            "owner_person": target.owner_person,
            "in": [list(above) for above in target.parents],
            "facts": dict(target.facts),
        },
        "context": dict(question.given),
    }
