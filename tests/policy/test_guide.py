"""The guide's example of tests is one that holds, on the starter policies and the example pipeline's declaration."""

import re
from pathlib import Path

from nomoat.policy import compile_policies, starter_policies
from nomoat.server.rehearsal import declared, parse_tests, rehearse

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "changing-a-policy.md").read_text("utf-8")


def test_the_example_of_the_guide_holds() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    directory = declared([(ROOT / "examples" / "pipeline" / "acme.toml").read_text("utf-8")])
    results = rehearse(compile_policies(starter_policies()), parse_tests("guide", example, directory, 0))
    assert len(results) == 6
    assert [result for result in results if not result.holds] == []


def test_the_guide_names_commands_that_there_are() -> None:
    from nomoat.cli.policy import policy

    named = set(re.findall(r"nomoat policy (\w+)", GUIDE))
    assert named == set(policy.commands)
