"""How a failure is told: one sentence, why, what to do next, and an exit code that a script can read.

Rules: one table from the errors to words and codes. Never a traceback, unless NOMOAT_DEBUG=1 asks.
"""

import json
import sys
import traceback
from collections.abc import Mapping
from enum import IntEnum
from pathlib import PurePath
from typing import Final

import click

from nomoat.cli.output import say
from nomoat.client.errors import BadProfile, LogContradicted, NoGateway, NotLoggedIn, Untrusted, Unwritable
from nomoat.core.errors import Corrupt, NoMoatError, NotFound, NotPermitted, Refused, Unavailable

PLACES: Final[Mapping[str, str]] = {
    "repository": "see that it is spelt right and declared, and yours to know; of a dataset some commands want --dataset",
    "revision": "nomoat versions NAME tells which versions there are",
    "index": "nomoat index list tells which you may search",
    "entry": "see that the file is spelt right, and is in this version",
    "view": "the dataset's declaration has the names of its views",
    "model": "see that it is spelt right, and one that you may ask: clients list those, by GET /v1/models",
    "source": "nomoat source list tells which there are",
    "registered": "nomoat content list tells which there are",
    "upstream": "it is declared first: nomoat apply FILE",
    "metric": "nomoat metrics DATASET tells which there are",
    "record": "nomoat audit search tells which there are",
    "address": "see that the address is the gateway's and that both are of one version: nomoat whoami, nomoat --version",
}
"""Where to look for a thing that was not found, by a word of what is said then."""


PARTS: Final[Mapping[str, str]] = {
    "embedder": "nomoat index search --by keyword needs none; on the gateway's machine: nomoat doctor DIRECTORY",
    "index": "on the gateway's machine: nomoat doctor DIRECTORY",
    "postgres": "on the gateway's machine: nomoat doctor DIRECTORY",
}
"""What to do where a part of the gateway is not as it should be, by the word that is said first."""


class ExitCode(IntEnum):
    """What the command's exit code means."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNAVAILABLE = 3
    VERIFICATION_FAILED = 4
    INTERNAL = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130  # 128 + SIGINT


def tell(error: BaseException, *, as_json: bool, environment: Mapping[str, str]) -> ExitCode:
    """Print what went wrong on standard error and return the exit code for it."""
    if isinstance(error, click.ClickException):
        return _tell_usage(error, as_json=as_json)
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        say("interrupted")
        return ExitCode.INTERRUPTED
    if environment.get("NOMOAT_DEBUG") == "1":
        traceback.print_exception(error)
    word, reason, code = _classify(error)
    record = error.record if isinstance(error, Refused) else None
    advice = _advice(error)
    if as_json:
        said = {"error": reason, "outcome": word, "record": record, "next": advice or None, "exit": int(code)}
        sys.stderr.write(json.dumps(said) + "\n")
        return code
    sentence, why = _apart(error, reason)
    say(f"{word}: {sentence}")
    if why:
        say(f"  why    {why}")
    if record is not None:
        say(f"  record {record}   (why: nomoat policy explain {record})")
    if advice:
        say(f"  next   {advice}")
    return code


def _classify(error: BaseException) -> tuple[str, str, ExitCode]:
    """Return the word, the sentence and the exit code of an error."""
    match error:
        case Refused():
            return "refused", error.reason, ExitCode.REFUSED
        case Unavailable():
            # The gateway's own sentence names the part already, and so does a profile's.
            reason = error.reason if error.part in {"gateway", "profile"} else f"{error.part}: {error.reason}"
            return "unavailable", reason, ExitCode.UNAVAILABLE
        case LogContradicted():
            return "LOG CONTRADICTED", error.reason, ExitCode.VERIFICATION_FAILED
        case Corrupt():
            return "verification failed", str(error), ExitCode.VERIFICATION_FAILED
        case OSError(
            filename=str() | bytes() | PurePath()
        ):  # of the machine's own making: of a bug, no file is the cause
            return "unavailable", f"{error.filename!s}: {error.strerror}", ExitCode.UNAVAILABLE
        case _:
            hidden = f"{type(error).__name__} (NOMOAT_DEBUG=1 shows the details)"
            reason = str(error) if isinstance(error, NoMoatError) else hidden
            return "internal error, please report", reason, ExitCode.INTERNAL


def _apart(error: BaseException, reason: str) -> tuple[str, str]:
    """Part a decision's sentence into what was refused and why; other sentences stay whole."""
    if not isinstance(error, NotPermitted) or ": " not in reason:
        return reason, ""
    sentence, _, why = reason.rpartition(": ")  # the first part may name a file with a colon in it
    return sentence, why


def _advice(error: BaseException) -> str:
    match error:
        case NotLoggedIn() | BadProfile() | Untrusted() | Unwritable() | NoGateway() | LogContradicted():
            return error.advice
        case NotFound():
            return _where_to_look(error.reason)
        case Unavailable(part="gateway"):
            return _of_the_gateway(error.reason) or "nothing was done without a record of it; it is safe to try again"
        case Unavailable(part="embedder"):
            return "name a folder that has model.safetensors and tokenizer.json, as model2vec saves them"
        case OSError(filename=str() | bytes() | PurePath()):
            return "see that it exists, that it is yours to use, and that its disk has room"
        case _:
            return ""


def _of_the_gateway(reason: str) -> str:
    """What to do where trying again does not help before somebody sees to the gateway; '' where it may."""
    part, _, rest = reason.partition(": ")
    return "" if "; try again" in rest else PARTS.get(part, "")


def _where_to_look(reason: str) -> str:
    """What to do where a thing is not there, or not the caller's to know: nobody is told which of these."""
    if "nomoat " in reason or "; " in reason:  # it says that itself
        return ""
    return next((advice for word, advice in PLACES.items() if word in reason.lower()), "")


def _tell_usage(error: click.ClickException, *, as_json: bool) -> ExitCode:
    if as_json:
        said = {"error": error.format_message(), "outcome": "usage", "exit": int(ExitCode.USAGE)}
        sys.stderr.write(json.dumps(said) + "\n")
    else:
        error.show(file=sys.stderr)
    return ExitCode.USAGE
