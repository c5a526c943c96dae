"""What a declaration is refused for, and how a plan says what changes."""

import asyncio
from pathlib import Path

import pytest

from nomoat.core.directory import Directory
from nomoat.core.errors import Conflict, Malformed
from nomoat.resources.directory.document import merge, parse_declarations, plan
from tests.guard.world import ADMIN, world


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[person]]\nname="zed"\nclearence="x"', "[[person]] zed: no field 'clearence'; did you mean 'clearance'?"),
        ('[[person]]\nname="zed"\n[[person]]\nname="zed"', "[[person]] zed: it is declared twice"),
        ('[[person]]\nname="zed"\nclearance="intern"', "[[person]] zed: clearance: 'intern' is not a classification"),
        ('[[dataset]]\nname="digits"', "[[dataset]] digits: a repository is named namespace/name"),
        ('[[model]]\nname="a/b"\nfiles=[{pth="x"}]', "[[model]] a/b: no field 'pth'; did you mean 'path'?"),
        ("[[group]]\n", "[[group]] without a name: it needs a name"),
        ('[[group]]\nname="a\\nb"', "[[group]] 'a\\nb': a name has"),
    ],
)
def test_a_refusal_names_the_entry(text: str, complaint: str) -> None:
    with pytest.raises(Malformed) as refused:
        merge(Directory(), parse_declarations(text))
    assert refused.value.reason.startswith(complaint)


def test_a_plan_says_what_becomes_of_the_data() -> None:
    old = merge(Directory(), parse_declarations('[[dataset]]\nname="a/b"\n[[person]]\nname="p"'))
    remove = '[[dataset]]\nname="a/b"\nremove=true\n[[person]]\nname="p"\nremove=true'
    person, dataset = plan(old, merge(old, parse_declarations(remove)))
    assert dataset.detail == "nobody reaches it; what it holds is kept, and back when it is declared again"
    assert (person.change, person.detail) == ("remove", "")


def test_a_plan_says_what_was_and_what_will_be() -> None:
    first = '[[group]]\nname="g"\n[[model]]\nname="a/b"\nowner="group:g"\nlabels=["x"]\nclassification="internal"'
    old = merge(Directory(), parse_declarations(first))
    new = merge(old, parse_declarations('[[model]]\nname="a/b"\nclassification="public"'))
    (change,) = plan(old, new)
    assert change.detail == 'classification internal → public, labels ["x"] → none, owner group:g → none'


def test_nobody_declares_the_last_administrator_away(tmp_path: Path) -> None:
    """Neither by a group less, nor by removing: nobody could undo it, not with a code from the operator either."""

    async def test() -> None:
        async with world(tmp_path) as there:
            for away in ('groups = ["auditors"]', "remove = true"):
                document = f'[[person]]\nname = "{ADMIN}"\n{away}\n'
                with pytest.raises(Conflict, match="nobody who administers"):
                    await there.declare(document)
            await there.declare('[[person]]\nname = "second"\ngroups = ["administrators"]\n')
            assert there.gateway.declarations.current.administrators == sorted([ADMIN, "second"])

    asyncio.run(test())
