"""Every command of the guide for auditors runs and does what the page says; every route of its reference is there."""

import json
import re
import shlex
from pathlib import Path

import pytest

from nomoat.audit.checkpoint import WITNESS_KEY, NoteSigner
from nomoat.audit.query import parse_query
from nomoat.protocols.admin.evidence import EvidenceEndpoints
from nomoat.protocols.admin.log import LogEndpoint
from nomoat.server.configuration import load_configuration
from tests.cli.live import Caller, Live

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "audit.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [line.split("  #")[0].strip() for fence in FENCES for line in fence.splitlines()]


def test_the_commands_of_the_guide_run(
    live: Live, admin: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.vkey").write_text((live.data / "public" / "log.vkey").read_text())
    while int(str(admin.nomoat("audit", "search", "--limit", "1", "--json").json()["size"])) <= 45:
        assert admin.nomoat("whoami").code == 0
    found = admin.nomoat("audit", "search", "by ann what Whoami allowed", "--limit", "1", "--json")
    mine = str(json.loads(found.out)["records"][0]["n"])  # of the page, 46 is an access of the caller's own
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        assert program == "nomoat"
        said = admin.nomoat(*(mine if each == "46" else each for each in arguments))
        assert said.code == 0, (line, said.err)
    said = admin.nomoat("audit", "prove", "45", "--from", str(live.copy("guided")), "--key", "log.vkey")
    assert said.code == 0, said.err
    assert (tmp_path / "record-45.tlog-proof").exists()


def test_the_words_that_the_guide_lists_are_those_of_the_language() -> None:
    words = "on x by person what ReadFile allowed refused label x session s since 7d until 1h record 3"
    assert parse_query(words, 1e9).labels == ("x",)
    (sentence,) = re.findall(r"^Words of a search.*?\n\n", GUIDE, re.MULTILINE | re.DOTALL)
    expected = {"on", "by", "what", "allowed", "refused", "label", "session", "since", "until", "record"}
    assert set(re.findall(r"`([a-z]+)[ `]", sentence)) >= expected


def test_the_configuration_of_the_guide_is_one(live: Live, tmp_path: Path) -> None:
    (table,) = re.findall(r"^```toml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    key = str(NoteSigner("other.example/witness", bytes(32), WITNESS_KEY).key)
    table = re.sub(r"^key = .*$", f'key = "{key}"', table, flags=re.MULTILINE)
    path = tmp_path / "nomoat.toml"
    path.write_text((live.data / "nomoat.toml").read_text() + table.replace("quorum = 2", "quorum = 1"))
    path.chmod(0o600)
    (witness,) = load_configuration(tmp_path).all_witnesses
    assert (witness.url, witness.key) == ("https://witness.other.example", key)


def test_the_reference_lists_every_route_of_the_log() -> None:
    reference = (ROOT / "docs" / "reference" / "log.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+) ([^`?]+)[^`]*` \| (\w+) \|", reference, re.MULTILINE))
    served = {
        (route.method, route.pattern, route.operation.__name__ if route.operation else "public")
        for routes in (object.__new__(EvidenceEndpoints).routes(), object.__new__(LogEndpoint).routes())
        for route in routes
    }
    assert served <= rows
    assert {pattern for _, pattern, _ in rows - served} == {"/v1/checkpoint", "/v1/consistency"}
