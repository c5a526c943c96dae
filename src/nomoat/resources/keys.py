"""The keys at rest as a resource: which version of the key-encryption key wraps how much, and a new one.

Rules: a key is never told. A rotation is made durable before anything is wrapped by the new version.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, final

from nomoat.core.operation import Operation, ReadKeys, Resolved, RotateKeys, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.stores.keyring import Keyring
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.rewrapping import Rewrapping

KeysT = TypeVar("KeysT", ReadKeys, RotateKeys)


@dataclass(frozen=True, slots=True)
class KeysSeen:
    """How the keys are: what keeps the key-encryption key, its newest version, and how many keys each version wraps.

    `versions` has those that the key file holds, and those that wrap something and are not in it.
    """

    kms: str
    newest: int
    versions: Mapping[int, int]

    @property
    def left(self) -> int:
        """How many keys are to be wrapped anew."""
        return sum(count for version, count in self.versions.items() if version != self.newest)


@final
class Keys:
    """What may be seen and changed of the keys."""

    def __init__(self, keyring: Keyring, kek: KeyEncryptionKey, rewrapping: Rewrapping) -> None:
        self._keyring = keyring
        self._kek = kek
        self._rewrapping = rewrapping
        self._rotating = asyncio.Lock()

    @property
    def resolvers(self) -> Mapping[type[Operation], Callable[[Principal, Any], Resolved[Any]]]:
        """The resolver of each operation."""
        return {ReadKeys: self.resolve, RotateKeys: self.resolve}

    def resolve(self, principal: Principal, operation: KeysT) -> Resolved[KeysT]:
        """Resolve either: its target is this gateway."""
        del principal
        return Resolved(operation, (Target("Gateway", "gateway", "gateway"),))

    async def read(self, permit: Permit[ReadKeys]) -> KeysSeen:
        """Return how the keys are. Raises `Unavailable` when the state fails."""
        permit.claim(ReadKeys)
        return await asyncio.to_thread(self._look)

    async def rotate(self, permit: Permit[RotateKeys]) -> KeysSeen:
        """Make a new version and begin to wrap everything by it; return how the keys are then.

        Raises `Unavailable` when the key file cannot be written or key management fails: then all is as before.
        """
        permit.claim(RotateKeys)
        async with self._rotating:
            permit.check()
            version = await asyncio.to_thread(self._keyring.rotate, self._kek)
        self._rewrapping.wake()
        permit.note(version=str(version), kms=self._keyring.kms.name)
        return await asyncio.to_thread(self._look)

    def _look(self) -> KeysSeen:
        held = dict.fromkeys(self._kek.versions, 0)
        return KeysSeen(self._keyring.kms.name, self._kek.newest, {**held, **self._rewrapping.counts()})
