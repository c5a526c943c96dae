"""A model's directory, signed by who publishes it: with the key of the profile, as the SPIFFE ID of its certificate.

Rules: the signature is over every file that is sent but itself and the gateway's, and lies beside them. It is made with
a certificate that is not about to expire: the gateway judges it when the version is committed.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from nomoat.attestation.manifest import Manifest
from nomoat.attestation.model_signature import FILE_NAME, PUBLISHER_FILE_NAME, describe_model
from nomoat.client.sending import INTERRUPTED
from nomoat.client.session import Session
from nomoat.client.snapshots import SnapshotFile, hash_file, list_snapshot
from nomoat.core.errors import Malformed, Refused, Unavailable
from nomoat.core.names import RepositoryName

_PARTIAL: Final = f".{PUBLISHER_FILE_NAME}.partial"
PASSED_OVER: Final = (FILE_NAME, _PARTIAL, ".git", ".cache")
"""What a publication leaves where it is: the gateway's signature of what was downloaded, and what no repository has."""


class NotSent(Refused):
    """The files were not published."""


@dataclass(frozen=True, slots=True)
class SignedDirectory:
    """A directory that was signed: where the signature is, by whom, over which files."""

    signature: Path
    signer: str
    files: Sequence[SnapshotFile]

    @property
    def size(self) -> int:
        """How many bytes that is, without the signature."""
        return sum(file.size for file in self.files)


def sign_directory(
    session: Session,
    directory: Path,
    repository: RepositoryName,
    watch: Callable[[Sequence[SnapshotFile]], Callable[[int], None]],
) -> SignedDirectory:
    """Sign the files of a directory as a version of `repository`.

    `watch` is told which files will be read, and returns what hears of each piece (bytes). Raises `Malformed` for a
    directory without files, `NotVerified` for what no snapshot has, `OSError` for what cannot be read or written.
    """
    signature = directory / PUBLISHER_FILE_NAME
    files = [file for file in list_snapshot(directory, signature) if Path(file.path).parts[0] not in PASSED_OVER]
    if not files:
        raise Malformed(f"{directory} has no files to publish")
    note = watch(files)
    manifest = Manifest.of({file.path: hash_file(file, note) for file in files}.items())
    bundle = session.signer().sign(describe_model(str(repository), manifest))
    partial = directory / _PARTIAL
    partial.unlink(missing_ok=True)  # of one that was killed, or a link that somebody else put there
    with partial.open("xb") as written:
        written.write(bundle)
    partial.replace(signature)
    return SignedDirectory(signature, session.identity.spiffe_id, files)


def require_client() -> None:
    """Raise `Unavailable` where there is no huggingface_hub: better before the files are read than after."""
    if find_spec("huggingface_hub") is None:
        raise Unavailable("huggingface_hub", "it sends the files and is not installed: pip install 'nomoat[publish]'")


def send(
    signed: SignedDirectory, repository: RepositoryName, branch: str, title: str, environment: Mapping[str, str]
) -> str:
    """Make a branch exactly what was signed, in one commit, by the stock client; return its id.

    `environment` is that of the client (`nomoat.client.environment`). Raises `NotSent` with what the client says.
    """
    files = {file.path: str(file.place) for file in signed.files} | {PUBLISHER_FILE_NAME: str(signed.signature)}
    asked = {"repository": str(repository), "branch": branch, "title": title, "files": files}
    # -P: often the current directory is the model's, and the code in it is not ours to run.
    command = [sys.executable, "-P", "-m", "nomoat.client.sending"]
    done = subprocess.run(  # noqa: S603  # our own module
        command, input=json.dumps(asked), env=dict(environment), stdout=subprocess.PIPE, text=True, check=False
    )
    answer = done.stdout.strip()
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode != 0:
        raise NotSent(answer or "the client that sends the files ended without a word")
    return answer
