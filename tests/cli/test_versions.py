"""`nomoat versions`, `approve` and `withdraw` against a live gateway: what is told, and what changes."""

import json
import re
import sys
from collections.abc import Mapping
from typing import cast

import click
import pytest

from nomoat.cli.versions import completed
from nomoat.core.errors import NotFound
from tests.cli.live import Caller, Live

MODEL, DATASET = "acme/versioned", "acme/reviewed"
DECLARED = f"""
[[group]]
name = "approvers"
[[group]]
name = "ml-engineers"
[[model]]
name = "{MODEL}"
classification = "internal"
owner = "group:ml-engineers"
[[dataset]]
name = "{DATASET}"
classification = "internal"
owner = "group:ml-engineers"
review = "required"
"""
CREATE = "import huggingface_hub as hub, sys; hub.create_repo(sys.argv[1], repo_type=sys.argv[2], exist_ok=True)"
PUBLISH = """
import pickle, sys
from ipaddress import ip_address
from huggingface_hub import HfApi
content = pickle.dumps(ip_address("192.0.2.1")) if sys.argv[3].endswith(".pkl") else sys.argv[4].encode()
HfApi().upload_file(
    path_or_fileobj=content, path_in_repo=sys.argv[3], repo_id=sys.argv[1], repo_type=sys.argv[2], commit_message=sys.argv[4]
)
"""


class Published:
    """Who publishes, who judges, and what they see."""

    def __init__(self, live: Live, admin: Caller) -> None:
        live.declare(admin, DECLARED)
        self.train = live.workload(admin, "vtrain", 'segment = "training"\nclearance = "internal"')
        self.ingest = live.workload(admin, "vingest", 'segment = "ingestion"\nclearance = "internal"')
        self.judge = live.person(admin, "judge", 'groups = ["approvers"]\nclearance = "internal"')
        both = 'groups = ["ml-engineers", "approvers"]\nclearance = "internal"'
        self.engineer = live.person(admin, "emil", both)
        self.stranger = live.person(admin, "stranger")
        self.python(self.train, CREATE, MODEL, "model")
        self.python(self.ingest, CREATE, DATASET, "dataset")

    def python(self, who: Caller, script: str, *arguments: str) -> None:
        assert who.nomoat("exec", "--", sys.executable, "-c", script, *arguments).code == 0

    def publish(self, text: str, path: str = "notes.txt", by: Caller | None = None) -> str:
        self.python(by or self.train, PUBLISH, MODEL, "model", path, text)
        return str(self.lines()[0]["commit"])

    def lines(self, *options: str) -> list[Mapping[str, object]]:
        said = self.judge.nomoat("versions", *(options or (MODEL,)), "--json")
        assert said.code == 0, said.err
        return cast("list[Mapping[str, object]]", said.json()["versions"])

    def served(self, *options: str) -> list[object]:
        return [line["commit"] for line in self.lines(*options) if line["served"]]


@pytest.fixture(scope="module")
def published(live: Live, admin: Caller) -> Published:
    return Published(live, admin)


def test_a_version_is_listed_approved_served_and_withdrawn(published: Published) -> None:
    before = published.served()
    commit = published.publish("one")
    line = published.lines()[0]
    assert (line["stage"], line["author"], line["title"]) == ("candidate", "workload:vtrain", "one")
    assert published.served() == before

    said = published.judge.nomoat("approve", MODEL, commit[:8], "--check", "accuracy", "--check", "card")
    assert (said.code, said.out) == (0, f"approved {MODEL} {commit}\n"), said.err
    assert published.served() == [commit]
    table = published.judge.nomoat("versions", MODEL).out.splitlines()
    assert table[0].split() == ["commit", "stage", "author", "published", "judged", "by", "served", "reason"]
    assert re.search(rf"^{commit[:12]}  approved +workload:vtrain +\d{{4}}-.* person:judge +served$", table[1]), table[
        1
    ]

    said = published.engineer.nomoat("withdraw", MODEL, commit, "--reason", "it reads a 7 as a 1", "--json")
    told = said.json()
    assert (told["stage"], told["by"], told["commit"]) == ("withdrawn", "person:emil", commit)
    assert published.served() == before
    table = published.judge.nomoat("versions", MODEL).out.splitlines()
    assert re.search(r"  withdrawn .* person:emil .*it reads a 7 as a 1$", table[1]), table[1]
    assert "  served" not in table[1]


def test_what_was_checked_and_why_is_in_the_log(published: Published, admin: Caller) -> None:
    commit = published.publish("checked")
    assert published.judge.nomoat("approve", MODEL, commit, "--check", "accuracy", "--check", "card").code == 0
    found = admin.nomoat("audit", "search", "what ApproveVersion allowed", "--limit", "1", "--json")
    assert "accuracy, card" in found.out


def test_who_wrote_it_is_told_that_another_person_has_to(published: Published) -> None:
    commit = published.publish("mine", by=published.engineer)
    said = published.engineer.nomoat("approve", MODEL, commit[:10])
    assert said.code == 1
    assert "authors-do-not-approve" in said.err
    assert published.lines()[0]["stage"] == "candidate"


def test_quarantine_takes_a_reason(published: Published) -> None:
    commit = published.publish("an optimizer", "optimizer.pkl")
    line = published.lines()[0]
    (finding,) = cast("list[dict[str, str]]", line["findings"])
    assert (line["stage"], finding["verdict"], finding["rule"]) == (
        "quarantined",
        "quarantined",
        "pickle.unknown-global",
    )
    told = published.judge.nomoat("versions", MODEL).out
    assert f"{str(line['commit'])[:12]} is in quarantine: {finding['path']}: {finding['what']}" in told, told
    assert told.rstrip().endswith("(pickle.unknown-global)"), told
    said = published.judge.nomoat("approve", MODEL, commit[:8])
    assert said.code == 1
    assert "in quarantine: say why it may be had all the same (--reason)" in said.err
    said = published.judge.nomoat("approve", MODEL, commit[:8], "--reason", "an address, no code")
    assert said.code == 0, said.err
    assert published.lines()[0]["reason"] == "an address, no code"


def test_a_dataset_is_named_as_one(published: Published) -> None:
    published.python(published.ingest, PUBLISH, DATASET, "dataset", "rows.csv", "a,b")
    commit = str(published.lines(DATASET, "--dataset")[0]["commit"])
    assert published.judge.nomoat("approve", DATASET, commit[:8]).code == 1  # there is no such model
    said = published.judge.nomoat("approve", DATASET, commit[:8], "--dataset")
    assert said.code == 0, said.err
    assert published.served(DATASET, "--dataset") == [commit]
    said = published.judge.nomoat("withdraw", DATASET, commit[:8], "--dataset", "--reason", "a name in it")
    assert said.code == 0, said.err


def test_who_may_not_know_of_a_repository_is_told_that_there_is_none(published: Published) -> None:
    for words in (["versions", MODEL], ["approve", MODEL, "a" * 40], ["withdraw", MODEL, "a" * 40, "--reason", "x"]):
        said = published.stranger.nomoat(*words)
        assert said.code == 1
        nothing = published.stranger.nomoat(*(word.replace(MODEL, "acme/nothing") for word in words))
        assert said.err.splitlines()[0] == nothing.err.splitlines()[0] == "refused: Repository not found"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["versions", "nowhere"], "a repository is named namespace/name"),
        (["approve", MODEL, "main"], "COMMIT is a commit id, or its first 8 characters or more"),
        (["approve", MODEL, "abcdef0"], "COMMIT is a commit id, or its first 8 characters or more"),
        (["withdraw", MODEL, "../status", "--reason", "x"], "COMMIT is a commit id"),
        (["withdraw", MODEL, "a" * 40], "Missing option '--reason'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_told(published: Published, words: list[str], told: str) -> None:
    said = published.judge.nomoat(*words, "--json")
    assert said.code == 2
    assert told in json.loads(said.err)["error"]


def test_the_beginning_of_an_id_means_one_version_or_none() -> None:
    ids = ["abcdef00" + "1" * 32, "abcdef00" + "2" * 32, "0" * 40]
    assert completed("abcdef002", ids) == ids[1]
    with pytest.raises(click.UsageError, match="2 versions begin with abcdef00"):
        completed("abcdef00", ids)
    with pytest.raises(NotFound, match="none of the newest versions begins with bbbbbbbb; say its whole id"):
        completed("bbbbbbbb", ids)
