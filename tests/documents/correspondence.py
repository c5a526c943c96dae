"""Mails between people who never were, each to those it was meant for: as many lists of people as a company's."""

import random
from collections.abc import Iterator
from email.message import EmailMessage
from typing import NamedTuple

DOMAIN = "acme.example"
MATTERS = ("budget", "travel", "printer", "contract", "audit", "holiday", "server", "lease", "invoice", "merger")


class Letter(NamedTuple):
    """A mail, the name of its file, and whom it is from and to."""

    name: str
    content: bytes
    people: frozenset[str]


def correspondence(count: int, people: int, seed: int = 1) -> Iterator[Letter]:
    """Mails, the same for the same numbers. Who writes to whom follows teams; some go to one, some to many, some with copies."""
    chance = random.Random(seed)  # noqa: S311
    names = [f"p{number:03d}@{DOMAIN}" for number in range(people)]
    teams = [names[begin : begin + 10] for begin in range(0, people, 10)]
    for number in range(count):
        team = chance.choice(teams)
        sender = chance.choice(team)
        usual = [each for each in team if each != sender]
        to = chance.sample(usual, min(len(usual), chance.choice((1, 1, 1, 2, 2, 3, 5))))
        copied = chance.sample(names, chance.choice((0, 0, 0, 1, 1, 2)))
        matter = chance.choice(MATTERS)
        message = EmailMessage()
        message["From"], message["To"] = f"Somebody <{sender}>", ", ".join(to)
        if copied:
            message["Cc"] = ", ".join(copied)
        message["Subject"] = f"The {matter}, number {number}"
        message["Message-ID"] = f"<{number}@{DOMAIN}>"
        message.set_content(
            f"Dear colleagues, about the {matter}: case{number} is what this mail is about. " + _prose(chance)
        )
        name = f"{sender.partition('@')[0]}/{number:05d}.eml"
        yield Letter(name, message.as_bytes(), frozenset({sender, *to, *copied}))


def _prose(chance: random.Random) -> str:
    return " ".join(
        f"We {chance.choice(('met', 'wrote', 'agreed', 'wait'))} about the {each}."
        for each in chance.choices(MATTERS, k=20)
    )
