"""What somebody hears whose prompt was refused for what is in it, and what an auditor finds out about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.live import Caller, Said
from tests.content import corpus
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor
from tests.inference.test_sources import CODE, ask, nomoat, renamed

__all__ = ["nomoat"]  # a fixture

MORE = """
[[person]]
name = "brisk"
groups = ["model-users"]
clearance = "confidential"
[[quota]]
name = "brisk-few"
for = "person:brisk"
requests_per_minute = 1
[[upstream]]
name = "abroad"
url = "http://127.0.0.1:{port}/hosted/v1"
clearance = "confidential"
private = true
external = true
[[endpoint]]
name = "acme/abroad"
classification = "public"
served = [{{ upstream = "abroad", model = "their-model" }}]
"""
KEY = corpus.secrets()["aws-access-key"][0]
WHOLE = """
@id("abroad-gets-whole-prompts")
forbid (principal, action == NoMoat::Action::"SendPrompt", resource == NoMoat::Upstream::"abroad")
when { resource.redacted };
"""


@pytest.fixture(scope="module", autouse=True)
def declared(floor: Floor, nomoat: Caller) -> None:
    del nomoat
    floor.live.declare(MORE.format(port=floor.upstream.port))
    floor.live.join("person:brisk")


@pytest.fixture
def abroad_gets_whole_prompts(floor: Floor) -> Iterator[None]:
    with floor.live.admin as session:
        held = dict(session.gateway.policies()[0].files)
        session.gateway.apply_policy({**held, "whole.cedar": WHOLE}, dry_run=False)
        yield
        session.gateway.apply_policy(held, dry_run=False)


@pytest.fixture
def canary(floor: Floor) -> Iterator[str]:
    yield told(floor, ADMIN, "content", "canary", "payroll").out.strip()
    told(floor, ADMIN, "content", "remove", "payroll")


def told(floor: Floor, who: str, *words: str) -> Said:
    said = Caller(floor.live.root / "home").nomoat(*words, "--profile", floor.profile(who).name)
    assert said.code == 0, said.err
    return said


def newest(floor: Floor, query: str = "what InvokeModel") -> dict[str, Any]:
    return floor.live.records(query, limit=1)[-1]


def explained(floor: Floor, who: str, query: str = "what InvokeModel") -> str:
    return told(floor, who, "policy", "explain", str(newest(floor, query)["n"])).out


def lines(said: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        name, _, value = line.partition("  ")
        found.setdefault(name, []).append(value.strip())
    return found


def test_who_is_not_cleared_for_a_source_hears_that_the_prompt_has_some(floor: Floor) -> None:
    refused = ask(floor, "other", "acme/internal-coder", f"what does this do?\n{renamed(CODE)}")
    assert "the prompt has registered source code that they are not cleared for" in refused
    assert "acme/engine" not in refused
    assert "engine-team" not in refused


def test_attack_who_may_not_have_a_source_hears_its_name_or_whose_it_is_by_an_explanation(floor: Floor) -> None:
    ask(floor, "other", "acme/internal-coder", CODE)
    said = explained(floor, "other")
    assert "registered source code" in said
    assert "take it out" in said
    assert "acme/engine" not in said
    assert "engine-team" not in said
    assert "engine-team" in explained(floor, ADMIN), "an auditor hears all of it"


def test_a_refusal_of_a_source_is_explained_to_who_is_cleared_for_it(floor: Floor) -> None:
    floor.log_in_anew("engineer")
    first = ask(floor, "engineer", "acme/outside-coder", CODE)
    assert "as it has registered source code: take that out" in first, "the first time already"
    own = lines(explained(floor, "engineer"))
    assert own["found"] == ["registered source code"]
    assert own["no server"] == ["no policy permits it"]
    assert "acme/engine" not in str(own)
    audited = lines(explained(floor, ADMIN))
    assert audited["found"] == ["source:acme/engine"]
    assert audited["not sent to"] == ["hosted: no policy permits it"]
    floor.log_in_anew("engineer")


def test_a_refusal_of_a_canary_is_explained_to_auditors_and_not_to_its_finder(floor: Floor, canary: str) -> None:
    assert ask(floor, "ada", "acme/internal-coder", f"what is {canary}?").startswith("403")
    audited = explained(floor, ADMIN)
    assert lines(audited)["found"] == ["canary:payroll"]
    (server,) = lines(audited)["not sent to"]
    assert server.startswith("internal: refused by canaries-go-nowhere")
    session = newest(floor)["who"]["session"]
    assert f"nomoat audit search 'session {session}'" in lines(audited)["next"][0]
    own = explained(floor, "ada")
    assert "ask an auditor" in lines(own)["next"][0]
    assert "canar" not in own
    assert "None" not in audited + own


@pytest.mark.usefixtures("abroad_gets_whole_prompts")
def test_a_refusal_of_a_secret_is_explained_by_policy_and_finding(floor: Floor) -> None:
    assert "secret:aws-access-key" in ask(floor, "ada", "acme/abroad", f"why does {KEY} fail?")
    own, audited = lines(explained(floor, "ada")), lines(explained(floor, ADMIN))
    assert own["found"] == audited["found"] == ["secret:aws-access-key"]
    assert own["no server"] == ["refused by secrets-stay-here", "refused by abroad-gets-whole-prompts"]
    assert audited["not sent to"] == [
        "abroad: refused by secrets-stay-here",
        "abroad, redacted: refused by abroad-gets-whole-prompts",
    ]
    assert "take" in own["next"][0]


@pytest.mark.usefixtures("abroad_gets_whole_prompts")
def test_a_refusal_of_a_registered_value_is_not_explained_by_it_to_who_sent_it(floor: Floor, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("Nightfall Harbour\n")
    settled = ("--label", "projects", "--classification", "restricted")
    told(floor, ADMIN, "content", "add", "projects", str(tmp_path / "names.txt"), *settled)
    assert ask(floor, "ada", "acme/abroad", "when is Nightfall Harbour?").startswith("403")
    audited, own = lines(explained(floor, ADMIN)), explained(floor, "ada")
    assert audited["found"] == ["value:projects"]
    assert audited["not sent to"][0] == "abroad: refused by restricted-needs-a-bound-credential"
    assert "projects" not in own
    assert "ask an auditor" in lines(own)["next"][0]
    told(floor, ADMIN, "content", "remove", "projects")


def test_a_refusal_of_a_quota_is_explained(floor: Floor) -> None:
    assert ask(floor, "brisk", "acme/internal-coder", "hello") == "hello"
    assert ask(floor, "brisk", "acme/internal-coder", "hello").startswith("429")
    for who in ("brisk", ADMIN):
        said = lines(explained(floor, who))
        assert "brisk-few" in said["refused then"][0], said
        assert "nomoat quotas" in said["next"][0]
        assert "found" not in said
