"""`nomoat verify`: what it says of a directory, file by file, and its exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key
from huggingface_hub._local_folder import get_local_download_paths, write_download_metadata

from nomoat.attestation.errors import NotVerified
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.model_signature import sign_model
from nomoat.attestation.signer import Trusted
from nomoat.client.profiles import Identity, Profile
from nomoat.client.signatures import Demand, verify_snapshot
from nomoat.identity.authority import CertificateAuthority
from nomoat.identity.trust_domain import TrustDomain
from tests.attestation.models import (
    CONTENTS,
    DAY,
    SIGNER,
    Authority,
    manifest_of,
    new_authority,
    new_key,
    write_certificates,
    write_model,
    write_public,
)
from tests.cli.live import Caller, Said

KEY = new_key()
NOW = int(time())


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    return Caller(tmp_path / "home")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with its signature, whose key is in `key.pem` beside it."""
    directory = write_model(tmp_path / "digits")
    (directory / "model.sig").write_bytes(sign_model("digits", manifest_of(), KEY))
    write_public(tmp_path / "key.pem", KEY)
    return directory


def verify(caller: Caller, model: Path, *more: str) -> Said:
    return caller.nomoat("verify", str(model), "--key", str(model.parent / "key.pem"), *more)


def refused(caller: Caller, model: Path, *more: str) -> dict[str, object]:
    """What it says, as JSON, of a model that does not verify; for people it says the same."""
    said = verify(caller, model, *more)
    assert said.code == 4, said.err
    assert "model NOT VERIFIED: " in said.out
    assert "  next   " in said.err
    machine = verify(caller, model, *more, "--json")
    assert machine.code == 4
    document = machine.json()
    assert document["verified"] is False
    return document


def test_a_model_as_it_was_signed(caller: Caller, model: Path) -> None:
    said = verify(caller, model)
    assert (said.code, said.err) == (0, "")
    assert "model verified: 7 files, " in said.out
    document = verify(caller, model, "--json").json()
    size = sum(len(content) for content in CONTENTS.values())
    assert (document["verified"], document["files"], document["bytes"]) == (True, 7, size)
    assert (document["root"], document["dir_hash"]) == (manifest_of().root, manifest_of().dir_hash)
    assert document["signer"] == {"spiffe_id": None, "subject": None, "key_id": str(_hint(model))}


def _hint(model: Path) -> object:
    return json.loads((model / "model.sig").read_bytes())["verificationMaterial"]["publicKey"]["hint"]


@pytest.mark.parametrize(
    ("damage", "path", "fault"),
    [
        (lambda file: file.write_bytes(b"other"), "config.json", "changed"),
        (lambda file: file.unlink(), "onnx/model.onnx", "missing"),
        (lambda file: file.write_bytes(b""), "evil.py", "unsigned"),
        (lambda file: file.write_bytes(b""), ".github/workflows/evil.yml", "unsigned"),
        (lambda file: (file.parent.mkdir(), file.write_bytes(b"")), ".git/config", "unsigned"),
        (lambda file: (file.parent.mkdir(), file.write_bytes(b"")), ".cache/pip", "unsigned"),
        (lambda file: (file.parent.mkdir(parents=True), file.write_bytes(b"")), ".cache/huggingface/a.py", "unsigned"),
        (
            lambda file: (file.parent.mkdir(parents=True), file.write_bytes(b"")),
            "deep/.cache/huggingface/.gitignore",
            "unsigned",
        ),
        (lambda file: file.write_bytes(b""), "x\x1b[31m", "unsigned"),
        (lambda file: file.write_bytes(b""), os.fsdecode(b"latin-\xe9"), "unsigned"),
    ],
)
def test_the_file_that_is_wrong_is_named(
    caller: Caller, model: Path, damage: Callable[[Path], object], path: str, fault: str
) -> None:
    damage(model / path)
    document = refused(caller, model)
    assert document["differences"] == [{"path": path, "fault": fault}]
    assert document["reason"] == "files"
    said = verify(caller, model).out
    assert f"  {fault:<8}  " in said
    assert "\x1b" not in said


def test_a_renamed_file_is_two_faults(caller: Caller, model: Path) -> None:
    (model / "config.json").rename(model / "config2.json")
    assert refused(caller, model)["differences"] == [
        {"path": "config.json", "fault": "missing"},
        {"path": "config2.json", "fault": "unsigned"},
    ]


def test_what_the_stock_client_notes_beside_a_download_is_passed_over(caller: Caller, model: Path) -> None:
    for path in CONTENTS:
        get_local_download_paths(model, path)
        write_download_metadata(model, path, "0" * 40, "etag")
    notes = model / ".cache" / "huggingface"
    assert {each.name for each in notes.iterdir()} >= {"CACHEDIR.TAG", ".gitignore", "download"}
    assert verify(caller, model).code == 0
    for name in ("download/evil.py", "download/evil.lock.py", ".gitignore.py", "trees/evil.json"):
        (notes / name).parent.mkdir(exist_ok=True)
        (notes / name).write_bytes(b"")
        assert refused(caller, model)["differences"] == [{"path": f".cache/huggingface/{name}", "fault": "unsigned"}]
        (notes / name).unlink()


def test_the_signature_may_lie_elsewhere(caller: Caller, model: Path) -> None:
    elsewhere = model.parent / "digits.sig"
    (model / "model.sig").rename(elsewhere)
    assert verify(caller, model, "--signature", str(elsewhere)).code == 0
    assert refused(caller, model)["reason"] == "unsigned"
    (model / "model.sig").write_bytes(b"")
    document = refused(caller, model, "--signature", str(elsewhere))
    assert document["differences"] == [{"path": "model.sig", "fault": "unsigned"}]


def test_a_signature_that_is_none(caller: Caller, model: Path) -> None:
    (model / "model.sig").write_bytes(b"{}")
    assert refused(caller, model)["reason"] == "malformed"
    (model / "model.sig").unlink()
    os.mkfifo(model / "model.sig")
    assert refused(caller, model)["reason"] == "unsigned"


# -- links ------------------------------------------------------------------------------------------


def test_links_within_the_directory_count_as_files(caller: Caller, tmp_path: Path) -> None:
    model = write_model(tmp_path / "linked", {"a/weights": b"w"})
    (model / "weights").symlink_to("a/weights")
    write_public(tmp_path / "key.pem", KEY)
    (model / "model.sig").write_bytes(sign_model("linked", manifest_of({"weights": b"w", "a/weights": b"w"}), KEY))
    assert verify(caller, model).code == 0


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("../config.json", "is a link that leaves the directory"),
        ("/etc/hostname", "is a link that leaves the directory"),
        ("onnx", "is a link to a folder"),
        (".", "is a link to a folder"),
        ("..", "is a link that leaves the directory"),
        ("nowhere", "is a link that leads to nothing"),
        ("config.json", "is a link that leads to nothing"),  # itself
    ],
)
def test_other_links_are_refused(caller: Caller, model: Path, target: str, what: str) -> None:
    (model.parent / "config.json").write_bytes(CONTENTS["config.json"])  # what was signed, but not in here
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(target)
    document = refused(caller, model)
    assert document["error"] == f"'config.json' {what}"


def test_what_is_no_file_is_refused(caller: Caller, model: Path) -> None:
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    assert "neither a file nor a folder" in str(refused(caller, model)["error"])


def cached(root: Path) -> Path:
    """The layout of the Hub's cache: a snapshot of links into the blobs beside it."""
    blobs, snapshot = root / "blobs", root / "snapshots" / ("0" * 40)
    blobs.mkdir(parents=True)
    contents = {**CONTENTS, "model.sig": sign_model("digits", manifest_of(), KEY)}
    for number, (path, content) in enumerate(contents.items()):
        (blobs / f"{number}").write_bytes(content)
        link = snapshot / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / f"{number}", link.parent))
    write_public(snapshot.parent / "key.pem", KEY)
    return snapshot


def test_the_cache_of_the_hub_works(caller: Caller, tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "models--acme--digits")
    assert verify(caller, snapshot).code == 0
    here = tmp_path / "here"
    here.symlink_to(snapshot)
    assert caller.nomoat("verify", str(here), "--key", str(snapshot.parent / "key.pem")).code == 0
    (snapshot.parent.parent / "blobs" / "1").write_bytes(b"other")
    assert refused(caller, snapshot)["differences"] == [{"path": "model.safetensors", "fault": "changed"}]


def test_a_cache_leads_into_its_own_blobs_alone(caller: Caller, tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "models--acme--digits")
    other = cached(tmp_path / "models--acme--other")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to((other / "config.json").resolve())
    assert "leaves the directory" in str(refused(caller, snapshot)["error"])


def test_no_file_is_read_for_a_signature_that_does_not_count(model: Path) -> None:
    def watch(_: object) -> Callable[[int], None]:
        raise AssertionError("files were about to be read")

    demanded = Demand(Trusted(keys=(new_key().public_key(),)), "given")
    with pytest.raises(NotVerified, match="not trusted here"):
        verify_snapshot(model, model / "model.sig", demanded, NOW, watch)


# -- whose signature --------------------------------------------------------------------------------


def test_without_a_profile_somebody_has_to_be_demanded(caller: Caller, model: Path) -> None:
    said = caller.nomoat("verify", str(model))
    assert said.code == 2
    assert "--key or --ca" in said.err
    said = verify(caller, model, "--identity", SIGNER)
    assert said.code == 2
    said = caller.nomoat("verify", str(model), "--key", str(model / "config.json"))
    assert (said.code, "no public key" in said.err) == (2, True)
    said = caller.nomoat("verify", str(model), "--ca", str(model.parent / "key.pem"))
    assert (said.code, "no certificate" in said.err) == (2, True)


def test_another_key_is_refused(caller: Caller, model: Path) -> None:
    write_public(model.parent / "key.pem", new_key())
    assert refused(caller, model)["reason"] == "signer"


def certified(model: Path, authority: Authority, uri: str = SIGNER, at: int = NOW) -> None:
    chain = (authority.certify(KEY, uris=(uri,), at=at),)
    (model / "model.sig").write_bytes(sign_model("digits", manifest_of(), KEY, chain))


def test_an_authority_and_who_has_to_have_signed(caller: Caller, model: Path) -> None:
    root = new_authority()
    certified(model, root)
    ca = str(write_certificates(model.parent / "ca.pem", root.certificate))
    said = caller.nomoat("verify", str(model), "--ca", ca, "--identity", SIGNER, "--json")
    assert said.code == 0, said.out
    assert said.json()["signer"]["spiffe_id"] == SIGNER  # type: ignore[index]  # JSON
    said = caller.nomoat("verify", str(model), "--ca", ca, "--identity", "spiffe://acme.example/train")
    assert said.code == 4
    assert f"signed by {SIGNER}, and not by spiffe://acme.example/train" in said.out


def test_a_certificate_is_judged_at_the_time_that_is_given(caller: Caller, model: Path) -> None:
    root = new_authority()
    certified(model, root, at=NOW - 2 * DAY)
    ca = str(write_certificates(model.parent / "ca.pem", root.certificate))
    said = caller.nomoat("verify", str(model), "--ca", ca)
    assert (said.code, "--at TIME" in said.err) == (4, True)
    then = datetime.fromtimestamp(NOW - DAY - 60, UTC).isoformat()
    assert caller.nomoat("verify", str(model), "--ca", ca, "--at", then).code == 0
    assert caller.nomoat("verify", str(model), "--ca", ca, "--at", "2026-11-22").code == 2


def test_by_a_profile_the_signer_is_the_gateway(caller: Caller, model: Path) -> None:
    """Not anybody whom its authority certified, and not another authority."""
    secret, pem = CertificateAuthority.create(TrustDomain("acme.example"), NOW)
    profile = Profile("default", caller.profile)
    profile.create()
    profile.write("ca.pem", pem.encode())
    profile.keep_identity(
        Identity("https://localhost", "acme.example", "person:ann", "spiffe://acme.example/person/ann", "d", "s", "k")
    )
    key = load_der_private_key(secret, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    own = Authority(key, x509.load_pem_x509_certificate(pem.encode()))
    certified(model, own)
    said = caller.nomoat("verify", str(model))
    assert said.code == 0, said.out
    assert f"signed by    {SIGNER}" in said.out
    assert "pinned by profile 'default'" in said.out
    certified(model, own, "spiffe://acme.example/train")
    assert caller.nomoat("verify", str(model)).code == 4
    assert caller.nomoat("verify", str(model), "--identity", "spiffe://acme.example/train").code == 0
    certified(model, new_authority())
    assert caller.nomoat("verify", str(model)).code == 4


# -- large files ------------------------------------------------------------------------------------


def test_a_large_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """A gigabyte, in a process that has a good deal less; it shows how far it is on a terminal alone."""
    model = tmp_path / "large"
    model.mkdir()
    with (model / "weights").open("wb") as stream:
        stream.truncate(1 << 30)
    write_public(tmp_path / "key.pem", KEY)
    zeros = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"
    (model / "model.sig").write_bytes(sign_model("large", Manifest.of([("weights", zeros)]), KEY))
    program = (
        "import sys; from nomoat.cli.root import run; from nomoat.cli.invocation import Invocation\n"
        "code = run(sys.argv[1:], Invocation({'NOMOAT_HOME': sys.argv[2]}))\n"
        "print(code, next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    arguments = ["verify", str(model), "--key", str(tmp_path / "key.pem")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == ""
    code, kibibytes = map(int, done.stdout.splitlines()[-1].split())
    assert code == 0, done.stdout
    assert kibibytes < 200 << 10
