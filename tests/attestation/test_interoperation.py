"""The command of OpenSSF Model Signing and ours: each verifies what the other signed, and refuses what it should."""

import subprocess
import sys
from pathlib import Path
from time import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from nomoat.attestation.errors import FilesDiffer
from nomoat.attestation.keys import PublicKey, require_public_key
from nomoat.attestation.model_signature import describe_model, parse_model, sign_model, verify_bundle
from nomoat.attestation.signer import Trusted, verify_signature
from tests.attestation.models import (
    CONTENTS,
    DAY,
    SIGNER,
    digests,
    manifest_of,
    new_authority,
    new_key,
    write_certificates,
    write_key,
    write_model,
    write_public,
)

PLAIN = {path: content for path, content in CONTENTS.items() if not path.startswith(".git")}
NOW = int(time())  # the other command has a clock of its own
CURVES = [ec.SECP256R1(), ec.SECP384R1()]


def model_signing(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_it_verifies_what_we_signed_with_a_key(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    model = write_model(tmp_path / "digits")
    (model / "model.sig").write_bytes(sign_model("digits", manifest_of(), key))
    public = write_public(tmp_path / "key.pem", key)
    options = ["--signature", model / "model.sig", "--public_key", public, "--no-ignore-git-paths"]
    done = model_signing("verify", "key", model, *options)
    assert done.returncode == 0, done.stderr
    (model / "config.json").write_bytes(b"[]")
    assert model_signing("verify", "key", model, *options).returncode != 0


def test_it_verifies_what_we_signed_with_a_certificate(tmp_path: Path) -> None:
    key, root = new_key(), new_authority()
    middle = root.subordinate()
    model = write_model(tmp_path / "digits")
    chain = (middle.certify(key), middle.certificate)
    (model / "model.sig").write_bytes(sign_model("digits", manifest_of(), key, chain))
    trust = write_certificates(tmp_path / "ca.pem", root.certificate)
    options = ["--signature", model / "model.sig", "--certificate_chain", trust, "--no-ignore-git-paths"]
    done = model_signing("verify", "certificate", model, *options)
    assert done.returncode == 0, done.stderr
    (model / "model.safetensors").unlink()
    assert model_signing("verify", "certificate", model, *options).returncode != 0


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_we_verify_what_it_signed_with_a_key(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    bundle = signed_by_it(tmp_path, "key", "--private_key", write_key(tmp_path / "key.pem", key))
    trusted = Trusted(keys=(_public(key),))
    assert verify_bundle(bundle, trusted, digests(PLAIN), NOW).name == "digits"
    with pytest.raises(FilesDiffer):
        verify_bundle(bundle, trusted, {**digests(PLAIN), "evil.py": "ab" * 32}, NOW)


def test_we_verify_what_it_signed_with_a_certificate(tmp_path: Path) -> None:
    key, root = new_key(), new_authority()
    middle = root.subordinate()
    bundle = signed_by_it(
        tmp_path,
        "certificate",
        *("--private_key", write_key(tmp_path / "key.pem", key)),
        *(
            "--signing_certificate",
            write_certificates(tmp_path / "leaf.pem", middle.certify(key, at=NOW - DAY, lifetime=2 * DAY)),
        ),
        *("--certificate_chain", write_certificates(tmp_path / "chain.pem", middle.certificate, root.certificate)),
    )
    trusted = Trusted(authorities=(root.certificate,), spiffe_id=SIGNER)
    assert verify_bundle(bundle, trusted, digests(PLAIN), NOW).signer.spiffe_id == SIGNER


def test_our_statement_is_its_own_but_for_what_it_ignores(tmp_path: Path) -> None:
    key = new_key()
    bundle = signed_by_it(tmp_path, "key", "--private_key", write_key(tmp_path / "key.pem", key))
    _, theirs = verify_signature(bundle, Trusted(keys=(key.public_key(),)), NOW)
    ours = describe_model("digits", manifest_of(PLAIN))
    assert parse_model(theirs) == parse_model(ours) == ("digits", manifest_of(PLAIN), None)
    assert theirs.subjects == ours.subjects
    assert theirs.predicate["resources"] == ours.predicate["resources"]
    serialization = theirs.predicate["serialization"]
    assert isinstance(serialization, dict)
    assert serialization.pop("ignore_paths")
    assert serialization == ours.predicate["serialization"]


def test_what_it_passes_over_when_it_signs_is_unsigned_for_us(tmp_path: Path) -> None:
    """A workflow that came after the signing still verifies there, by default; never here."""
    key = new_key()
    bundle = signed_by_it(tmp_path, "key", "--private_key", write_key(tmp_path / "key.pem", key))
    model = tmp_path / "digits"
    (model / ".github").mkdir()
    (model / ".github" / "evil.py").write_text("import os")
    options = ["--signature", model / "model.sig", "--public_key", write_public(tmp_path / "public.pem", key)]
    assert model_signing("verify", "key", model, *options).returncode == 0
    with pytest.raises(FilesDiffer, match=r"evil\.py"):
        verify_bundle(bundle, Trusted(keys=(key.public_key(),)), {**digests(PLAIN), ".github/evil.py": "ab" * 32}, NOW)


def signed_by_it(folder: Path, *how: object) -> bytes:
    model = write_model(folder / "digits", PLAIN)
    method, *options = how
    done = model_signing("sign", method, model, "--signature", model / "model.sig", *options)
    assert done.returncode == 0, done.stderr
    return (model / "model.sig").read_bytes()


def _public(key: ec.EllipticCurvePrivateKey) -> PublicKey:
    return require_public_key(key.public_key())
