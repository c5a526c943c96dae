"""The root of the `nomoat` command: which commands there are, in which order help shows them.

Rules: a command's module is imported when the command is used, so that `nomoat token` does not load
a server. This is the one place that catches everything.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Final

import click

from nomoat import __version__
from nomoat.cli.invocation import Invocation
from nomoat.cli.problems import ExitCode, tell

HELP_OPTIONS: Final = ["-h", "--help"]
WIDTH: Final = 110
LONGEST_SHORT_HELP: Final = 200  # wrapped, not cut

# Section -> command -> where it is.
SECTIONS: Final[dict[str, dict[str, str]]] = {
    "run it": {
        "init": "nomoat.cli.operate:init",
        "serve": "nomoat.cli.operate:serve",
        "status": "nomoat.cli.health:status",
        "doctor": "nomoat.cli.health:doctor",
        "backup": "nomoat.cli.backups:backup",
        "restore": "nomoat.cli.backups:restore",
        "recover": "nomoat.cli.operate:recover",
        "fsck": "nomoat.cli.fsck:fsck",
        "keys": "nomoat.cli.keys:keys",
        "witness": "nomoat.cli.witness:witness",
    },
    "be someone": {
        "enroll": "nomoat.cli.being:enroll",
        "login": "nomoat.cli.being:login",
        "whoami": "nomoat.cli.being:whoami",
        "token": "nomoat.cli.tools:token",
        "env": "nomoat.cli.tools:env",
        "exec": "nomoat.cli.tools:execute",
        "proxy": "nomoat.cli.proxy:proxy",
        "revoke": "nomoat.cli.being:revoke",
    },
    "publish": {"publish": "nomoat.cli.publish:publish"},
    "query": {"query": "nomoat.cli.query:query"},
    "declare": {
        "apply": "nomoat.cli.declare:apply",
        "upstream": "nomoat.cli.upstream:upstream",
        "content": "nomoat.cli.content:content",
        "source": "nomoat.cli.source:source",
        "index": "nomoat.cli.index:index",
    },
    "decide": {
        "policy": "nomoat.cli.policy:policy",
        "dataset": "nomoat.cli.dataset:dataset",
        "versions": "nomoat.cli.versions:versions",
        "approve": "nomoat.cli.versions:approve",
        "withdraw": "nomoat.cli.versions:withdraw",
        "shred": "nomoat.cli.versions:shred",
        "lower": "nomoat.cli.lineage:lower",
        "loaded": "nomoat.cli.lineage:loaded",
        "reopen-budget": "nomoat.cli.metrics:reopen_budget",
    },
    "answer": {
        "audit": "nomoat.cli.audit:audit",
        "lineage": "nomoat.cli.lineage:lineage",
        "verify": "nomoat.cli.verify:verify",
        "metrics": "nomoat.cli.metrics:metrics",
        "metric": "nomoat.cli.metrics:metric",
        "quotas": "nomoat.cli.quotas:quotas",
    },
}


class SectionedGroup(click.Group):
    """A group whose commands are found by name in `SECTIONS` and listed in its order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        for section in SECTIONS.values():
            if cmd_name in section:
                module, _, attribute = section[cmd_name].partition(":")
                command: object = getattr(importlib.import_module(module), attribute)
                if isinstance(command, click.Command):
                    return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # click looks for what was meant in a mapping of the commands, which are only imported here when used.
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(section):
                formatter.write_dl(
                    [(name, command.get_short_help_str(LONGEST_SHORT_HELP)) for name, command in commands if command]
                )


@click.command(cls=SectionedGroup, context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": WIDTH})
@click.version_option(__version__, prog_name="nomoat", message="%(prog)s %(version)s")
def nomoat() -> None:
    """Zero trust for AI pipelines: every access authenticated, decided, recorded, and only then served.

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 unavailable, 4 verification failed.
    """


def run(arguments: Sequence[str], invocation: Invocation) -> int:
    """Run the command with `arguments` (without the program's name) and return its exit code."""
    try:
        # Outside click's own error handling: this command words its errors and exit codes itself.
        result: object = nomoat.main(list(arguments), prog_name="nomoat", standalone_mode=False, obj=invocation)
    except BrokenPipeError:
        sys.stderr.close()  # the reader left; Python would complain about the flush at exit
        return ExitCode.DONE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the boundary: nobody above can word it
        return tell(error, as_json=invocation.as_json, environment=invocation.environment)
    return result if isinstance(result, int) else ExitCode.DONE


def main() -> None:
    """Run the command of this process and exit."""
    sys.exit(run(sys.argv[1:], Invocation()))
