"""The seal: the token that a constructor demands so that only its minter can call it.

Only `core.permit`, `core.principal`, `guard` and `identity` may import this module; an import
contract checks that. It stops mistakes, not hostile code in the same process (THREATS.md).
"""

from typing import Final, final

from nomoat.core.errors import Misuse


@final
class Seal:
    """The type of the one `SEAL`; holding it is the right to mint."""

    __slots__ = ()


SEAL: Final = Seal()


def require_seal(seal: object, what: str) -> None:
    """Raise `Misuse` unless `seal` is the seal itself; `what` names the thing being minted."""
    if seal is not SEAL:
        raise Misuse(f"{what} can only be minted on the path")
