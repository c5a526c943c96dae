"""How often copies of registered source code are found, by what was done to them, and how often what is none is.

The figures of docs/reference/sources.md are printed here: pytest -s tests/content/test_leaks.py
"""

import asyncio
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomoat.content import Inspector
from nomoat.content.copies import KnownSources
from nomoat.content.sources import SourceDetector
from tests.content.leaks import FORMS, REPOSITORY, VENDORED, Body, asked, copies_of, formatted, known, snippets

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
LEAST = {
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
    print(f"{form}: {rate:.1%} of {len(found)} copies")
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
    print(f"re-formatted: {rate:.1%} of {len(found)} copies")
    assert rate >= LEAST["re-formatted"]


def test_what_others_wrote_is_not_taken_for_it(source: KnownSources) -> None:
    total, wrong = 0, []
    for name in OTHERS:
        for code in snippets(PACKAGES / name):
            total += 1
            if found_in(source, asked(code)):
                wrong.append((name, code))
    print(f"found by mistake: {len(wrong)} of {total} ({len(wrong) / total:.3%}): {[name for name, _ in wrong]}")
    assert total > 3_000
    assert len(wrong) / total <= 0.002
