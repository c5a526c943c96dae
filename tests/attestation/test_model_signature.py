"""Model signatures: what verifies, which file is named when it does not, and each trap by its name."""

import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.attestation.errors import Difference, Fault, FilesDiffer, NotVerified, Reason
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.model_signature import describe_model, sign_model, verify_bundle
from nomoat.attestation.signer import Trusted
from nomoat.attestation.signing import sign_statement
from nomoat.attestation.statement import parse_statement
from nomoat.core.errors import Malformed, TooLarge
from tests.attestation.models import CONTENTS, NOW, SIGNER, digests, manifest_of, new_authority, new_key

KEY = new_key()
TRUSTED = Trusted(keys=(KEY.public_key(),))
SIGNED = sign_model("digits", manifest_of(), KEY)
OTHER = sha256(b"other").hexdigest()


def test_what_was_signed_verifies() -> None:
    model = verify_bundle(SIGNED, TRUSTED, digests(), NOW)
    assert model.name == "digits"
    assert dict(model.manifest.files) == digests()
    assert str(model.signer).startswith("key ")


def test_signing_reads_no_data_and_says_the_same_each_time() -> None:
    again = describe_model("digits", Manifest.of(reversed(digests().items())))
    assert again.encode() == describe_model("digits", manifest_of()).encode()


def test_the_order_is_that_of_the_segments() -> None:
    """`onnx/model.onnx` before `onnx.txt`, although '.' comes before '/'."""
    paths = [path for path, _ in manifest_of().files]
    assert paths.index("onnx/model.onnx") < paths.index("onnx.txt")


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({path: digest for path, digest in digests().items() if path != "onnx/model.onnx"}, Fault.MISSING),
        ({**digests(), "onnx/model.onnx": OTHER}, Fault.CHANGED),
    ],
)
def test_a_missing_or_changed_file_is_named(files: dict[str, str], fault: Fault) -> None:
    with pytest.raises(FilesDiffer, match=f"'onnx/model.onnx' is {fault}") as refused:
        verify_bundle(SIGNED, TRUSTED, files, NOW)
    assert refused.value.differences == (Difference("onnx/model.onnx", fault),)


@pytest.mark.parametrize(
    "path",
    [
        "evil.py",
        ".github/evil.py",
        ".git/hooks/post-checkout",
        ".gitignore",
        ".gitmodules",
        "onnx/.gitattributes",
        ".cache/huggingface/evil.py",
        "model.sig",
    ],
)
def test_an_unsigned_file_is_never_ignored(path: str) -> None:
    with pytest.raises(FilesDiffer) as refused:
        verify_bundle(SIGNED, TRUSTED, {**digests(), path: OTHER}, NOW)
    assert refused.value.differences == (Difference(path, Fault.UNSIGNED),)


def test_a_renamed_file_is_missing_and_unsigned() -> None:
    files = digests()
    files["model.safetensors2"] = files.pop("model.safetensors")
    with pytest.raises(FilesDiffer) as refused:
        verify_bundle(SIGNED, TRUSTED, files, NOW)
    assert [str(each.fault) for each in refused.value.differences] == ["missing", "unsigned"]


def test_many_differences_are_counted() -> None:
    with pytest.raises(FilesDiffer, match="and 2 more"):
        verify_bundle(SIGNED, TRUSTED, {}, NOW)


def test_another_key_is_refused() -> None:
    for trusted in (
        Trusted(),
        Trusted(keys=(new_key().public_key(),)),
        Trusted(authorities=(new_authority().certificate,)),
    ):
        with pytest.raises(NotVerified, match="not trusted here") as refused:
            verify_bundle(SIGNED, trusted, digests(), NOW)
        assert refused.value.reason is Reason.SIGNER


def test_a_key_is_nobody_with_a_spiffe_id() -> None:
    with pytest.raises(NotVerified, match=f"signed by key .* and not by {SIGNER}"):
        verify_bundle(SIGNED, Trusted(TRUSTED.keys, spiffe_id=SIGNER), digests(), NOW)


def resigned(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A statement that somebody who is trusted signed in the wrong way."""
    value = json.loads(describe_model("digits", manifest_of()).encode())
    change(value)
    return sign_statement(parse_statement(json.dumps(value).encode()), KEY)


def put(*resources: dict[str, object]) -> Callable[[dict[str, Any]], object]:
    """Other files, with the root digest that they would have: nothing but the trap is wrong."""
    root = sha256()
    for each in resources:
        with suppress(ValueError):  # a digest that is none is the trap
            root.update(bytes.fromhex(str(each["digest"])))

    def change(value: dict[str, Any]) -> None:
        value["predicate"].update(resources=list(resources))
        value["subject"][0]["digest"].update(sha256=root.hexdigest())

    return change


def resource(name: object = "a", algorithm: object = "sha256", digest: object = OTHER) -> dict[str, object]:
    return {"name": name, "algorithm": algorithm, "digest": digest}


TRAPS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a name twice": put(resource(), resource()),
    "a name twice with other digests": put(resource(), resource(digest="ab" * 32)),
    "no files": put(),
    "files left out": lambda value: value["predicate"].pop("resources"),
    "files as an object": lambda value: value["predicate"].update(resources={"a": OTHER}),
    "traversal": put(resource("../evil")),
    "traversal inside": put(resource("a/../../evil")),
    "a dot": put(resource("./a")),
    "an absolute name": put(resource("/etc/passwd")),
    "a folder's name": put(resource("a/")),
    "a backslash": put(resource("..\\evil")),
    "a line break": put(resource("a\nb")),
    "a turned direction": put(resource("a\u202eb")),
    "half a character": put(resource("a\ud800")),
    "what git runs": put(resource(".git/hooks/post-checkout")),
    "no name": put(resource("")),
    "a long name": put(resource("a" * 513)),
    "BLAKE3": put(resource(algorithm="blake3")),
    "SHA-1": put(resource(algorithm="sha1", digest="ab" * 20)),
    "no algorithm": put({"name": "a", "digest": OTHER}),
    "a digest in capitals": put(resource(digest=OTHER.upper())),
    "a digest cut": put(resource(digest=OTHER[:-2])),
    "a digest that is none": put(resource(digest=None)),
    "two subjects": lambda value: value["subject"].append(value["subject"][0]),
    "another root": lambda value: value["subject"][0]["digest"].update(sha256=OTHER),
    "a root of another kind": lambda value: value["subject"][0].update(digest={"blake2b": OTHER}),
    "files in another order": lambda value: (
        value["predicate"]["resources"].reverse(),
        value["subject"][0]["digest"].update(
            sha256=sha256(
                b"".join(bytes.fromhex(each["digest"]) for each in value["predicate"]["resources"])
            ).hexdigest()
        ),
    ),
    "shards": lambda value: value["predicate"]["serialization"].update(method="shards", shard_size=1000),
    "another hash": lambda value: value["predicate"]["serialization"].update(hash_type="blake3"),
    "no serialization": lambda value: value["predicate"].pop("serialization"),
    "an older predicate": lambda value: value.update(predicateType="https://model_signing/Digests/v0.1"),
    "another predicate": lambda value: value.update(predicateType="https://slsa.dev/provenance/v1"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_is_refused_though_it_is_signed(trap: str) -> None:
    with pytest.raises((Malformed, NotVerified)) as refused:
        verify_bundle(resigned(TRAPS[trap]), TRUSTED, digests(), NOW)
    assert not isinstance(refused.value, FilesDiffer)


def test_files_that_are_no_trap_are_compared() -> None:
    assert verify_bundle(resigned(lambda _: None), TRUSTED, digests(), NOW).name == "digits"
    assert verify_bundle(resigned(put(resource())), TRUSTED, {"a": OTHER}, NOW).name == "digits"
    with pytest.raises(FilesDiffer):
        verify_bundle(resigned(put(resource())), TRUSTED, digests(), NOW)


def test_paths_that_a_signature_asks_to_ignore_are_not() -> None:
    bundle = resigned(lambda value: value["predicate"]["serialization"].update(ignore_paths=[".github", "evil.py"]))
    verify_bundle(bundle, TRUSTED, digests(), NOW)
    with pytest.raises(FilesDiffer, match=r"'evil\.py' is unsigned"):
        verify_bundle(bundle, TRUSTED, {**digests(), "evil.py": OTHER}, NOW)


def test_the_manifest_has_limits() -> None:
    with pytest.raises(Malformed, match="no files"):
        Manifest.of([])
    with pytest.raises(Malformed, match="twice"):
        Manifest.of([("a", OTHER), ("a", OTHER)])
    with pytest.raises(TooLarge):
        Manifest.of((f"{number}", OTHER) for number in range(100_001))


def test_a_hundred_thousand_files_fit() -> None:
    files = {f"shards/{'x' * 40}/{number:06}.safetensors": OTHER for number in range(100_000)}
    bundle = sign_model("large", Manifest.of(files.items()), KEY)
    assert len(verify_bundle(bundle, TRUSTED, files, NOW).manifest.files) == 100_000


def test_what_nobody_could_verify_is_not_signed() -> None:
    with pytest.raises(TooLarge):
        sign_model("large", Manifest.of((f"{'x' * 400}/{number}", OTHER) for number in range(60_000)), KEY)
    with pytest.raises(Malformed, match="printable"):
        sign_model("digits\x00", manifest_of(), KEY)


def test_two_digests_because_the_root_does_not_contain_the_names() -> None:
    """Renaming within the order leaves OpenSSF's root as it was; the `dirHash` changes."""
    renamed = Manifest.of([(path.replace("model.onnx", "weights"), digest) for path, digest in digests().items()])
    assert renamed.root == manifest_of().root
    assert renamed.dir_hash != manifest_of().dir_hash


def test_the_dir_hash_is_that_of_go() -> None:
    """Hash1 of golang.org/x/mod/sumdb/dirhash: lines of sha256sum, by the bytes of the path."""
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(digests().items()))
    assert manifest_of().dir_hash == sha256(lines.encode()).hexdigest()


# -- what must never happen -------------------------------------------------------------------------

AUTHORITY = new_authority()
MIDDLE = AUTHORITY.subordinate()
CERTIFIED = sign_model("digits", manifest_of(), KEY, (MIDDLE.certify(KEY), MIDDLE.certificate, AUTHORITY.certificate))
CERTIFIED_TRUSTED = Trusted(authorities=(AUTHORITY.certificate,), spiffe_id=SIGNER)


@pytest.mark.parametrize(
    ("bundle", "trusted"), [(SIGNED, TRUSTED), (CERTIFIED, CERTIFIED_TRUSTED)], ids=["key", "certificate"]
)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_byte_of_a_bundle_can_be_changed(bundle: bytes, trusted: Trusted, data: st.DataObject) -> None:
    verify_bundle(bundle, trusted, digests(), NOW)
    place = data.draw(st.integers(0, len(bundle) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != bundle[place]))
    changed = bundle[:place] + bytes([byte]) + bundle[place + 1 :]
    with pytest.raises((Malformed, NotVerified)):
        verify_bundle(changed, trusted, digests(), NOW)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_file_can_be_changed_added_removed_or_renamed(data: st.DataObject) -> None:
    files = digests()
    path = data.draw(st.sampled_from(sorted(files)))
    other = data.draw(st.text(min_size=1).filter(lambda name: name not in CONTENTS))
    match data.draw(st.sampled_from(["change", "add", "remove", "rename", "swap"])):
        case "change":
            files[path] = sha256(data.draw(st.binary().filter(lambda content: content != CONTENTS[path]))).hexdigest()
        case "add":
            files[other] = files[path]
        case "remove":
            del files[path]
        case "rename":
            files[other] = files.pop(path)
        case _:
            second = data.draw(st.sampled_from(sorted(set(files) - {path})))
            files[path], files[second] = files[second], files[path]
    with pytest.raises(FilesDiffer):
        verify_bundle(SIGNED, TRUSTED, files, NOW)
