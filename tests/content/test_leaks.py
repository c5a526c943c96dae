"""How often copies of registered source code are found, by what was done to them, and how often what is none is.

The figures of docs/reference/sources.md are printed here: pytest -s tests/content/test_leaks.py
"""

import asyncio
import json
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from nomoat.content import AnswerReader, Inspector
from nomoat.content.copies import KnownSources
from nomoat.content.sources import SourceDetector
from tests.content.leaks import FORMS, REPOSITORY, VENDORED, Body, asked, copies_of, formatted, known, renamed, snippets

PACKAGES = Path(sysconfig.get_paths()["purelib"])
LIBRARY = Path(sysconfig.get_paths()["stdlib"])
REGISTERED_PUBLIC = ("pandas", "scipy", "numpy", "joblib")
"""Packages that were at hand when the source was registered, beside Python's library."""
OTHERS = (
    "sqlalchemy",
    "transformers",
    "rich",
    "openai",
    "anthropic",
    "hypothesis",
    "pygments",
    "botocore",
    "_pytest",
    "moto",
)
"""Public packages that were not: what is found in them is found by mistake."""
EACH: Final = 4  # snippets, of which one is looked at
LEAST: Final = {
    "verbatim": 0.98,
    "re-formatted": 0.95,
    "white space changed": 0.95,
    "every name another": 0.95,
    "comments translated": 0.95,
    "names, comments, white space": 0.85,
    "ten lines a message": 0.95,
    "two lines a message": 0.95,
    "base64": 0.95,
    "result of a tool": 0.95,
    "with line numbers": 0.95,
    "as a difference": 0.95,
}


def contents(*folders: Path) -> Iterator[bytes]:
    return (
        file.read_bytes()
        for folder in folders
        for file in sorted(folder.rglob("*.py"))
        if "site-packages" not in file.relative_to(folder).parts
    )


@pytest.fixture(scope="module")
def source() -> KnownSources:
    public = contents(LIBRARY, *(PACKAGES / name for name in REGISTERED_PUBLIC))
    return known(contents(REPOSITORY), public)


@pytest.fixture(scope="module")
def copies() -> dict[str, str]:
    found = copies_of(REPOSITORY)
    assert len(found) > 300
    return found


def say(figure: str) -> None:
    print(figure)  # noqa: T201 - what the reference states


def found_in(source: KnownSources, body: Body) -> bool:
    detector = SourceDetector(lambda: source)
    inspector = Inspector([detector], detector.judge, across=detector)
    return bool(asyncio.run(inspector.look("s", body)).sources)


@pytest.mark.parametrize("form", FORMS)
def test_attack_copies_are_found_whatever_was_done_to_them(
    source: KnownSources, copies: dict[str, str], form: str
) -> None:
    found = [found_in(source, FORMS[form](code)) for code in copies.values()]
    rate = sum(found) / len(found)
    say(f"{form}: {rate:.1%} of {len(found)} copies")
    assert rate >= LEAST[form]


def test_attack_copies_are_found_when_a_formatter_went_over_them(source: KnownSources, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    for file in REPOSITORY.rglob("*.py"):
        if not set(VENDORED) & set(file.parts):
            there = folder / file.relative_to(REPOSITORY)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(file.read_bytes())
    formatted(folder)
    copies = copies_of(folder)
    found = [found_in(source, asked(code)) for code in copies.values()]
    rate = sum(found) / len(found)
    say(f"re-formatted: {rate:.1%} of {len(found)} copies")
    assert rate >= LEAST["re-formatted"]


def test_what_others_wrote_is_not_taken_for_it(source: KnownSources) -> None:
    total, wrong = 0, []
    for name in OTHERS:
        for code in islice(snippets(PACKAGES / name), 0, None, EACH):
            total += 1
            if found_in(source, asked(code)):
                wrong.append((name, code))
    say(f"found by mistake: {len(wrong)} of {total} ({len(wrong) / total:.3%}): {[name for name, _ in wrong]}")
    assert total > 3_000
    assert len(wrong) / total <= 0.002


@pytest.mark.parametrize("form", ["as it is", "every name another"])
def test_a_copy_in_an_answer_is_found_before_much_of_it_has_left(
    source: KnownSources, copies: dict[str, str], form: str
) -> None:
    left: list[int] = []
    for copy in copies.values():
        code = copy if form == "as it is" else renamed(copy)
        left.append(asyncio.run(left_of(source, code)))
    half, most = sorted(left)[len(left) // 2], sorted(left)[len(left) * 95 // 100]
    say(f"answers, {form}: half of the copies are found after {half} characters, 95 of 100 after {most}")
    assert (half, most) <= ((1_000, 2_200) if form == "as it is" else (1_400, 3_500))


async def left_of(source: KnownSources, code: str) -> int:
    """How many characters of an answer leave that is streamed in pieces of twenty, before it is found."""
    reader = AnswerReader(Inspector([SourceDetector(lambda: source)], source.judge), "s", streamed=True, whole=False)
    left = 0
    for at in range(0, len(code), 20):
        choice = {"index": 0, "delta": {"content": code[at : at + 20]}}
        event = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
        await reader.feed(event, over=at + 20 >= len(code))
        if reader.found:
            break
        left += 20 * reader.take().count(b"data: ")
    return left
