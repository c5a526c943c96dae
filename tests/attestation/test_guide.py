"""Every command of the guide about signed models runs and does what the page says."""

import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import time

import pytest

from nomoat.attestation.errors import Fault, Reason
from nomoat.attestation.model_signature import describe_model, sign_model
from nomoat.attestation.provenance import Provenance, describe_provenance
from nomoat.attestation.signer import gateway_signer
from nomoat.attestation.statement import Resource
from nomoat.attestation.summary import Summary, describe_verification
from tests.attestation.models import (
    CONTENTS,
    DAY,
    manifest_of,
    new_authority,
    new_key,
    write_certificates,
    write_key,
    write_model,
    write_public,
)
from tests.cli.live import Caller

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "verifying-a-model.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, fence in FENCES if not language for line in fence.splitlines()]


def test_the_commands_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key, authority, caller = new_key(), new_authority(), Caller(tmp_path / "home")
    model = write_model(tmp_path / "digit-reader")
    write_key(tmp_path / "key.pem", key)
    write_public(tmp_path / "public.pem", key)
    write_certificates(tmp_path / "ca.pem", authority.certificate)
    (then,) = {line.rpartition(" ")[2] for line in COMMANDS if "--at" in line}
    began = int(datetime.fromisoformat(then).astimezone(UTC).timestamp())
    leaf = authority.certify(
        key, uris=("spiffe://acme.example/publisher",), at=began, lifetime=int(time()) - began + DAY
    )
    signed = sign_model("digit-reader", manifest_of(), key, (leaf,))
    (tmp_path / "certified.sig").write_bytes(signed)
    assert len(COMMANDS) == 5
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        if "certified.sig" in line:  # then `model.sig` is a file like any other, and was not signed
            (model / "model.sig").unlink(missing_ok=True)
        if program == "model_signing":
            command = [sys.executable, "-m", "model_signing", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        else:
            assert program == "nomoat"
            said = caller.nomoat(*arguments)
            assert said.code == 0, (line, said.out, said.err)


def test_what_the_guide_shows_of_a_wrong_model_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = new_key()
    model = write_model(tmp_path / "digit-reader")
    write_public(tmp_path / "public.pem", key)
    contents = {path: content for path, content in CONTENTS.items() if not path.startswith(".github")}
    (model / "model.sig").write_bytes(sign_model("digit-reader", manifest_of(contents), key))
    (model / "model.safetensors").write_bytes(b"other")
    said = Caller(tmp_path / "home").nomoat("verify", "digit-reader", "--key", "public.pem")
    (shown,) = [fence for language, fence in FENCES if language == "text"]
    assert sorted(said.out.splitlines()) == sorted(shown.splitlines())


def test_the_signer_of_the_gateway_is_who_the_guide_names() -> None:
    assert f"`{gateway_signer('TRUST-DOMAIN')}`" in GUIDE


REFERENCE = (ROOT / "docs" / "reference" / "attestations.md").read_text(encoding="utf-8")


def test_the_reference_lists_every_reason_and_fault() -> None:
    reasons = re.findall(r"^\| `(\w+)` \| ", REFERENCE.partition("| `reason` |")[2], re.MULTILINE)
    assert reasons == [str(reason) for reason in Reason]
    (faults,) = re.findall(r"were signed: (.*?);", REFERENCE)
    assert set(re.findall(r"`(\w+)`", faults)) == {str(fault) for fault in Fault}


def test_the_reference_lists_every_field_of_our_statements() -> None:
    resource = Resource("name", "uri", {"sha256": "ab" * 32})
    provenance = Provenance("t", "b", "i", 0, 0, (resource,))
    for statement in (
        describe_model("m", manifest_of()),
        describe_verification(Summary("v", 0, "r", resource, True, inputs=(resource,)), "m", manifest_of()),
        describe_provenance(provenance, "m", manifest_of()),
    ):
        assert f"`{statement.predicate_type}`" in REFERENCE
        assert [name for name in fields(statement.predicate) if not re.search(rf"[`.]{name}\b", REFERENCE)] == []


def fields(value: object) -> set[str]:
    """The names of every field in `value`, but for those of digests, which are algorithms."""
    if isinstance(value, list):
        return set[str]().union(*(fields(each) for each in value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(fields(each) for name, each in value.items() if name != "digest"))
