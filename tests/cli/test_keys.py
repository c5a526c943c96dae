"""`nomoat keys` and `nomoat shred` against a live gateway, and every command of the guide about keys."""

import re
import shlex
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from nomoat.server.keeping import parse_keys
from tests.cli.live import Caller, Live
from tests.cli.test_versions import CREATE, PUBLISH

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "keys.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, fence in FENCES if not language for line in fence.splitlines()]
MODEL = "acme/leaked"
DECLARED = f'[[model]]\nname = "{MODEL}"\nclassification = "internal"\nreview = "none"\n'


class Leaked:
    """A model of which something has to go."""

    def __init__(self, live: Live, admin: Caller) -> None:
        live.declare(admin, DECLARED + '[[group]]\nname = "approvers"\n')
        self.train = live.workload(admin, "ktrain", 'segment = "training"\nclearance = "internal"')
        self.judge = live.person(admin, "kjudge", 'groups = ["approvers"]\nclearance = "internal"')
        self.python(CREATE, MODEL, "model")

    def python(self, script: str, *arguments: str) -> None:
        said = self.train.nomoat("exec", "--", sys.executable, "-c", script, *arguments)
        assert said.code == 0, said.err

    def publish(self, path: str, text: str) -> str:
        self.python(PUBLISH, MODEL, "model", path, text)
        return self.versions()[0]["commit"]

    def versions(self) -> list[dict[str, str]]:
        return cast("list[dict[str, str]]", self.judge.nomoat("versions", MODEL, "--json").json()["versions"])


@pytest.fixture(scope="module")
def leaked(live: Live, admin: Caller) -> Leaked:
    return Leaked(live, admin)


def left(found: Mapping[str, object]) -> dict[object, object]:
    return {row["version"]: row["keys"] for row in cast("list[dict[str, object]]", found["versions"])}


def test_the_commands_of_the_guide_run_and_do_what_it_says(live: Live, admin: Caller, leaked: Leaked) -> None:
    commits = [leaked.publish("a.txt", f"text {number}") for number in range(6)]
    pairs = iter(zip(commits[::2], commits[1::2], strict=True))
    places = {"DIRECTORY": str(live.data)}
    ran = 0
    for line in COMMANDS:
        program, *words = shlex.split(line)
        assert program == "nomoat"
        if "adopt" in words:
            continue  # with a service to adopt it: tests/stores/kms
        if "shred" in words:
            places["COMMIT"], places["OTHER"] = next(pairs)
        given = [places.get(word, word) for word in words]
        offline = "destroy" in words
        if offline:
            assert admin.nomoat(*given).code == 3  # a gateway uses it
            live.stop()
        said = admin.nomoat(*given)
        if offline:
            live.start()
            for caller in (admin, leaked.train, leaked.judge):
                live.follow(caller)
        assert said.code == 0, (line, said.out, said.err)
        ran += 1
    assert ran == len(COMMANDS) - 1
    now = admin.nomoat("keys", "status", "--json").json()
    assert (now["newest"], now["left"], list(left(now))) == (2, 0, [2])
    stages = [version["stage"] for version in leaked.versions()]
    assert stages.count("shredded") == 4


def test_the_settings_of_the_guide_are_taken() -> None:
    (table,) = [fence for language, fence in FENCES if language == "toml"]
    assert parse_keys(tomllib.loads(table)["keys"]).kms == "vault"


def test_a_refusal_names_who_shares_and_what_to_do(leaked: Leaked, admin: Caller) -> None:
    first = leaked.publish("shared.txt", "shared")
    second = leaked.publish("other.txt", "other")
    said = admin.nomoat("shred", MODEL, first[:40], "--reason", "x", "--yes")
    assert said.code == 1
    assert second in said.err
    assert "--keep-shared" in said.err
    assert "Traceback" not in said.err
    refused = leaked.judge.nomoat("shred", MODEL, first, "--reason", "x", "--yes")
    assert refused.code == 1
    done = admin.nomoat("shred", MODEL, first, "--keep-shared", "--reason", "x", "--yes", "--json").json()
    assert (done["contents"], done["commit"]) == (1, first)  # its signature: that of no other


def test_a_status_is_a_table_and_nothing_of_a_key(admin: Caller) -> None:
    said = admin.nomoat("keys", "status")
    assert said.out.split()[:2] == ["version", "keys"]
    assert "newest" in said.out
    assert not re.search(r"[A-Za-z0-9+/]{40}", said.out + said.err)
