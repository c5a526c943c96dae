"""Declarations of servers: those of the page are taken, and what would lead elsewhere than it says is not."""

import re
from pathlib import Path

import pytest

from nomoat.core.decision import Allow
from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.names import Classification
from nomoat.policy.defaults import starter_policies
from nomoat.policy.engine import compile_policies, decide
from nomoat.resources.directory.document import dump, load, merge, parse_declarations, plan
from tests.policy.world import context, person, upstream

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "upstreams.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("fence", FENCES, ids=[str(number) for number in range(len(FENCES))])
def test_the_tables_of_the_page_are_taken_and_kept_as_they_were_meant(fence: str) -> None:
    directory = merge(Directory(), parse_declarations(fence))
    assert directory.endpoints
    assert load(dump(directory), directory.generation) == directory


def one(**fields: str) -> Directory:
    given = {"name": '"u"', "url": '"https://api.example.com/v1"', **fields}
    table = "".join(f"{name} = {value}\n" for name, value in given.items())
    return merge(Directory(), parse_declarations(f"[[upstream]]\n{table}"))


def test_what_nobody_said_is_the_least() -> None:
    declared = one().upstreams["u"]
    assert (declared.clearance, declared.external, declared.private) == (Classification.PUBLIC, True, False)
    assert (declared.retention, declared.first_byte_s, declared.timeout_s) == (False, 600, 3600)
    assert one(private="true").upstreams["u"].external is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", '"http://api.example.com/v1"'),  # in the clear
        ("url", '"https://user:secret@api.example.com/v1"'),
        ("url", '"https://api.example.com/v1?key=1"'),
        ("url", '"https://api.example.com/v1#x"'),
        ("url", '"https://api.example.com/ v1"'),
        ("url", '"https://api.example.com:0/v1"'),
        ("url", '"https://api.example.com:99999/v1"'),
        ("url", '"https:///v1"'),
        ("url", '"file:///etc/passwd"'),
        ("url", '"https://api.example.com/\\r\\nX: y"'),
        ("api", '"gemini"'),
        ("clearance", '"secret"'),
        ("private", '"yes"'),
        ("retention", '"no"'),
        ("timeout_s", "0"),
        ("timeout_s", "true"),
        ("first_byte_s", "0.5"),
        ("first_byte_s", "86401"),
        ("unknown", "1"),
    ],
)
def test_what_would_lead_elsewhere_is_refused(field: str, value: str) -> None:
    with pytest.raises(Malformed):
        one(**{field: value})


RUN = """
[[workload]]
name = "server"
[[model]]
name = "acme/lm"
[[upstream]]
name = "u"
url = "https://a.example/v1"
[[upstream]]
name = "run"
url = "https://a.example/v1"
workload = "server"
"""


@pytest.mark.parametrize(
    "served",
    [
        "[]",
        "3",
        '[{ upstream = "nobody", model = "m" }]',
        '[{ upstream = "u" }]',
        '[{ model = "m", upstream = "u", x = 1 }]',
        '[{ model = "m", upstream = "u", weights = "acme/lm" }]',  # u says nobody who runs it
        '[{ model = "m", upstream = "run", weights = "acme/other" }]',
        '[{ model = "m", upstream = "run", weights = "no name" }]',
        '[{ model = "m", upstream = "run", weights = 1 }]',
    ],
)
def test_an_endpoint_is_served_by_declared_upstreams(served: str) -> None:
    with pytest.raises(Malformed):
        merge(Directory(), parse_declarations(f'{RUN}[[endpoint]]\nname = "e"\nserved = {served}\n'))


def test_weights_of_a_declared_model_are_kept_as_they_were_meant() -> None:
    served = '[{ upstream = "run", model = "m", weights = "acme/lm" }]'
    directory = merge(Directory(), parse_declarations(f'{RUN}[[endpoint]]\nname = "e"\nserved = {served}\n'))
    assert str(directory.endpoints["e"].served[0].weights) == "acme/lm"
    assert directory.upstreams["run"].workload == "server"
    assert load(dump(directory), directory.generation) == directory
    for gone in ('[[workload]]\nname = "server"', '[[model]]\nname = "acme/lm"'):
        with pytest.raises(Malformed, match="which is no"):
            merge(directory, parse_declarations(f"{gone}\nremove = true\n"))


def test_an_upstream_that_an_endpoint_names_is_not_removed_and_the_plan_names_both() -> None:
    both = merge(Directory(), parse_declarations(FENCES[0]))
    with pytest.raises(Malformed, match="no \\[\\[upstream\\]\\]"):
        merge(both, parse_declarations('[[upstream]]\nname = "vllm"\nremove = true\n'))
    assert {(change.change, change.kind, change.name) for change in plan(Directory(), both)} == {
        ("add", "upstream", "vllm"),
        ("add", "endpoint", "llama-3.1-8b"),
    }


def test_the_policies_of_the_page_hold_what_it_says() -> None:
    """Beside the starter policies, for a public and an internal prompt to one who may keep it or is elsewhere."""
    (fence,) = re.findall(r"^```cedar\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    compiled = compile_policies({**starter_policies(), "upstreams.cedar": fence})

    def allowed(level: Classification, *, retention: bool, region: str) -> bool:
        there = upstream(cleared=Classification.INTERNAL, classification=level)
        facts = {**dict(there.facts), "retention": retention, "region": region}
        who = person("ada", "model-users")
        there = there._replace(facts=tuple(facts.items()))
        return isinstance(decide(compiled, who, "SendPrompt", (there,), context()), Allow)

    assert allowed(Classification.PUBLIC, retention=True, region="us")
    assert allowed(Classification.INTERNAL, retention=False, region="eu")
    assert not allowed(Classification.INTERNAL, retention=True, region="eu")
    assert not allowed(Classification.INTERNAL, retention=False, region="us")
