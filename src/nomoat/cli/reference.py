"""The reference of the command line, written from the commands themselves.

Rules: `python -m nomoat.cli.reference FILE` writes it, a test compares it, so help and reference
cannot drift apart.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from nomoat.cli.root import HELP_OPTIONS, SECTIONS, WIDTH, nomoat

COMPLETION = """## Shell completion

Add one of these to the shell's start-up file:

```
eval "$(_NOMOAT_COMPLETE=bash_source nomoat)"      # bash
eval "$(_NOMOAT_COMPLETE=zsh_source nomoat)"       # zsh
_NOMOAT_COMPLETE=fish_source nomoat | source       # fish
```

## Environment

| variable | meaning |
|---|---|
| `NOMOAT_HOME` | where profiles live, instead of `$XDG_CONFIG_HOME/nomoat` or `~/.config/nomoat` |
| `NOMOAT_PROFILE` | the profile to use where `--profile` is not given |
| `NO_COLOR` | no colour and no bold, also on a terminal |
| `NOMOAT_DEBUG` | `1` shows the details of an internal error |

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | refused: the reason and the record's number are on standard error |
| 2 | wrong usage, also of words: a query, an address or a directory that is none of its kind |
| 3 | unavailable: the gateway, a part that it depends on, or a file of yours; trying again may help |
| 4 | verification failed: the log or a stored content is not what it was |
| 70 | a bug of NoMoat's |

`nomoat exec` ends with the exit code of the program that it ran. With `--json`, an error is one JSON object on standard
error: `error`, `outcome`, `record`, `next`, `exit`.
"""


def reference() -> str:
    """Return the whole reference as Markdown."""
    root = click.Context(
        nomoat, info_name="nomoat", help_option_names=HELP_OPTIONS, max_content_width=WIDTH, terminal_width=WIDTH
    )
    parts = [
        "# The `nomoat` command",
        "Written by `python -m nomoat.cli.reference docs/reference/cli.md`; do not edit.",
        _block(nomoat.get_help(root)),
    ]
    for section, names in SECTIONS.items():
        parts.append(f"## {section}")
        for name in names:
            command = nomoat.get_command(root, name)
            if command is not None:
                parts.extend(_command(command, name, root))
    return "\n\n".join([*parts, COMPLETION])


def _command(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """Yield the help of a command, and of the commands in it."""
    context = click.Context(command, info_name=name, parent=parent)
    yield f"### `{context.command_path}`"
    yield _block(command.get_help(context))
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _command(found, inner, context)


def _block(text: str) -> str:
    return f"```\n{text.rstrip()}\n```"


def write(path: Path) -> None:
    """Write the reference to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
