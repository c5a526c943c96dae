"""Offline verification of a downloaded model: whose signature is demanded, and whether it is of these files.

Rules: what is demanded comes from a profile or from the caller, never from the directory. By a profile, that is the
gateway's own signature: the authority that was pinned at log-in, and the SPIFFE ID that only the gateway has. A
signature that is missing or does not parse is one that does not verify.
"""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from nomoat.attestation.bundle import BUNDLE_LIMIT
from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.keys import parse_public_key
from nomoat.attestation.model_signature import PUBLISHER_FILE_NAME, SignedModel, verify_bundle, verify_model
from nomoat.attestation.signer import Signer, Trusted, gateway_signer, parse_certificates
from nomoat.client.profiles import Profile
from nomoat.client.snapshots import SnapshotFile, hash_file, list_snapshot
from nomoat.core.errors import Malformed, TooLarge


@dataclass(frozen=True, slots=True)
class Demand:
    """Whose signature is demanded; `source` says in words where that is from."""

    trusted: Trusted
    source: str


@dataclass(frozen=True, slots=True)
class VerifiedSnapshot:
    """A directory that holds exactly what was signed, and how many files and bytes that is.

    `publisher` is who signed it besides, as whom the signer names its publisher (None: nobody).
    """

    model: SignedModel
    files: int
    size: int
    publisher: Signer | None = None


def demand(profile: Profile, *, key: Path | None, authority: Path | None, spiffe_id: str) -> Demand:
    """Return whose signature is demanded: of a given key or authority, else of the profile's gateway.

    Raises `Malformed` for a file that holds none, or where nothing was given and nobody is logged in.
    """
    if key is not None and spiffe_id:
        raise Malformed("a key says nothing of a SPIFFE ID: demand either the one or the other")
    if key is not None or authority is not None:
        keys = () if key is None else (parse_public_key(key.read_bytes()),)
        authorities = () if authority is None else parse_certificates(authority.read_bytes())
        given = " and ".join(str(file) for file in (key, authority) if file is not None)
        return Demand(Trusted(keys, authorities, spiffe_id), given)
    if not profile.exists:
        raise Malformed(
            f"nobody is logged in under the profile {profile.name!r}, so say whose signature is demanded: --key or --ca"
        )
    expected = spiffe_id or gateway_signer(profile.identity().trust_domain)
    trusted = Trusted(authorities=parse_certificates(profile.require("ca.pem")), spiffe_id=expected)
    return Demand(trusted, f"pinned by profile {profile.name!r}")


def verify_snapshot(
    directory: Path,
    signature: Path,
    demanded: Demand,
    at: int,
    watch: Callable[[Sequence[SnapshotFile]], Callable[[int], None]],
) -> VerifiedSnapshot:
    """Verify that the files of `directory` are those that `signature` (a file) signs, as of `at` (Unix seconds).

    Where the gateway signed and the publisher's own signature is among the files, that has to hold, too, as of when the
    gateway says that they published it.
    `watch` is told which files will be read, and returns what hears of each piece (bytes). Raises `NotVerified`
    for whatever does not hold, `OSError` for what cannot be read.
    """
    try:
        model = verify_model(_read(signature), demanded.trusted, at)
    except (Malformed, TooLarge) as error:
        raise NotVerified(error.reason, Reason.MALFORMED) from None
    files = list_snapshot(directory, signature)
    note = watch(files)
    digests = {file.path: hash_file(file, note) for file in files}
    model.require_files(digests)
    publisher = _verify_publisher(directory / PUBLISHER_FILE_NAME, model, digests, demanded.trusted)
    return VerifiedSnapshot(model, len(files), sum(file.size for file in files), publisher)


def _verify_publisher(signature: Path, model: SignedModel, digests: dict[str, str], trusted: Trusted) -> Signer | None:
    """Who besides the gateway signed a model that it signed: its publisher. Raises `NotVerified`."""
    said, domain = model.publisher, model.signer.spiffe_id.removeprefix("spiffe://").partition("/")[0]
    others = {path: digest for path, digest in digests.items() if path != PUBLISHER_FILE_NAME}
    if said is None or len(others) == len(digests) or model.signer.spiffe_id != gateway_signer(domain):
        return None
    bundle = _read(signature)
    if sha256(bundle).hexdigest() != digests[PUBLISHER_FILE_NAME]:
        raise NotVerified(f"{PUBLISHER_FILE_NAME} changed while it was read", Reason.FILES)
    own = Trusted.of_svid(trusted.authorities, said.spiffe_id)
    try:
        return verify_bundle(bundle, own, others, said.at).signer
    except (Malformed, TooLarge) as error:
        raise NotVerified(f"{PUBLISHER_FILE_NAME}: {error.reason}", Reason.MALFORMED) from None
    except NotVerified as error:
        raise NotVerified(f"{PUBLISHER_FILE_NAME}: {error.sentence}", error.reason) from None


def _read(signature: Path) -> bytes:
    try:
        descriptor = os.open(signature, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotVerified(f"there is no signature {signature}", Reason.UNSIGNED) from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotVerified(f"{signature} is no file", Reason.UNSIGNED)
        return stream.read(BUNDLE_LIMIT + 1)
