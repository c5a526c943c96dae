"""The repository as a stranger finds it: nothing of any one machine in it, no dead link, and commands that are run."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SOURCE, repository_files

# In pieces, so that this file does not name them.
REGISTRIES = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com", "yarnpkg" + ".com"]
MACHINE = re.compile(r"(?<![\w.~-])/(?:work|root|opt/pypi|tmp/plan|home/\w+|Users/\w+)/|[.]pyenv")
MOST_BYTES = 1 << 20  # what is larger is data, and no text to search

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^make \w+", re.MULTILINE)


def texts() -> list[tuple[str, str]]:
    """Every text file of the repository, by its path."""
    found: list[tuple[str, str]] = []
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content and len(content) <= MOST_BYTES:
            found.append((path.relative_to(ROOT).as_posix(), content.decode("utf-8")))
    return found


def test_nothing_names_a_registry_or_a_machine() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if MACHINE.search(line) or any(host in line for host in REGISTRIES)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ["see /wo" + "rk/main", "HOME=/ro" + "ot/x", "PATH=~/.py" + "env/shims", "/ho" + "me/a/b"]
)
def test_a_machine_path_is_found(line: str) -> None:
    assert MACHINE.search(line)


@pytest.mark.parametrize("line", ["/v1/workload", "GET /v1/work", "~/.config/nomoat", "people/work/x", "docs/root/x"])
def test_other_paths_are_not(line: str) -> None:
    assert not MACHINE.search(line)


def anchors(text: str) -> set[str]:
    """The anchors that a Markdown renderer makes of headings."""
    headings = (re.sub(r"[`*_]|\[|\]\([^)]*\)", "", heading[1]) for heading in HEADING.finditer(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def dead_links(path: Path) -> list[str]:
    """Links of a Markdown file to local files or headings that are not there."""
    dead: list[str] = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            dead.append(f"{path.name}: {link}")
    return dead


def test_every_link_between_documents_resolves() -> None:
    documents = [path for path in repository_files() if path.suffix == ".md"]
    assert len(documents) >= 5
    assert [link for path in documents for link in dead_links(path)] == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` page\n[gone](gone.md) [here](#a-b-page) [nowhere](#c) [self](page.md)\n```\n[x](y)\n```\n")
    assert dead_links(page) == ["page.md: gone.md", "page.md: #c"]


def commands(text: str) -> list[str]:
    """The `make` commands that stand on lines of their own."""
    return COMMAND.findall(text)


def test_what_is_run_on_every_change_is_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = commands("\n".join(FENCE.findall(readme)))
    assert {"make demo", "make test"} <= set(told)
    run = commands((ROOT / ".ci" / "run").read_text())
    assert run == ["make check", "make test"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_make_target_that_is_told_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, text in texts():
        told = re.findall(r"`make (\w+)", text) if name.endswith(".md") else []
        assert set(told) <= targets, name


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    """Schemas, starter policies and migrations too: an installed gateway needs no checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("nomoat/")}
    kept = {path.relative_to(SOURCE).as_posix() for path in repository_files() if path.is_relative_to(SOURCE)}
    assert packed == kept
    assert "nomoat/py.typed" in packed
