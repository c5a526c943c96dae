"""`nomoat keys destroy` and `adopt`: what changes the key file while no gateway runs.

Rules: they take the data directory's lock. A version of the key-encryption key is destroyed only when nothing in the
directory is wrapped by it any more, and on record before.
"""

from pathlib import Path

from nomoat.core.errors import Conflict
from nomoat.core.record import Json, system_record
from nomoat.server.assembly import open_gateway
from nomoat.server.configuration import load_configuration
from nomoat.server.keeping import open_keyring
from nomoat.server.lock import locked
from nomoat.server.resources import Clock

OPERATOR = "the operator with the key-encryption key"


async def destroy_key(directory: Path, version: int, clock: Clock) -> int:
    """Take a version out of the key file; return the number of the record that says so.

    Raises `NotFound` when there is no such version, `Conflict` when it is the newest or still wraps something,
    `Unavailable` when a gateway uses the directory, or the key file cannot be written.
    """
    configuration = load_configuration(directory)
    with locked(directory):
        keyring = open_keyring(configuration)
        keyring.require_old(version)
        async with open_gateway(directory, configuration, clock) as gateway:
            await gateway.rewrapping.run_once()
            if left := gateway.rewrapping.counts().get(version, 0):
                raise Conflict(f"version {version} still wraps {left} keys that do not unwrap; run: nomoat fsck")
            said: dict[str, Json] = {"version": version, "by": OPERATOR}
            receipt = await gateway.log.append(system_record("DestroyKey", said))
        keyring.destroy(version)
    return receipt.index


def adopt_keys(directory: Path) -> tuple[str, Path]:
    """Hand the key file to the configured key management; return which that is, and where the file lies.

    Raises `Conflict` when there is nothing to hand over, `Unavailable` when a gateway uses the directory, or key
    management fails: then the file is as before.
    """
    configuration = load_configuration(directory)
    with locked(directory):
        keyring = open_keyring(configuration)
        keyring.adopt()
    return keyring.kms.name, keyring.path
