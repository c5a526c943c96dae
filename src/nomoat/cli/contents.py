"""What was asked of a model and what it said, printed beside its record."""

from collections.abc import Mapping
from typing import cast

from nomoat.cli import output


def print_contents(contents: Mapping[str, object]) -> None:
    """Print a prompt and its answer, line by line."""
    _print_part("request", contents.get("request"))
    _print_part("answer", contents.get("answer"))


def _print_part(name: str, part: object) -> None:
    if not isinstance(part, Mapping):
        output.answer(f"{name}: none was kept")
        return
    said = cast("Mapping[str, object]", part)
    size, kept = said.get("size"), said.get("kept")
    cut = "" if said.get("whole", True) else ", cut before its end"
    output.answer(f"{name}: {size} bytes{cut}{'' if size == kept else f', of which the first {kept} are kept'}")
    for line in str(said.get("text")).splitlines():
        output.answer(f"  {line}")
