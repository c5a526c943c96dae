"""A publisher's own signature: kept only where it holds for the very version that it comes with."""

import asyncio
import re
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from nomoat.attestation.bundle import BUNDLE_LIMIT
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.model_signature import FILE_NAME, PUBLISHER_FILE_NAME, sign_model
from nomoat.core.errors import Malformed, NotPermitted, Refused
from nomoat.core.operation import Change
from tests.guard.world import Actor
from tests.identity.world import signing_request
from tests.resources.test_lifecycle import WEIGHTS, parts_of
from tests.resources.test_signatures import newest
from tests.resources.world import Yard, digest_of, in_yard

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "publishing-a-model.md"
(DEMANDED,) = re.findall(r"^```cedar\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def signed(there: Yard, by: Actor, files: Mapping[str, bytes], *, ago: float = 0.0, name: str = str(WEIGHTS)) -> bytes:
    """What somebody signs with a key of theirs that the authority certified `ago` seconds ago, for a quarter of an hour."""
    identity, key = there.world.gateway.identity, ec.generate_private_key(ec.SECP256R1())
    spiffe_id = (
        x509.load_der_x509_certificate(by.certificate)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value.get_values_for_type(x509.UniformResourceIdentifier)[0]
    )
    issued = identity.authority.issue(
        signing_request(key), spiffe_id=spiffe_id, session=by.session, lifetime=900, now=there.world.clock() - ago
    )
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    manifest = Manifest.of({path: digest_of(content) for path, content in files.items()}.items())
    return sign_model(name, manifest, key, (certificate,))


def kept(there: Yard) -> bool:
    return PUBLISHER_FILE_NAME in newest(there).files


@in_yard
async def test_a_publishers_signature_is_kept_where_it_holds_and_dropped_with_what_it_was_over(there: Yard) -> None:
    await parts_of(there)
    files = {"weights.txt": b"one", "config.json": b"{}"}
    own = signed(there, there.train, files)
    await there.write(WEIGHTS, {**files, PUBLISHER_FILE_NAME: own}, by=there.train)
    assert await there.read(WEIGHTS, PUBLISHER_FILE_NAME, by=there.train, revision="candidate") == own
    await there.write(WEIGHTS, {"weights.txt": b"one"}, by=there.train)  # changes nothing
    assert kept(there)
    await there.write(WEIGHTS, {"weights.txt": b"two"}, by=there.train)
    assert not kept(there), "what it was over is another"
    again = signed(there, there.train, {**files, "weights.txt": b"two"})
    await there.write(WEIGHTS, {PUBLISHER_FILE_NAME: again}, by=there.train)
    assert kept(there)
    await there.commit(WEIGHTS, Change("config.json", removal=True), by=there.train)
    assert not kept(there)


@in_yard
async def test_it_may_be_uploaded_as_any_file(there: Yard) -> None:
    await parts_of(there)
    own = signed(there, there.train, {"weights.txt": b"one"})
    changes = [await there.upload(WEIGHTS, content, by=there.train) for content in (b"one", own)]
    paths = ("weights.txt", PUBLISHER_FILE_NAME)
    named = [Change(path, digest=each.digest, size=each.size) for path, each in zip(paths, changes, strict=True)]
    await there.commit(WEIGHTS, *named, by=there.train)
    assert kept(there)


@in_yard
async def test_one_that_does_not_hold_refuses_the_commit(there: Yard) -> None:
    parts = await parts_of(there)
    await there.write(WEIGHTS, {"weights.txt": b"one"}, by=there.train)
    before, files = newest(there).revision.id, {"weights.txt": b"two"}
    key = ec.generate_private_key(ec.SECP256R1())
    manifest = Manifest.of({"weights.txt": digest_of(b"two")}.items())
    gateways = await there.read(WEIGHTS, FILE_NAME, by=there.train, revision="candidate")
    wrong = {
        "somebody else": (signed(there, parts.anna, files), "and not by"),
        "a key that nobody certified": (sign_model(str(WEIGHTS), manifest, key), "not trusted"),
        "the gateway itself": (gateways, "client authentication"),
        "long ago": (signed(there, there.train, files, ago=1000), "was valid from"),
        "another model": (signed(there, there.train, files, name="acme/sandbox"), "it names 'acme/sandbox'"),
        "tomorrow": (signed(there, there.train, files, ago=-1000), "was valid from"),
        "other content": (signed(there, there.train, {"weights.txt": b"three"}), "'weights.txt' is changed"),
        "one file too few": (signed(there, there.train, {"other.txt": b"two"}), "'weights.txt' is unsigned"),
        "one file too many": (signed(there, there.train, {**files, "more.txt": b"m"}), "others than it says"),
        "no bundle": (b"{}", "bundle"),
        "no text": (b"\x80", "object"),
    }
    for what, (bundle, told) in wrong.items():
        with pytest.raises(Malformed, match=told):
            await there.write(WEIGHTS, {**files, PUBLISHER_FILE_NAME: bundle}, by=there.train)
        assert newest(there).revision.id == before, what
    with pytest.raises(Refused):
        await there.commit(WEIGHTS, Change(PUBLISHER_FILE_NAME, digest=digest_of(b"x"), size=1), by=there.train)


@in_yard
async def test_one_that_is_too_large_to_be_one_is_not_read(there: Yard) -> None:
    await parts_of(there)
    change = await there.upload(WEIGHTS, b"x" * (2 * BUNDLE_LIMIT), by=there.train)
    named = Change(PUBLISHER_FILE_NAME, digest=change.digest, size=change.size)
    tracemalloc.start()
    with pytest.raises(Malformed, match="at most"):
        await there.commit(WEIGHTS, named, by=there.train)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < BUNDLE_LIMIT


@in_yard
async def test_a_refusal_names_no_file_that_only_the_branch_has(there: Yard) -> None:
    await parts_of(there)
    await there.write(WEIGHTS, {"hidden/customers.txt": b"one"}, by=there.train)
    own = signed(there, there.train, {"weights.txt": b"two"})
    with pytest.raises(Malformed) as refused:
        await there.write(WEIGHTS, {"weights.txt": b"two", PUBLISHER_FILE_NAME: own}, by=there.train)
    assert "customers" not in refused.value.reason + refused.value.detail


@in_yard
async def test_of_two_who_publish_at_once_no_signature_stays_over_the_others_files(there: Yard) -> None:
    await parts_of(there)
    files = {"a.txt": b"one"}

    async def publish() -> None:
        await there.write(WEIGHTS, {**files, PUBLISHER_FILE_NAME: signed(there, there.train, files)}, by=there.train)

    done = await asyncio.gather(
        publish(),
        *(there.write(WEIGHTS, {f"{number}.txt": b"x"}, by=there.train) for number in range(4)),
        return_exceptions=True,
    )
    assert all(each is None or isinstance(each, str | Refused) for each in done)
    assert not kept(there) or set(newest(there).files) == {"a.txt", PUBLISHER_FILE_NAME, FILE_NAME}


@in_yard
async def test_a_policy_can_demand_it_for_approval(there: Yard) -> None:
    parts = await parts_of(there)
    await there.world.apply_policies({**there.world.gateway.policies.current.files, "demanded.cedar": DEMANDED})
    bare = await parts.publish(b"one")
    with pytest.raises(NotPermitted, match="models-are-signed-by-their-publisher"):
        await parts.approve(bare, parts.anna)
    own = signed(there, there.train, {"weights.txt": b"two"})
    whole = await there.write(WEIGHTS, {"weights.txt": b"two", PUBLISHER_FILE_NAME: own}, by=there.train)
    await parts.approve(whole, parts.anna)
    assert await parts.served() == b"two"
