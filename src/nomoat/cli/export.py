"""`audit export`: the log taken away, in a format for others."""

import codecs
import os
import secrets
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from nomoat.audit.columns import write_parquet
from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.core.errors import Conflict, Unavailable

PARQUET = "parquet"


@click.command()
@click.argument("query", default="")
@click.option(
    "--format",
    "form",
    type=click.Choice(["ocsf", "csv", PARQUET, "json"]),
    default="ocsf",
    show_default=True,
    help="OCSF 1.8 events, rows for a spreadsheet, columns, or records as they are; ocsf and json in lines.",
)
@click.option("--after", metavar="NUMBER", type=click.IntRange(-1), default=-1, help="Only records after this one.")
@click.option(
    "--output", "-o", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write here [default: print]."
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@profile_option
@json_option
@pass_invocation
def export(invocation: Invocation, query: str, form: str, after: int, file: Path | None, force: bool) -> None:
    """Take away every record that matches QUERY, oldest first.

    QUERY has the words of nomoat audit search. The export itself is recorded, with its format and query. A file appears whole or not at all, and
    only you may read it; one that exists is kept unless you say --force. What has left cannot be erased any more by the gateway.
    """
    if form == PARQUET and file is None:
        raise click.UsageError("Parquet is written into a file: --output FILE")
    if file is not None and not force and os.path.lexists(file):
        raise _exists(file)  # before anything is asked for, and recorded as taken away
    with invocation.session() as session:
        if file is None:
            _print(session.export(form, query, after=after))
            return
        with _whole(file, force=force) as unfinished:
            if form == PARQUET:
                write_parquet(session.export("rows", query, after=after), unfinished)
            else:
                with unfinished.open("wb") as stream:
                    _copy(session.export(form, query, after=after), stream)
    size = file.stat().st_size
    if invocation.as_json:
        output.document({"file": str(file), "format": form, "bytes": size})
    else:
        output.say(f"wrote {file}: {size} bytes of {form}")


def _print(parts: Iterable[bytes]) -> None:
    """Print a text that arrives in parts; on a terminal without what the terminal would obey."""
    decoder, left = codecs.getincrementaldecoder("utf-8")("replace"), ""
    for part in parts:
        if not sys.stdout.isatty():
            output.raw(decoder.decode(part), end="")
            continue
        *lines, left = (left + decoder.decode(part)).split("\n")
        for line in lines:
            output.answer(line.rstrip("\r"))


def _copy(parts: Iterable[bytes], stream: BinaryIO) -> None:
    stream.writelines(parts)
    stream.flush()


def _exists(file: Path) -> Conflict:
    return Conflict(f"{file} exists already; name another file, or replace it with --force")


@contextmanager
def _whole(file: Path, *, force: bool) -> Generator[Path]:
    """Yield where to write what becomes `file`, the caller's alone, if nothing goes wrong.

    Raises `Conflict` if there is one by then, which only `force` replaces.
    """
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        yield unfinished
        unfinished.chmod(0o600)
        if not force:
            os.link(unfinished, file)  # unlike a rename, over nothing
        else:
            unfinished.replace(file)
    except FileExistsError:
        raise _exists(file) from None
    except OSError as error:
        raise Unavailable("export", f"{file} cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
