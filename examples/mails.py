"""Mails in an index, each for whom it is from and to.

    python -m examples.mails MAILS OUT [--domain acme.example]

MAILS is an mbox, or a folder with mails in any depth (a Maildir, the folders of the Enron corpus, `.eml` files, mboxes). Each mail is
laid out in OUT/mails as a file of its own, byte for byte; OUT/mails.toml declares the index, and everyone whom the headers name
(of one domain, if it is said). Then `nomoat index add mails OUT/mails --believe mail` puts them in. Nothing is fetched.

Believe mails that your own server kept: headers say what a sender wrote there.
"""

import argparse
import json
import mailbox
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from nomoat.core.errors import Malformed
from nomoat.core.names import parse_subject_name
from nomoat.documents.formats import read
from nomoat.documents.read import Unreadable

INDEX = "mails"
BEGINS_MBOX = b"From "
DECLARED = f"""
[[group]]
name = "index-readers"
[[group]]
name = "librarians"
[[index]]
name = "{INDEX}"
classification = "internal"
owner = "group:librarians"
"""
PERSON = """
[[person]]
name = {name}
groups = ["index-readers"]
clearance = "internal"
"""


class Mail(NamedTuple):
    """A mail as it is, what it is called in an index, and whom its headers name."""

    name: str
    content: bytes
    people: tuple[str, ...]


class LaidOut(NamedTuple):
    """How many mails, different lists of people and people there are, and how many files were no mails."""

    mails: int
    lists: int
    people: int
    others: int


def mails(source: Path) -> Iterator[Mail | None]:
    """The mails of an mbox or a folder, in the order of their names; None for a file that is none."""
    files = [source] if source.is_file() else sorted(each for each in source.rglob("*") if each.is_file())
    for path in files:
        if path.is_symlink():
            continue
        relative = PurePosixPath(path.name if source.is_file() else path.relative_to(source).as_posix())
        with path.open("rb") as file:
            boxed = file.read(len(BEGINS_MBOX)) == BEGINS_MBOX
        if not boxed:
            yield _mail(str(relative), path.read_bytes())
            continue
        with closing(mailbox.mbox(path, create=False)) as box:
            for number, key in enumerate(box.iterkeys()):
                yield _mail(f"{relative}/{number:06d}", box.get_bytes(key))


def _mail(path: str, content: bytes) -> Mail | None:
    """A mail under a name that an index takes. Only headers are read here: the gateway reads what it says, apart."""
    end = re.search(rb"\r?\n\r?\n", content)
    head = content[: end.start()] if end else content
    try:
        people = read("headers.eml", head + b"\r\n\r\n").people
    except Unreadable:
        return None
    parts = [re.sub(r"^\.|[#@\\\x00-\x1f]", "_", part) for part in path.split("/")]
    name = "/".join(parts)
    return Mail(name if name.lower().endswith(".eml") else f"{name.rstrip('.')}.eml", content, people)


def declaration(people: Iterable[str]) -> str:
    """The index, and people who may search it. Who cannot be declared by that name finds nothing, and is left out."""
    declared = [DECLARED]
    for name in sorted(set(people)):
        try:
            declared.append(PERSON.format(name=json.dumps(parse_subject_name(name))))
        except Malformed:
            continue
    return "".join(declared)


def lay_out(source: Path, place: Path, domain: str = "") -> LaidOut:
    """Write each mail into `place`/mails, and who is named into `place`/mails.toml."""
    lists: set[tuple[str, ...]] = set()
    people: set[str] = set()
    count = others = 0
    for mail in mails(source):
        if mail is None:
            others += 1
            continue
        path = place / INDEX / mail.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mail.content)
        lists.add(mail.people)
        people.update(name for name in mail.people if not domain or name.endswith(f"@{domain}"))
        count += 1
    place.mkdir(parents=True, exist_ok=True)
    (place / "mails.toml").write_text(declaration(people))
    return LaidOut(count, len(lists), len(people), others)


def main(arguments: Sequence[str]) -> int:
    """Lay mails out, and say which commands put them into an index."""
    parser = argparse.ArgumentParser(prog="python -m examples.mails", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("mails", type=Path, help="an mbox, or a folder of mails")
    parser.add_argument("out", type=Path, help="a folder that is made")
    parser.add_argument("--domain", default="", help="declare the people of this domain alone")
    said = parser.parse_args(arguments)
    if not said.mails.exists():
        parser.error(f"there is no {said.mails}")
    if said.out.exists():
        parser.error(f"{said.out} is there already")
    laid = lay_out(said.mails, said.out, said.domain)
    print(
        f"{laid.mails:,} mails for {laid.lists:,} lists of people; {laid.people:,} people; {laid.others:,} files were no mails"
    )
    print(f"  next   nomoat apply {said.out / 'mails.toml'}")
    print(f"         nomoat index add {INDEX} {said.out / INDEX} --believe mail      # as one of its librarians")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
