"""The configuration: its witnesses are few, apart and reachable, and the guide lists what there is."""

import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from nomoat.audit.checkpoint import LOG_KEY, WITNESS_KEY, NoteSigner
from nomoat.core.errors import Malformed
from nomoat.identity.tokens import TOKEN_LIFE
from nomoat.server import configuration, forwards, postgres
from nomoat.server.admission import Limits
from nomoat.server.configuration import REEXAMINE, Configuration, WitnessAddress, load_configuration
from tests.architecture.tree import ROOT


def address(number: int, url: str = "https://w.example", kind: int = WITNESS_KEY) -> WitnessAddress:
    return WitnessAddress(url, str(NoteSigner(f"w{number}.example", bytes([number]) * 32, kind).key))


def write(directory: Path, *witnesses: WitnessAddress, quorum: int = 0, first: WitnessAddress | None = None) -> None:
    made = Configuration(
        "acme.example",
        "127.0.0.1",
        0,
        ("127.0.0.1",),
        directory / "kek",
        witness=first.url if first else "",
        witness_key=first.key if first else "",
        witnesses=witnesses,
        witness_quorum=quorum,
    )
    path = directory / "nomoat.toml"
    path.write_text(made.dump())
    path.chmod(0o600)


def test_witnesses_are_written_and_read(tmp_path: Path) -> None:
    write(tmp_path, address(2), address(3, "http://127.0.0.1:8444"), quorum=2, first=address(1))
    found = load_configuration(tmp_path)
    assert [witness.verifier_key.name for witness in found.all_witnesses] == [
        "w1.example",
        "w2.example",
        "w3.example",
    ]
    assert found.witness_quorum == 2
    write(tmp_path)
    assert load_configuration(tmp_path).all_witnesses == ()


@pytest.mark.parametrize(
    ("witnesses", "quorum"),
    [
        ([address(1)], 2),
        ([], 1),
        ([address(1)], -1),
        ([address(1), address(1)], 1),
        ([address(number) for number in range(1, 18)], 1),
        ([address(1, "ftp://w.example")], 1),
        ([address(1, kind=LOG_KEY)], 1),
        ([WitnessAddress("https://w.example", "nonsense")], 1),
    ],
)
def test_other_policies_refuse_to_start(tmp_path: Path, witnesses: list[WitnessAddress], quorum: int) -> None:
    write(tmp_path, *witnesses, quorum=quorum)
    with pytest.raises(Malformed):
        load_configuration(tmp_path)


@pytest.mark.parametrize("quorum", ["0", "true", '"1"', "1.0"])
def test_a_quorum_that_is_written_asks_somebody(tmp_path: Path, quorum: str) -> None:
    write(tmp_path, address(1))
    path = tmp_path / "nomoat.toml"
    path.write_text(path.read_text().replace("\n[[witnesses]]", f"witness_quorum = {quorum}\n[[witnesses]]"))
    with pytest.raises(Malformed, match="witness_quorum is a number from 1"):
        load_configuration(tmp_path)


def test_an_unknown_field_of_a_witness_refuses_to_start(tmp_path: Path) -> None:
    write(tmp_path, address(1))
    path = tmp_path / "nomoat.toml"
    path.write_text(path.read_text() + "optional = true\n")
    with pytest.raises(Malformed):
        load_configuration(tmp_path)


TABLE = re.findall(
    r"^\| (`.+?) \| .+ \| (.+?) \|$",
    (ROOT / "docs" / "guides" / "operating.md").read_text("utf-8").partition("## nomoat.toml")[2].partition("##")[0],
    re.MULTILINE,
)


def test_the_guide_lists_every_field_that_is_read() -> None:
    told: dict[str, frozenset[str]] = {}
    for cell, _ in TABLE:
        names, _, within = cell.partition(":")
        for name in re.findall(r"`\[*(\w+)\]*`", names):
            told[name] = frozenset(re.findall(r"`(\w+)`", within))
    assert told.keys() == configuration._REQUIRED | configuration._OPTIONAL
    tables = {name: within for name, within in told.items() if within}
    assert tables == {
        "witnesses": {each.name for each in fields(WitnessAddress)},
        "forward": forwards._FIELDS,
        "postgres": postgres._FIELDS,
    }


def test_what_the_guide_calls_usual_is_what_holds_without_the_field() -> None:
    usual = {name: said for cell, said in TABLE for name in re.findall(r"`(\w+)`", cell.partition(":")[0])}
    seconds = {"token_lifetime_s": str(TOKEN_LIFE), "reexamine_s": str(REEXAMINE)}
    expected = {**{name: str(value) for name, value in asdict(Limits()).items()}, **seconds}
    assert {name: usual[name] for name in expected} == expected
    assert {name for name, said in usual.items() if said == "required"} == configuration._REQUIRED
