"""What the gateway shows to upstreams, sealed.

Rules: a credential is for one upstream at one address. INVARIANT (never elsewhere): whoever declares another address for
the same name does not have it sent there; it has to be given again.
"""

from collections.abc import Callable
from typing import Final, final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from nomoat.core.errors import Corrupt
from nomoat.core.inference import Upstream
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.state.inference_schema import upstream_credential

MOST_OPEN: Final = 256  # credentials that are kept unsealed in memory


def purpose_of_credential(upstream: str, url: str) -> str:
    """What a credential is wrapped for."""
    return f"upstream/{upstream}/{url}"


@final
class Credentials:
    """The credentials of the gateway at upstreams."""

    def __init__(self, state: State, kek: KeyEncryptionKey) -> None:
        self._state = state
        self._kek = kek
        self._open: dict[tuple[str, str], str] = {}

    def find(self, upstream: Upstream) -> str:
        """The credential for an upstream where it is now, '' where there is none. Raises `Corrupt`, `Unavailable`."""
        place = (upstream.name, upstream.url)
        found = self._open.get(place)
        if found is None:
            if len(self._open) >= MOST_OPEN:
                self._open.clear()
            found = self._open[place] = self._read(*place)
        return found

    async def keep(self, upstream: Upstream, credential: str, at: float, by: str, still: Callable[[], None]) -> None:
        """Keep a credential in the place of the one before. `still` raises when that is not permitted any more."""
        purpose = purpose_of_credential(upstream.name, upstream.url)
        wrapped = self._kek.wrap(credential.encode(), purpose=purpose)
        row: dict[str, object] = {"url": upstream.url, "wrapped_key": wrapped, "at": at, "by": by}

        def write(connection: Connection) -> None:
            still()
            made = insert(upstream_credential).values(upstream=upstream.name, **row)
            connection.execute(made.on_conflict_do_update(index_elements=["upstream"], set_=row))

        await self._state.write(write, lambda _: self._open.clear())

    def _read(self, upstream: str, url: str) -> str:
        wanted = select(upstream_credential.c.wrapped_key).where(
            upstream_credential.c.upstream == upstream, upstream_credential.c.url == url
        )
        wrapped = self._state.read(lambda connection: connection.scalar(wanted))
        if wrapped is None:
            return ""
        try:
            return self._kek.unwrap(wrapped, purpose=purpose_of_credential(upstream, url)).decode()
        except (Corrupt, UnicodeDecodeError):
            raise Corrupt(f"the credential for the upstream {upstream}") from None
