"""Reading what a command about policies is given: a directory of Cedar files."""

from collections.abc import Mapping
from pathlib import Path

import click

from nomoat.core.errors import Malformed

DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def read_policies(directory: Path) -> Mapping[str, str]:
    """Read the `*.cedar` files of a directory by name; raises `Malformed` if there are none."""
    try:
        files = {path.name: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.cedar"))}
    except UnicodeDecodeError as error:
        raise Malformed(f"a policy file in {directory} is not UTF-8: {error}") from None
    if not files:
        raise Malformed(f"{directory} holds no .cedar file; an empty set of policies would refuse everybody")
    return files
