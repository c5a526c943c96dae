"""`index`: documents that are searched by whoever may read them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client import folders, indexes
from nomoat.client.answers import rows_of
from nomoat.client.gateway import Gateway
from nomoat.core.errors import Malformed

SHOWN: Final = 300  # characters of a passage in a table
MOST_TOLD: Final = 20  # documents that could not be put in, by name
MOST_NAMED: Final = 10  # in a line


@click.group()
def index() -> None:
    """Documents that are searched, each by whoever may read it."""


@index.command()
@click.argument("name")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--believe",
    type=click.Choice(["front-matter", "mail"]),
    multiple=True,
    help="Let documents say who may read them: Markdown by its front matter, mails by whom they are from and to.",
)
@click.option(
    "--classification", metavar="LEVEL", default="", help="How confidential they are, where nothing else says so."
)
@click.option("--label", "labels", metavar="LABEL", multiple=True, help="A label that each of them has.")
@click.option(
    "--reader", "readers", metavar="SUBJECT", multiple=True, help="Who may read them: person:NAME or group:NAME."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@profile_option
@json_option
@pass_invocation
def add(
    invocation: Invocation,
    name: str,
    folder: Path,
    believe: tuple[str, ...],
    classification: str,
    labels: tuple[str, ...],
    readers: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Have the documents in FOLDER in the index NAME, as they are there now.

    What changed is sent, what is no more in FOLDER is taken out of the index, the rest is left alone. A file .access.toml in
    FOLDER says who may read what, by patterns of names; without one, and without these options, every document is as
    confidential as the index. What cannot be read or may not be put in is named, and is not in the index then. So is a document
    in which something is that no reader sees, with how much: that is left out of it.
    """
    usual = folders.Access(classification, labels, "", readers or None)
    with invocation.session() as session:
        planned = folders.plan(session.gateway, name, folder, usual, believe)
        done = _sent(invocation, session.gateway, name, planned) if not dry_run else []
    added = _Added(name, planned, done, dry_run)
    if invocation.as_json:
        output.document(added.document())
    else:
        _say_added(added)
    if added.left:
        what = "1 file or folder" if len(added.left) == 1 else f"{len(added.left)} files or folders"
        raise Malformed(
            f"{what} could not be put into {name}, which has nothing of that now: mend what is named, and add the folder again"
        )
    if not dry_run and not invocation.as_json:
        output.say(f"  next   nomoat index search {name} 'a question'")


class _Added(NamedTuple):
    """What became of a folder, or would."""

    name: str
    planned: folders.Plan
    done: Sequence[folders.Sent]
    dry_run: bool

    @property
    def left(self) -> list[folders.Left]:
        return [*self.planned.unread, *(each for sent in self.done for each in sent.left)]

    @property
    def hidden(self) -> list[folders.Hidden]:
        return [each for sent in self.done for each in sent.hidden]

    @property
    def figures(self) -> dict[str, int]:
        return {
            "sent": len(self.planned.changed) - sum(len(sent.left) for sent in self.done),
            "removed": len(self.planned.removed),
            "unchanged": self.planned.same,
            "skipped": len(self.planned.skipped),
            "passages": sum(sent.passages for sent in self.done),
        }

    def document(self) -> dict[str, object]:
        planned = self.planned
        told: dict[str, object] = {
            "not_read": list(planned.skipped),
            "fits_nothing": list(planned.unfit),
            "believed_before": list(planned.doubted),
            "left_out": [{"name": each.name, "why": _why(each)} for each in self.left],
            "hidden": [each._asdict() for each in self.hidden],
        }
        if self.dry_run:
            told |= {"to_send": [each.name for each in planned.changed], "to_remove": list(planned.removed)}
        return {"index": self.name, "dry_run": self.dry_run, **self.figures, **told}


def _say_added(added: _Added) -> None:
    figures, planned, would = added.figures, added.planned, "would be " if added.dry_run else ""
    passages = f"; {output.counted(figures['passages'], 'passage')}" if figures["passages"] else ""
    output.answer(
        f"{output.counted(figures['sent'], 'document')} {would}sent, {figures['removed']} {would}removed, "
        f"{figures['unchanged']} as they were{passages}"
    )
    if added.dry_run and planned.removed:
        output.say(f"taken out would be {_some(planned.removed)}")
    if planned.skipped:
        output.say(f"not read, for their format or size, or as links: {_some(planned.skipped)}")
    if planned.unfit:
        output.say(f".access.toml has paths that fit no document, so look how they are spelt: {_some(planned.unfit)}")
    if planned.doubted:
        again = " ".join(f"--believe {each}" for each in planned.doubted)
        output.say(f"what documents say of their readers counted before, and does not now: to have it count, {again}")
    _say_hidden(added.hidden)
    _say_left(added.left)


def _sent(invocation: Invocation, gateway: Gateway, name: str, planned: folders.Plan) -> list[folders.Sent]:
    """Do what is planned, with a bar for who looks on."""
    columns = (TextColumn("documents"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    hidden = invocation.as_json or not console.is_terminal
    done: list[folders.Sent] = []
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=len(planned.changed) + len(planned.removed))
        for sent in folders.send(gateway, name, planned):
            done.append(sent)
            progress.advance(task, sent.documents)
    return done


def _say_hidden(hidden: Sequence[folders.Hidden]) -> None:
    """What nobody sees in the documents, so that somebody looks at those."""
    if hidden:
        output.say("left out, because no reader of these documents sees it (a way to hide words for a model):")
    for each in hidden[:MOST_TOLD]:
        output.say(f"  {each.name}: {output.counted(each.characters, 'character')}")
    if len(hidden) > MOST_TOLD:
        output.say(f"  and {len(hidden) - MOST_TOLD} more (all of them: --json)")


def _say_left(left: Sequence[folders.Left]) -> None:
    """What could not be put in. Nothing of it is in the index now."""
    if left:
        output.say("not put in, so that the index has nothing of it now:")
    for each in left[:MOST_TOLD]:
        why = _why(each)
        output.say(f"  {why}" if why.startswith(each.name) else f"  {each.name}: {why}")
    if len(left) > MOST_TOLD:
        output.say(f"  and {len(left) - MOST_TOLD} more (all of them: --json)")


def _why(left: folders.Left) -> str:
    return left.why.removeprefix(f"{left.name}: ")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


@index.command()
@click.argument("name")
@click.argument("query")
@click.option("--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="At most so many passages.")
@click.option(
    "--by",
    "ranker",
    type=click.Choice(["auto", "keyword", "vector"]),
    default="auto",
    show_default=True,
    help="By its words, by what it means, or by both.",
)
@profile_option
@json_option
@pass_invocation
def search(invocation: Invocation, name: str, query: str, limit: int, ranker: str) -> None:
    """Find passages of the index NAME that answer QUERY, in the documents that you may read."""
    with invocation.session() as session:
        answer = indexes.search(session.gateway, name, query, limit=limit, ranker=ranker)
    if invocation.as_json:
        output.document(answer)
        return
    found = rows_of(answer, "data")
    for number, row in enumerate(found, 1):
        output.answer(f"{number}. {row.get('file_id')}#{row.get('passage')}   {cast('float', row.get('score')):.4f}")
        output.answer(f"   {_text(row)}")
    output.say(f"{output.counted(len(found), 'passage')} found in what you may read")


@index.command()
def schema() -> None:
    """Print the SQL that makes what indexes in PostgreSQL need, for a database administrator to run.

    It makes tables, two roles that nobody logs in as, and the row-level security by which the database shows a transaction nothing
    but what that names as permitted.
    """
    from nomoat.stores.postgres.database import schema as statements  # noqa: PLC0415 - which no other command needs

    output.raw(statements(), end="")


@index.command(name="list")
@click.argument("name", required=False)
@profile_option
@json_option
@pass_invocation
def listing(invocation: Invocation, name: str | None) -> None:
    """List the documents of the index NAME, or the indexes.

    The documents are those that you may write; the indexes those that you may search.
    """
    if name is None:
        _list_indexes(invocation)
        return
    with invocation.session() as session:
        answer = indexes.list_documents(session.gateway, name)
    if invocation.as_json:
        output.document(answer)
        return
    columns = ["name", "classification", "labels", "readers", "version"]
    told = [[_cell(column, row.get(column)) for column in columns] for row in rows_of(answer, "documents")]
    output.table(columns, told)


def _list_indexes(invocation: Invocation) -> None:
    with invocation.session() as session:
        names = indexes.list_indexes(session.gateway)
    if invocation.as_json:
        output.document({"indexes": names})
        return
    for each in names:
        output.answer(each)
    if not names:
        output.say("there is no index that you may search")


@index.command()
@click.argument("name")
@click.argument("documents", nargs=-1, required=True)
@profile_option
@json_option
@pass_invocation
def remove(invocation: Invocation, name: str, documents: tuple[str, ...]) -> None:
    """Take DOCUMENTS out of the index NAME."""
    with invocation.session() as session:
        count = indexes.remove_documents(session.gateway, name, documents)
    if invocation.as_json:
        output.document({"index": name, "removed": count})
    else:
        output.answer(f"{output.counted(count, 'document')} taken out of {name}")
        if count < len(set(documents)):
            output.say(f"the others were not there, or are not yours to write: nomoat index list {name}")


@index.command()
@click.argument("name")
@click.option("--classification", metavar="LEVEL", required=True, help="How confidential they are.")
@click.option("--label", "labels", metavar="LABEL", multiple=True, help="A label that they have; name each of them.")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever asks later.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@profile_option
@json_option
@pass_invocation
def shred(
    invocation: Invocation, name: str, classification: str, labels: tuple[str, ...], reason: str, yes: bool
) -> None:
    """Destroy all documents of one label of the index NAME for good.

    Those are the documents that are exactly as confidential and have exactly these labels, those of the index among them
    (`nomoat index list` shows both). Their key is destroyed, and they with it: at once for every search, and in every
    copy of their rows without the key. Copies of the gateway's database from before have both. What was given out, what models
    were told and what the log says of them stays.
    """
    label = ", ".join([classification, *sorted(labels)])
    invocation.confirm(f"Every document of {name} that is {label} will be gone for good. Go on?", yes=yes)
    with invocation.session() as session:
        done = indexes.shred_documents(session.gateway, name, classification, labels, reason)
    if invocation.as_json:
        output.document({"index": name, "classification": classification, "labels": sorted(labels), **done})
        return
    count = cast("int", done.get("documents", 0))
    output.answer(f"shredded what is {label} in {name}: {output.counted(count, 'document')} and the key of this label")
    output.say(
        "  next   nomoat keys rotate, and destroy the old version: copies of the database from before still have"
    )
    output.say("         the key of this label, wrapped by it, and the documents")


@index.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@pass_invocation
def pin(invocation: Invocation, folder: Path) -> None:
    """Print the declaration of FOLDER as an embedder.

    It pins the files as they are now. FOLDER is on the gateway's machine, and has model.safetensors and tokenizer.json: static
    embeddings, as model2vec saves them. Nothing of it is run. The digest is that of `sha256sum config.json model.safetensors tokenizer.json | sha256sum`
    there, without config.json where there is none.
    """
    from nomoat.stores.embedders import contents_of, digest_of  # noqa: PLC0415 - of the gateway

    place = str(folder.resolve())
    digest = digest_of(contents_of(folder))
    if invocation.as_json:
        output.document({"directory": place, "sha256": digest})
        return
    output.answer(f'embedder = {{ directory = {json.dumps(place)}, sha256 = "{digest}" }}')


def _text(row: Mapping[str, object]) -> str:
    parts = cast("list[Mapping[str, object]]", row.get("content", []))
    line = " ".join(" ".join(str(part.get("text", "")) for part in parts).split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def _cell(column: str, value: object) -> str:
    if isinstance(value, list):
        none = "nobody" if column == "readers" else ""
        return ", ".join(str(each) for each in cast("list[object]", value)) or none
    return "" if value is None else str(value)[:64]
