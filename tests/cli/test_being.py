"""Becoming someone, being someone, ending it: the command against a real gateway."""

import json
import stat
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from tests.cli.live import Caller, Live


def test_who_logged_in_is_known(admin: Caller) -> None:
    known = admin.nomoat("whoami", "--json").json()
    assert known["subject"] == "person:ann"
    assert known["groups"] == ["administrators", "auditors"]
    assert known["binding"] == "mtls"
    said = admin.nomoat("whoami")
    assert said.code == 0
    assert "person:ann" in said.out


def test_what_a_credential_is_bound_to_is_shown(admin: Caller) -> None:
    certificate = x509.load_pem_x509_certificate((admin.profile / "certificate.pem").read_bytes())
    thumbprint = urlsafe_b64encode(certificate.fingerprint(SHA256())).rstrip(b"=").decode()  # RFC 8705, section 3.1
    known = admin.nomoat("whoami", "--json").json()
    assert (known["certificate"], known["key"]) == (thumbprint, "")
    lines = admin.nomoat("whoami").out.splitlines()
    assert [line.split() for line in lines if line.startswith(("certificate", "key"))] == [["certificate", thumbprint]]


def test_a_workload_joins_with_its_code(live: Live, admin: Caller) -> None:
    train = live.workload(admin, "train")
    assert train.nomoat("whoami", "--json").json()["spiffe_id"] == "spiffe://acme.example/train"


def test_every_file_of_a_profile_is_private(admin: Caller) -> None:
    files = [path for path in admin.profile.rglob("*") if path.is_file()]
    assert {"device.key", "certificate.pem", "ca.pem", "profile.toml", "checkpoint"} <= {path.name for path in files}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_enroll_prints_the_code_alone(live: Live, admin: Caller) -> None:
    live.declare(admin, '[[person]]\nname = "bob"\n')
    said = admin.nomoat("enroll", "bob")
    assert said.out.startswith("nmp-")
    assert said.out.count("\n") == 1
    assert f"nomoat login {live.url} --code CODE --profile bob\n" in said.err
    live.declare(admin, '[[person]]\nname = "bob+y"\n')  # no profile can be called that
    assert f"nomoat login {live.url} --code CODE\n" in admin.nomoat("enroll", "bob+y").err


def test_enroll_says_which_kind_a_name_is(live: Live, admin: Caller) -> None:
    live.declare(admin, '[[person]]\nname = "gus"\n[[workload]]\nname = "ingest"\n')
    assert "refused: ingest is a workload: add --workload" in admin.nomoat("enroll", "ingest").err
    assert "refused: gus is a person: leave out --workload" in admin.nomoat("enroll", "--workload", "gus").err
    assert f"{live.url} --code CODE --profile ingest" in admin.nomoat("enroll", "--workload", "ingest").err


def test_a_misspelt_name_is_not_a_revocation(live: Live, admin: Caller) -> None:
    live.declare(admin, '[[workload]]\nname = "idle"\n')
    said = admin.nomoat("revoke", "person", "nobody-of-this-name")
    assert (said.code, "nothing was ended" in said.err) == (1, True)
    assert "run: nomoat revoke workload idle" in admin.nomoat("revoke", "person", "idle").err
    assert admin.nomoat("revoke", "workload", "idle").out == "revoked workload idle: nothing was left to end\n"


def test_a_code_works_once_and_a_second_use_ends_what_the_first_made(live: Live, admin: Caller, tmp_path: Path) -> None:
    live.declare(admin, '[[person]]\nname = "carol"\n')
    code = admin.nomoat("enroll", "carol").out.strip()
    carol, thief = Caller(tmp_path / "carol"), Caller(tmp_path / "thief")
    assert carol.nomoat("login", live.url, "--code", code).code == 0
    assert carol.nomoat("whoami").code == 0
    stolen = thief.nomoat("login", live.url, "--code", code)
    assert stolen.code == 1
    assert stolen.err.startswith("refused: ")
    assert not (thief.profile / "profile.toml").exists()
    assert not (thief.profile / "device.key.new").exists(), "a key of a failed log-in was left"
    assert carol.nomoat("whoami").code == 1


def test_a_code_of_another_gateway_is_not_sent(live: Live, tmp_path: Path) -> None:
    other = Live(tmp_path / "other")
    said = Caller(tmp_path / "me").nomoat("login", live.url, "--code", str(other.made["code"]))
    assert said.code == 1
    assert "the code was not sent" in said.err


@pytest.mark.parametrize("kind", ["person", "device", "session"])
def test_a_revocation_holds_for_the_next_request(live: Live, admin: Caller, kind: str) -> None:
    who = live.person(admin, f"revoked-{kind}")
    known = who.nomoat("whoami", "--json").json()
    name = f"revoked-{kind}" if kind == "person" else str(known[kind])
    done = admin.nomoat("revoke", kind, name, "--json").json()
    assert done["ended"] == [known["session"]]
    said = who.nomoat("whoami")
    assert said.code == 1
    assert "revoked; ask an administrator" in said.err


def test_a_device_starts_a_new_session_and_a_revoked_one_does_not(live: Live, admin: Caller) -> None:
    who = live.person(admin, "dora")
    session = str(who.nomoat("whoami", "--json").json()["session"])
    assert admin.nomoat("revoke", "session", session).code == 0
    assert who.nomoat("login").code == 0
    again = who.nomoat("whoami", "--json").json()
    assert again["session"] != session
    assert admin.nomoat("revoke", "device", str(again["device"])).code == 0
    assert who.nomoat("login").code == 1


def test_who_may_not_administer_is_refused_with_a_record(live: Live, admin: Caller) -> None:
    who = live.person(admin, "eve")
    said = who.nomoat("enroll", "eve")
    assert said.code == 1
    lines = said.err.splitlines()
    assert lines[0] == "refused: eve may not Enroll person:eve"
    assert lines[1] == "  why    no policy permits it"
    assert lines[2].startswith("  record ")
    refusal = json.loads(who.nomoat("enroll", "eve", "--json").err)
    assert isinstance(refusal["record"], int)


def test_a_gateway_that_is_away_is_3(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        ann = live.admin()
    said = ann.nomoat("whoami")
    assert said.code == 3
    assert said.err.startswith(f"unavailable: {live.url} cannot be reached")
    assert "check the address and port" in said.err


def test_what_cannot_be_served_says_why(live: Live, tmp_path: Path) -> None:
    caller = Caller(tmp_path / "home")
    said = caller.nomoat("serve", str(tmp_path))
    assert (said.code, "nomoat init DIR" in said.err) == (3, True)
    said = live.operator.nomoat("serve", str(live.data))
    assert (said.code, "another gateway is using it" in said.err) == (3, True)
    said = live.operator.nomoat("init", str(live.data))
    assert said.code == 1
    assert "init" not in said.out


def test_many_commands_of_one_profile_at_once(live: Live, admin: Caller) -> None:
    who = live.person(admin, "fay")
    processes = [who.start("token") for _ in range(6)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.startswith("ey")


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("ca.pem", None, "is missing"),
        ("ca.pem", b"", "holds no certificate"),
        ("certificate.pem", None, "is missing"),
        ("certificate.pem", b"", "holds no certificate"),
        ("device.key", None, "is missing"),
        ("device.key", b"no key", "holds no key of a device"),
    ],
)
def test_a_damaged_profile_is_named_with_its_file_and_mended_by_what_is_said(
    live: Live, admin: Caller, tmp_path: Path, file: str, content: bytes | None, why: str
) -> None:
    live.declare(admin, '[[person]]\nname = "dan"\n')
    dan = Caller(tmp_path / "dan")
    assert dan.nomoat("login", live.url, "--code", admin.nomoat("enroll", "dan").out.strip()).code == 0
    path = dan.profile / file
    path.unlink() if content is None else path.write_bytes(content)
    said = dan.nomoat("whoami")
    assert said.code == 1
    assert said.err == (
        f"refused: the profile 'default' cannot be used: {path} {why}\n"
        "  next   ask an administrator for a new code, then: nomoat login URL --code CODE --replace\n"
    )
    code = admin.nomoat("enroll", "dan").out.strip()
    assert dan.nomoat("login", live.url, "--code", code, "--replace").code == 0
    assert dan.nomoat("whoami").code == 0


def test_a_workload_gets_in_again_as_it_is_told(live: Live, admin: Caller) -> None:
    job = live.workload(admin, "revoked-job")
    assert admin.nomoat("revoke", "workload", "revoked-job").code == 0
    told = job.nomoat("whoami").err
    assert "nomoat enroll revoked-job --workload" in told
    assert "nomoat login URL --code CODE --replace" in told
    code = admin.nomoat("enroll", "revoked-job", "--workload").out.strip()
    assert job.nomoat("login", live.url, "--code", code, "--replace").code == 0
    assert job.nomoat("whoami").code == 0


def test_a_person_without_a_device_gets_in_again_as_told(live: Live, admin: Caller) -> None:
    hal = live.person(admin, "hal")
    device = str(hal.nomoat("whoami", "--json").json()["device"])
    assert admin.nomoat("revoke", "device", device).code == 0
    for command in (["whoami"], ["login"]):
        assert "new code, then: nomoat login URL --code CODE --replace" in hal.nomoat(*command).err
    code = admin.nomoat("enroll", "hal").out.strip()
    assert hal.nomoat("login", live.url, "--code", code, "--replace").code == 0
    assert hal.nomoat("whoami").code == 0


def test_a_failed_login_leaves_no_profile_behind(live: Live, tmp_path: Path) -> None:
    me = Caller(tmp_path / "me")
    code = str(live.made["code"])
    assert me.nomoat("login", live.url, "--code", code[:4] + "a" * 32 + code[36:]).code == 1
    assert not me.profile.exists()


def test_a_revocation_says_what_it_ended_and_the_next_one_that_nothing_was_left(live: Live, admin: Caller) -> None:
    live.workload(admin, "twice")
    assert admin.nomoat("revoke", "workload", "twice").out.startswith("revoked workload twice: 1 session ended\n  s-")
    assert admin.nomoat("revoke", "workload", "twice").out == "revoked workload twice: nothing was left to end\n"
    live.person(admin, "ida")
    for _ in range(2):
        assert admin.nomoat("enroll", "ida").code == 0
    said = admin.nomoat("revoke", "person", "ida").out
    assert said.startswith("revoked person ida: 1 session ended, 1 device ended, 2 unused codes cancelled\n")
    assert admin.nomoat("revoke", "person", "ida").out == "revoked person ida: nothing was left to end\n"


@pytest.mark.parametrize("url", ["http://localhost:8443", "https://localhost:8443/x", "https://localhost:99999999"])
def test_an_address_that_is_none_is_wrong_usage(tmp_path: Path, url: str) -> None:
    said = Caller(tmp_path / "me").nomoat("login", url, "--code", "x")
    assert said.code == 2
    assert "a gateway's address is https://HOST" in said.err


def test_an_address_in_use_says_where_to_choose_another(live: Live, tmp_path: Path) -> None:
    other = Live(tmp_path / "other")
    path = other.data / "nomoat.toml"
    path.write_text(path.read_text().replace("127.0.0.1:0", live.url.removeprefix("https://")))
    said = other.operator.nomoat("serve", str(other.data))
    assert said.code == 3
    assert f"Address already in use; stop what uses it, or set another port by listen in {path}" in said.err
