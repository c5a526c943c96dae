"""`nomoat audit verify` on a copy, without a server: what it proves, what it finds, what it admits."""

import json
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from nomoat.audit.checkpoint import parse_checkpoint
from nomoat.client.transport import Transport, pinned_context
from tests.cli.live import Caller, Live


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with Live(tmp_path_factory.mktemp("verify") / "gateway") as running:
        yield running


@pytest.fixture(scope="module")
def ann(gateway: Live) -> Caller:
    ann = gateway.admin()
    for _ in range(5):
        assert ann.nomoat("whoami").code == 0
    assert ann.nomoat("token").code == 0  # carries a checkpoint
    return ann


@pytest.fixture
def copied(gateway: Live, ann: Caller, request: pytest.FixtureRequest) -> Path:
    assert ann.profile.is_dir()
    return gateway.copy(request.node.name)


def segment(directory: Path) -> Path:
    return next(iter(sorted((directory / "log").glob("*.segment"))))


def test_a_profile_proves_that_nothing_is_missing(ann: Caller, copied: Path) -> None:
    said = ann.nomoat("audit", "verify", str(copied))
    assert said.code == 0, said.out
    assert said.out.splitlines()[-1].startswith("log verified: ")
    assert "pinned by profile 'default'" in said.out
    verified = ann.nomoat("audit", "verify", str(copied), "--json").json()
    assert isinstance(verified["proven"], int)
    assert verified["proven"] > 5
    assert verified["trusted_key"] is True


def test_the_log_alone_is_enough(ann: Caller, copied: Path) -> None:
    assert "log verified" in ann.nomoat("audit", "verify", str(copied / "log")).out


def test_a_stranger_is_told_what_is_not_proven(copied: Path, tmp_path: Path) -> None:
    stranger = Caller(tmp_path / "stranger")
    said = stranger.nomoat("audit", "verify", str(copied))
    assert said.code == 0
    assert said.out.splitlines()[-1].startswith("consistent, completeness unproven: ")
    assert "--checkpoint FILE" in said.err
    assert "--key KEY" in said.err
    assert stranger.nomoat("audit", "verify", str(copied / "log")).code == 2, "no key, and none was asked for"


def test_a_stranger_with_key_and_checkpoint_proves_it_too(
    gateway: Live, ann: Caller, copied: Path, tmp_path: Path
) -> None:
    stranger = Caller(tmp_path / "stranger")
    key = tmp_path / "log.vkey"
    key.write_text(f"{gateway.made['log_key']}\n")
    kept = str(ann.profile / "checkpoint")
    for given in (str(key), str(gateway.made["log_key"])):
        said = stranger.nomoat("audit", "verify", str(copied), "--key", given, "--checkpoint", kept)
        assert said.code == 0
        assert said.out.splitlines()[-1].startswith("log verified: ")


def test_a_flipped_byte_is_found_and_the_record_named(ann: Caller, copied: Path) -> None:
    path = segment(copied)
    data = bytearray(path.read_bytes())
    place = data.index(b'"what":"Whoami"')
    data[place + 9] ^= 1
    path.write_bytes(data)
    said = ann.nomoat("audit", "verify", str(copied))
    assert said.code == 4
    assert said.out.splitlines()[-1].startswith("log NOT VERIFIED: record ")
    found = ann.nomoat("audit", "verify", str(copied), "--json").json()
    assert found["consistent"] is False
    assert found["problems"]


def test_an_older_copy_is_found_by_who_kept_a_checkpoint(gateway: Live, ann: Caller, copied: Path) -> None:
    assert ann.nomoat("whoami").code == 0
    assert ann.nomoat("token").code == 0
    said = ann.nomoat("audit", "verify", str(copied))
    assert said.code == 4
    assert "rolled back" in said.out
    assert "of a backup or an earlier copy, that is expected" in said.err
    assert ann.nomoat("audit", "verify", str(gateway.copy("newer"))).code == 0


def test_another_log_s_key_verifies_nothing(copied: Path, tmp_path: Path) -> None:
    other = Live(tmp_path / "other")
    said = other.operator.nomoat("audit", "verify", str(copied), "--key", str(other.made["log_key"]))
    assert said.code == 4


@pytest.mark.parametrize("key", ["nonsense", "a+b+c", "/nonexistent"])
def test_a_key_that_is_none_is_refused(copied: Path, tmp_path: Path, key: str) -> None:
    said = Caller(tmp_path / "stranger").nomoat("audit", "verify", str(copied), "--key", key)
    assert said.code == 2
    assert said.err.startswith("Usage: ")


def test_a_directory_without_a_log_is_refused(ann: Caller, tmp_path: Path) -> None:
    for options in ([], ["--key", "x"]):
        said = ann.nomoat("audit", "verify", str(tmp_path), *options)
        assert (said.code, "holds no log" in said.err) == (2, True)


def test_a_file_that_is_no_checkpoint_is_a_wrong_argument(ann: Caller, copied: Path, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a checkpoint")
    said = ann.nomoat("audit", "verify", str(copied), "--checkpoint", str(file))
    assert (said.code, "is no checkpoint" in said.err) == (2, True)


@pytest.mark.parametrize("knows_her", [True, False])
def test_a_gateway_that_went_back_to_an_older_copy_is_caught_by_the_next_command(
    tmp_path: Path, knows_her: bool
) -> None:
    live = Live(tmp_path / "gateway")
    live.start()
    if knows_her:
        ann = live.admin()
        live.stop()
        yesterday = live.copy("yesterday")
        live.start()
        live.follow(ann)
    else:
        yesterday = live.copy("yesterday")
        ann = live.admin()
    for _ in range(3):
        assert ann.nomoat("token").code == 0
    live.stop()
    live.data.rename(tmp_path / "today")
    yesterday.rename(live.data)
    live.start()
    live.follow(ann)
    said = [ann.nomoat("token"), ann.nomoat("whoami"), ann.nomoat("login")]
    live.stop()
    assert [one.code for one in said] == [4, 4, 4]
    assert {one.out for one in said} == {""}
    for one in said:
        assert one.err.startswith("LOG CONTRADICTED: the log was rolled back: this profile saw ")


@pytest.mark.parametrize("grows", [1, 12])
def test_a_gateway_that_went_back_and_regrew_past_what_was_kept_is_caught(tmp_path: Path, grows: int) -> None:
    """Only the sizes look right: the log went back to a copy, and other records came since."""
    live = Live(tmp_path / "gateway")
    live.start()
    ann = live.admin()
    bob = live.person(ann, "bob")
    live.stop()
    yesterday = Path(shutil.copytree(live.data / "log", tmp_path / "yesterday"))
    live.start()
    live.follow(ann)
    live.follow(bob)
    assert ann.nomoat("token").code == 0  # ordinary growth
    assert ann.nomoat("token").code == 0
    assert ann.nomoat("audit", "search", "by ann").code == 0
    kept = (ann.profile / "checkpoint").read_bytes()
    live.stop()
    shutil.rmtree(live.data / "log")
    yesterday.rename(live.data / "log")
    live.start()
    live.follow(ann)
    live.follow(bob)
    size = parse_checkpoint(kept).size
    while grown(live, bob) < size + grows:
        assert bob.nomoat("whoami").code == 0  # he knows nothing of what is gone
    said = [ann.nomoat("token"), ann.nomoat("whoami"), ann.nomoat("login")]
    told = ann.nomoat("token", "--json")
    assert live.stop() == 0
    assert [one.code for one in [*said, told]] == [4, 4, 4, 4]
    for one in said:
        assert one.out == ""
        assert one.err.startswith("LOG CONTRADICTED: the log was rolled back or forked: the gateway signs ")
        assert f"the {size} that this profile saw" in one.err
        assert "tell your security team" in one.err
    assert "nomoat audit verify COPY --checkpoint " in str(json.loads(told.err)["next"])
    assert (ann.profile / "checkpoint").read_bytes() == kept, "the evidence was replaced"
    assert parse_checkpoint((ann.profile / "checkpoint.contradicting").read_bytes()).size > size
    # The advice works where nothing but the file and the public key is.
    security = Caller(tmp_path / "security")
    key, file = str(live.made["log_key"]), str(ann.profile / "checkpoint")
    found = security.nomoat("audit", "verify", str(live.data), "--key", key, "--checkpoint", file)
    assert found.code == 4
    assert "NOT VERIFIED" in found.out


def grown(live: Live, caller: Caller) -> int:
    """How many records the log has, from its public checkpoint."""
    context = pinned_context((caller.profile / "ca.pem").read_text())
    with Transport(live.url, context) as transport:
        return parse_checkpoint(transport.get_text("/v1/checkpoint").encode()).size
