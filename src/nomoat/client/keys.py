"""What a session asks of the keys at rest: how they are, a rotation, and the end of a version's contents."""

from collections.abc import Sequence

from nomoat.client.gateway import Gateway
from nomoat.client.transport import Answer
from nomoat.core.names import RepositoryName


def read_keys(gateway: Gateway) -> Answer:
    """Return which versions of the key-encryption key there are, and how many keys each wraps."""
    return gateway.call("GET", "/v1/keys")


def rotate_keys(gateway: Gateway) -> Answer:
    """Have a new version made, and everything wrapped by it; returns how the keys are then."""
    return gateway.call("POST", "/v1/keys/rotate", {})


def shred(
    gateway: Gateway, repository: RepositoryName, commit: str, reason: str, also: Sequence[str], *, keep_shared: bool
) -> Answer:
    """Shred a version, by its whole commit id; returns how many contents are gone, and how many stay."""
    body = {"reason": reason, "also": list(also), "keep_shared": keep_shared}
    return gateway.call("POST", f"/v1/versions/{repository.kind}/{repository}/{commit}/shred", body)
