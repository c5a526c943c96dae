"""One run of the command: its environment, clock and profile, and the options that commands share.

Rules: the environment and the clock enter here and are passed on; commands read neither themselves.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import click

from nomoat.cli import output
from nomoat.client.profiles import Profile
from nomoat.client.session import Session

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


@dataclass(slots=True)
class Invocation:
    """What the commands of one run share. `as_json` and `profile_name` are set by their options."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    clock: Callable[[], float] = time.time
    as_json: bool = False
    profile_name: str = ""

    @property
    def profile(self) -> Profile:
        """The profile that was chosen; it may not exist yet."""
        return Profile.named(self.profile_name, self.environment)

    def session(self) -> Session:
        """Open the chosen profile's session."""
        return Session(self.profile, self.clock)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before a change; raises `click.UsageError` where nobody can answer, `click.Abort` on no."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here: add --yes to make the change that was planned")
        if not click.confirm(question, err=True):
            output.say("nothing was changed")
            raise click.exceptions.Exit(1)


def pass_invocation(function: FunctionT) -> FunctionT:
    """Give a command the `Invocation` as its first argument."""
    return click.make_pass_decorator(Invocation)(function)  # type: ignore[return-value]  # same function, one argument less


def _note_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value:
        context.ensure_object(Invocation).as_json = True


def _note_profile(context: click.Context, parameter: click.Parameter, value: str) -> None:
    del parameter
    if value:
        context.ensure_object(Invocation).profile_name = value


def json_option(function: FunctionT) -> FunctionT:
    """Add `--json`."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_note_json,
        help="Print JSON for programs (errors too).",
    )(function)


def hold_option(function: FunctionT) -> FunctionT:
    """Add `--hold SECONDS`."""
    return click.option(
        "--hold",
        metavar="SECONDS",
        type=click.FloatRange(0, 3600),
        default=120.0,
        show_default=True,
        help="How long a request waits for you to log in again, if that is what it needs (0: not at all).",
    )(function)


def profile_option(function: FunctionT) -> FunctionT:
    """Add `--profile NAME`."""
    return click.option(
        "--profile",
        metavar="NAME",
        default="",
        expose_value=False,
        callback=_note_profile,
        help="Use this log-in profile [default: $NOMOAT_PROFILE, or 'default'].",
    )(function)
