"""`nomoat recover`: the way back in when nobody can give out a code any more.

Rules: it takes the data directory's lock and its key-encryption key, so it is for who could read
everything anyway, and only while no gateway runs. Nobody sees the code before a durable record of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nomoat.core.directory import Directory
from nomoat.core.errors import NotFound
from nomoat.core.names import parse_subject_name
from nomoat.core.principal import PrincipalKind
from nomoat.server.assembly import Clock, open_gateway, system_record
from nomoat.server.configuration import Configuration, load_configuration
from nomoat.server.lock import locked

ADMINISTRATORS: Final = "administrators"


@dataclass(frozen=True, slots=True)
class Recovered:
    """A one-time code, its life in seconds, the number of its record, and the gateway it is for."""

    code: str
    life: int
    record: int
    configuration: Configuration


async def recover(directory: Path, name: str, clock: Clock) -> Recovered:
    """Make a one-time code for a declared person in a data directory that no gateway uses, and record it.

    Raises `Malformed` for the name, `NotFound` when no such person is declared, `Unavailable` when the
    directory is in use, its key-encryption key is missing or the record cannot be kept, and as
    `Identity.enroll`.
    """
    parse_subject_name(name)
    configuration = load_configuration(directory)
    with locked(directory):
        async with open_gateway(directory, configuration, clock) as gateway:
            _require_declared(gateway.declarations.current, name)
            code, life = await gateway.identity.enroll(PrincipalKind.PERSON, name)
            subject = f"{PrincipalKind.PERSON}:{name}"
            said = system_record("Recover", {"on": subject, "by": "the operator with the key-encryption key"})
            receipt = await gateway.log.append(said._replace(on=subject))
    return Recovered(code, life, receipt.index, configuration)


def _require_declared(directory: Directory, name: str) -> None:
    if name not in directory.people:
        known = sorted(person.name for person in directory.people.values() if ADMINISTRATORS in person.groups)
        raise NotFound(
            f"no person {name} is declared; the administrators are: {', '.join(known) or 'nobody'}", kind="entry"
        )
