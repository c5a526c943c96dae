"""`nomoat recover`: the way back in when nobody can give out a code any more.

Rules: it takes the data directory's lock and its key-encryption key, so it is for who could read
everything anyway, and only while no gateway runs. Nobody sees the code before a durable record of it.
A state that is older than its log says is accepted only when that is asked for: recorded first, and
without anybody in it, because whom it knows may have been revoked since.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from nomoat.core.directory import Directory
from nomoat.core.errors import Conflict, NotFound
from nomoat.core.names import parse_subject_name
from nomoat.core.principal import PrincipalKind
from nomoat.core.record import Json, system_record
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.configuration import Configuration, load_configuration
from nomoat.server.lock import locked
from nomoat.server.resources import Clock
from nomoat.stores.budgets import close_budgets
from nomoat.stores.state import State

OPERATOR: Final = "the operator with the key-encryption key"


@dataclass(frozen=True, slots=True)
class Recovered:
    """A one-time code, its life in seconds, the number of its record, and the gateway it is for."""

    code: str
    life: int
    record: int
    configuration: Configuration


async def recover(directory: Path, name: str, clock: Clock, *, older_state: bool = False) -> Recovered:
    """Make a one-time code for a declared person in a data directory that no gateway uses, and record it.

    With `older_state` the state's being older than the log says is accepted, and every session, device
    and code in it is ended. Raises `Malformed` for the name, `NotFound` when no such person is declared,
    `Conflict` when an older state is to be accepted and it is the newest, `Unavailable` when the
    directory is in use, its key-encryption key is missing or the record cannot be kept, and as
    `Identity.enroll`.
    """

    async def accept(gateway: Gateway, state: State) -> None:
        _require_declared(gateway.declarations.current, name)
        await accept_older_state(gateway, state, clock())

    parse_subject_name(name)
    configuration = load_configuration(directory)
    with locked(directory):
        accepting = accept if older_state else None
        async with open_gateway(directory, configuration, clock, accept_older=accepting) as gateway:
            _require_declared(gateway.declarations.current, name)
            code, life = await gateway.identity.enroll(PrincipalKind.PERSON, name)
            subject = f"{PrincipalKind.PERSON}:{name}"
            said = system_record("Recover", {"on": subject, "by": OPERATOR})
            receipt = await gateway.log.append(said._replace(on=subject))
    return Recovered(code, life, receipt.index, configuration)


async def accept_older_state(gateway: Gateway, state: State, now: float) -> None:
    """Let a state take the place of the newer one that the log knows of; nobody whom it knows stays in.

    Raises `Conflict` when it is not older, `Unavailable` when that is not recorded or not stored: then
    the state is as unacceptable as before.
    """
    known, found = gateway.log.generation, state.generation
    if found >= known:
        raise Conflict("the state is not older than its log says; leave out --older-state")
    said: dict[str, Json] = {"generation": found, "known": known, "by": OPERATOR}
    # INVARIANT (never unseen): until the write that ends everybody, the state stays behind the log.
    await gateway.log.append(system_record("AcceptOlderState", said))
    state.overtake(known)
    # In one transaction: what was told with noise since, and what that cost, is not known either.
    closing = partial(close_budgets, reason="an older database took the place of a newer one", at=now)
    await gateway.identity.sessions.end_all(now, closing)


def _require_declared(directory: Directory, name: str) -> None:
    if name not in directory.people:
        known = directory.administrators
        raise NotFound(
            f"no person {name} is declared; the administrators are: {', '.join(known) or 'nobody'}", kind="entry"
        )
