"""What somebody hears whose prompt was refused for what is in it, and what an auditor finds out about it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from nomoat.policy import defaults as starter
from tests.cli.live import Caller, Said
from tests.content import corpus
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor
from tests.inference.engine_source import CODE, renamed
from tests.inference.test_sources import ask

MORE = """
[[person]]
name = "brisk"
groups = ["model-users"]
clearance = "confidential"
[[person]]
name = "brisk-two"
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
STARTER = Path(starter.__file__).parent / "starter"
KEY = corpus.secrets()["aws-access-key"][0]
WHOLE = """
@id("abroad-gets-whole-prompts")
forbid (principal, action == NoMoat::Action::"SendPrompt", resource == NoMoat::Upstream::"abroad")
when { resource.redacted };
"""


@pytest.fixture(scope="module", autouse=True)
def declared(floor: Floor, nomoat: Caller) -> Iterator[None]:
    del nomoat
    floor.live.declare(MORE.format(port=floor.upstream.port))
    for name in ("brisk", "brisk-two"):
        floor.live.join(f"person:{name}")
    yield
    floor.live.declare('[[endpoint]]\nname = "acme/abroad"\nremove = true\n')


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


def test_records_are_searched_by_what_was_found_and_by_who_was_sent_it(floor: Floor, canary: str) -> None:
    assert ask(floor, "streamer", "acme/internal-coder", f"why does {KEY} fail?") == "hello"
    sent = newest(floor)["n"]
    assert ask(floor, "streamer", "acme/internal-coder", f"what is {canary}?").startswith("403")
    refused = newest(floor)["n"]
    floor.log_in_anew("streamer")
    assert ask(floor, "streamer", "acme/public", "hello") == "hello"
    elsewhere = newest(floor)["n"]

    def numbers(query: str) -> set[object]:
        found = {}
        for scan in ((), ("--scan",)):
            answer = told(floor, ADMIN, "audit", "search", query, "--json", *scan).json()
            found[scan] = [each["n"] for each in cast("list[dict[str, object]]", answer["records"])]
        assert found[()] == found[("--scan",)], query
        return {sent, refused, elsewhere} & set(found[()])

    assert numbers("by streamer found secret:aws-access-key") == {sent}
    assert numbers("found secret") == {sent}
    assert numbers("found canary:payroll refused") == {refused}
    assert numbers("found canary:pay") == set()
    assert numbers("upstream internal") == {sent}
    assert numbers("upstream hosted by streamer") == {elsewhere}
    assert numbers("upstream hosted found secret") == set()
    table = told(floor, ADMIN, "audit", "search", "found canary by streamer").out
    assert "found canary:payroll" in table
    table = told(floor, ADMIN, "audit", "search", "upstream internal by streamer").out
    assert "found secret:aws-access-key; sent to internal" in table


def test_what_is_not_asked_of_a_filter_is_refused_and_not_ignored(floor: Floor) -> None:
    home, profile = Caller(floor.live.root / "home"), ("--profile", floor.profile(ADMIN).name)
    for query in ("found secret", "upstream internal"):
        said = home.nomoat("audit", "report", "--by", "who", query, *profile)
        assert said.code != 0
        assert "nomoat audit search finds the records" in said.err
    said = home.nomoat("policy", "simulate", str(STARTER), "upstream internal", *profile)
    assert said.code != 0
    assert "upstream" in said.err


def test_what_is_exported_can_be_chosen_by_what_was_found_and_by_server(floor: Floor) -> None:
    assert ask(floor, "brisk-two", "acme/internal-coder", f"why does {KEY} fail?") == "hello"
    number = newest(floor)["n"]

    def exported(query: str) -> list[str]:
        said = told(floor, ADMIN, "audit", "export", "--format", "json", f"by brisk-two {query}").out
        events = [json.loads(line) for line in said.splitlines()]
        return [each["kind"] for each in events if number in {each["n"], each.get("of")}]

    assert exported("found secret") == ["opening", "outcome"]
    assert exported("found canary") == []
    assert exported("upstream internal") == ["outcome"], "which server was asked is said by how it ended"


def test_a_record_is_shown_in_words(floor: Floor) -> None:
    ask(floor, "other", "acme/internal-coder", CODE)
    said = told(floor, ADMIN, "audit", "show", str(newest(floor)["n"])).out
    shown = [line.split("  ")[0] for line in said.splitlines()]
    assert {"all.sorts.1.kind", "all.sorts.2.owner"} <= {*shown}, "one a line"
    assert "  refused" in next(line for line in said.splitlines() if line.startswith("decision"))
    for sign in ("[", "{", "None", "frozenset", "True", "False", "'"):
        assert sign not in said, said
