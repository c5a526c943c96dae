"""One record proven: `nomoat audit prove` and `receipt`, from a gateway and from a copy of its log."""

import json
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from tests.cli.live import Caller, Live


@pytest.fixture(scope="module")
def refused(live: Live, admin: Caller) -> int:
    """The number of the record of a refusal: mallory may not enrol anybody."""
    said = live.person(admin, "mallory").nomoat("enroll", "mallory", "--json")
    return int(json.loads(said.err)["record"])


@pytest.fixture(scope="module")
def log_key(live: Live) -> str:
    return (live.data / "public" / "log.vkey").read_text().strip()


def proven(admin: Caller, folder: Path, number: int) -> tuple[Path, Path]:
    receipt, content = folder / "r.tlog-proof", folder / "r.json"
    said = admin.nomoat("audit", "prove", str(number), "-o", str(receipt), "--content", str(content))
    assert said.code == 0, said.err
    assert f"record {number}" in said.out
    return receipt, content


def test_a_receipt_verifies_anywhere_with_the_public_key(
    admin: Caller, refused: int, log_key: str, tmp_path: Path
) -> None:
    receipt, content = proven(admin, tmp_path, refused)
    assert receipt.read_text().startswith("c2sp.org/tlog-proof@v1\nextra ")
    stranger = Caller(tmp_path / "elsewhere")
    said = stranger.nomoat("audit", "receipt", str(receipt), "--key", log_key)
    assert said.code == 0, said.err
    assert f"record {refused} is in the log under these pseudonyms" in said.out
    assert "mallory" not in said.out
    said = stranger.nomoat("audit", "receipt", str(receipt), "--content", str(content), "--key", log_key)
    assert said.code == 0, said.err
    assert "mallory" in said.out
    assert "no policy permits it" in said.out


def test_a_profile_knows_the_key(admin: Caller, refused: int, tmp_path: Path) -> None:
    receipt, content = proven(admin, tmp_path, refused)
    said = admin.nomoat("audit", "receipt", str(receipt), "--content", str(content), "--json").json()
    assert (said["verified"], said["record"], said["key_from"]) == (True, refused, "pinned by profile 'default'")
    assert isinstance(said["content"], dict)
    assert said["content"]["who"]["name"] == "mallory"


def test_without_a_key_nothing_is_verified(admin: Caller, refused: int, tmp_path: Path) -> None:
    receipt, _ = proven(admin, tmp_path, refused)
    said = Caller(tmp_path / "elsewhere").nomoat("audit", "receipt", str(receipt))
    assert said.code == 1
    assert "--key KEY" in said.err


def test_a_changed_receipt_or_content_fails(admin: Caller, refused: int, log_key: str, tmp_path: Path) -> None:
    receipt, content = proven(admin, tmp_path, refused)
    lines = receipt.read_text().split("\n")
    entry = b64decode(lines[1].removeprefix("extra "))
    lines[1] = "extra " + b64encode(entry.replace(b'"deny"', b'"allow"')).decode()
    forged = tmp_path / "forged.tlog-proof"
    forged.write_text("\n".join(lines))
    said = admin.nomoat("audit", "receipt", str(forged), "--key", log_key)
    assert said.code == 4
    assert "verification failed" in said.err
    opening = json.loads(content.read_text())
    opening["content"] = b64encode(b64decode(opening["content"]).replace(b"mallory", b"malorie")).decode()
    content.write_text(json.dumps(opening))
    said = admin.nomoat("audit", "receipt", str(receipt), "--content", str(content))
    assert said.code == 4
    assert f"the content of record {refused}" in said.err


def test_a_copy_of_the_log_proves_without_a_gateway(live: Live, refused: int, log_key: str, tmp_path: Path) -> None:
    copy, auditor = live.copy("carried-away"), Caller(tmp_path / "laptop")
    for name in ("kept", "without"):
        receipt = tmp_path / f"{name}.tlog-proof"
        said = auditor.nomoat("audit", "prove", str(refused), "--from", str(copy), "--key", log_key, "-o", str(receipt))
        assert said.code == 0, said.err
        assert auditor.nomoat("audit", "receipt", str(receipt), "--key", log_key).code == 0
        (copy / "log" / "tree").unlink(missing_ok=True)  # the stored hashes are a convenience
    said = auditor.nomoat("audit", "prove", "999999", "--from", str(copy), "--key", log_key)
    assert said.code == 1
    assert "covers record 999999" in said.err


def test_proving_is_for_auditors_and_recorded(live: Live, admin: Caller, refused: int, tmp_path: Path) -> None:
    who = live.person(admin, "prover")
    said = who.nomoat("audit", "prove", str(refused), "-o", str(tmp_path / "no"))
    assert said.code == 1
    assert "prover may not ProveRecord" in said.err
    assert not (tmp_path / "no").exists()
    proven(admin, tmp_path, refused)
    assert "person ann" in admin.nomoat("audit", "search", "what ProveRecord allowed").out


def test_everybody_proves_their_own_access_and_nobody_else_s(
    live: Live, admin: Caller, refused: int, log_key: str, tmp_path: Path
) -> None:
    who, receipt = live.person(admin, "owner"), tmp_path / "own.tlog-proof"
    told = int(json.loads(who.nomoat("audit", "search", "--json").err)["record"])
    said = who.nomoat("audit", "prove", str(told), "--own", "-o", str(receipt))
    assert said.code == 0, said.err
    said = Caller(tmp_path / "elsewhere").nomoat("audit", "receipt", str(receipt), "--key", log_key, "--json")
    assert said.code == 0, said.err
    entry = said.json()["entry"]
    assert isinstance(entry, dict)
    assert (entry["n"], entry["what"], entry["decision"]) == (told, "ReadLog", "deny")
    for number in (refused, 999_999):
        said = who.nomoat("audit", "prove", str(number), "--own", "-o", str(tmp_path / "no"))
        assert said.code == 1
        assert said.err.splitlines()[0] == f"refused: there is no record {number} of an access of yours"
        assert not (tmp_path / "no").exists()
    for options in (["--content", str(tmp_path / "c")], ["--from", str(tmp_path), "--key", log_key]):
        assert who.nomoat("audit", "prove", str(told), "--own", *options).code == 2
    # After an erasure the record is there and nobody's any more, not even who it was of.
    live.declare(admin, '[[group]]\nname = "privacy-officers"')
    eraser = live.person(admin, "eraser", 'groups = ["privacy-officers"]')
    said = eraser.nomoat("audit", "erase", "person:owner", "--yes")
    assert said.code == 0, said.err
    said = who.nomoat("audit", "prove", str(told), "--own", "-o", str(tmp_path / "no"))
    assert said.err.splitlines()[0] == f"refused: there is no record {told} of an access of yours"
    said = admin.nomoat("audit", "prove", str(told), "-o", str(tmp_path / "no"), "--content", str(tmp_path / "c"))
    assert (said.code, "was erased or forgotten" in said.err) == (1, True), said.err
    assert admin.nomoat("audit", "prove", str(told), "-o", str(tmp_path / "yes")).code == 0


def test_what_cannot_be_proven(admin: Caller, tmp_path: Path) -> None:
    said = admin.nomoat("audit", "prove", "999999", "-o", str(tmp_path / "r"))
    assert said.code == 1
    assert "no record 999999" in said.err
    taken = tmp_path / "taken"
    taken.write_text("mine")
    said = admin.nomoat("audit", "prove", "0", "-o", str(taken))
    assert said.code == 1
    assert taken.read_text() == "mine"


# -- At a glance ---------------------------------------------------------------------------------------


def test_who_and_what_at_a_glance(admin: Caller, refused: int) -> None:
    said = admin.nomoat("audit", "who", "what Enroll on person:mallory", "--json")
    assert said.code == 0, said.err
    groups = {group["who"]: group for group in said.json()["groups"]}  # type: ignore[attr-defined]
    assert groups["person ann"]["allowed"] == 1
    assert groups["person mallory"]["refused"] == 1
    assert groups["person mallory"]["first"]["record"] == refused
    said = admin.nomoat("audit", "touched", "by mallory")
    assert said.code == 0, said.err
    heading, *rows = said.out.splitlines()
    assert heading.split() == ["on", "allowed", "refused", "first", "(record)", "last", "(record)"]
    (row,) = [row for row in rows if f"({refused})" in row]
    assert row.split()[0] == "person:mallory"


def test_people_who_share_the_first_part_of_a_name_are_counted_apart(live: Live, admin: Caller) -> None:
    names = ("kim@acme.example", "kim@rival.example")
    for name in names:
        live.person(admin, name)
    said = admin.nomoat("audit", "touched", "what Enroll allowed", "--json")
    assert said.code == 0, said.err
    things = {group["on"]: group["allowed"] for group in said.json()["groups"]}  # type: ignore[attr-defined]
    assert [things.get(f"person:{name}") for name in names] == [1, 1]
    assert "person:kim" not in things
    found = admin.nomoat("audit", "search", f"what Enroll on person:{names[0]}").out
    assert names[0] in found
    assert names[1] not in found


def test_counting_is_for_auditors_and_recorded(live: Live, admin: Caller) -> None:
    who = live.person(admin, "counter")
    said = who.nomoat("audit", "who", "on acme/digits")
    assert said.code == 1
    assert "counter may not ReportLog" in said.err
    assert "person counter" in admin.nomoat("audit", "search", "what ReportLog refused").out


def test_a_scan_finds_what_the_index_finds(admin: Caller, refused: int) -> None:
    searched = admin.nomoat("audit", "search", "by mallory refused", "--json").json()["records"]
    scanned = admin.nomoat("audit", "search", "by mallory refused", "--scan", "--json").json()["records"]
    assert searched == scanned
    assert [record["n"] for record in searched] == [refused]  # type: ignore[attr-defined]
