"""Every dependency is declared, documented with its reason, pinned with its hash, and used where the document says."""

import importlib.metadata
import json
import re
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.architecture.tree import ROOT, SOURCE, imported_modules, source_files

REQUIREMENTS = ROOT / "requirements"
LOCKS = ("runtime", "examples", "dev")
PINNED = re.compile(
    r"^([a-z0-9.-]+)==(\S+)(?: ; [^\\]+)? \\$((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?$)+)", re.MULTILINE
)

# What is imported where under another name than its package's.
MODULES = {
    "google-re2": "re2",
    "opentelemetry-sdk": "opentelemetry",
    "prometheus-client": "prometheus_client",
    "python-docx": "docx",
    "python-multipart": "python_multipart",
    "python-pkcs11": "pkcs11",
    "pyyaml": "yaml",
    "typing-extensions": "typing_extensions",
}


def ranges(lines: list[str]) -> dict[str, str]:
    """Requirement lines as {canonical name: range}; comments and references to other files left out."""
    requirements = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {canonicalize_name(each.name): canonical(str(each.specifier)) for each in requirements}


def canonical(specifier: str) -> str:
    """A range independent of the order of its parts."""
    return ",".join(sorted(specifier.strip().strip("`").split(",")))


def declared(name: str) -> dict[str, str]:
    """The ranges of an .in file, or of pyproject.toml for `runtime`."""
    if name == "runtime":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"].values()
        return ranges([*project["dependencies"], *(line for extra in extras for line in extra)])
    return ranges((REQUIREMENTS / f"{name}.in").read_text().splitlines())


def tables() -> list[list[list[str]]]:
    """The tables of docs/dependencies.md as rows of cells, without their headings."""
    found: list[list[list[str]]] = []
    for line in (ROOT / "docs" / "dependencies.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|---"):
            found.append([])
        elif line.startswith("|") and cells[0] != "package":
            found[-1].append(cells)
    return found


def locked(lock: str) -> dict[str, set[Version]]:
    """The pinned versions of a lock (more than one where they differ by Python version)."""
    pins: dict[str, set[Version]] = {}
    for pinned in PINNED.finditer((REQUIREMENTS / f"{lock}.txt").read_text()):
        pins.setdefault(pinned[1], set()).add(Version(pinned[2]))
    return pins


@pytest.mark.parametrize(("table", "sources"), [(0, ("runtime",)), (1, ("build", "examples")), (2, ("dev",))], ids=str)
def test_the_document_lists_exactly_what_is_declared(table: int, sources: tuple[str, ...]) -> None:
    documented = {canonicalize_name(row[0]): canonical(row[1]) for row in tables()[table]}
    assert documented == {name: spec for source in sources for name, spec in declared(source).items()}
    assert all(all(row) for row in tables()[table])


def test_each_dependency_is_imported_where_the_document_says_and_nothing_else_is() -> None:
    imported: dict[str, set[str]] = {}
    for path in source_files():
        room = path.relative_to(SOURCE / "nomoat").parts[0]
        for _, name in imported_modules(path):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top != "nomoat":
                imported.setdefault(top, set()).add(room)
    documented = {MODULES.get(row[0], row[0]): set(re.findall(r"`(\w+)`", row[2])) for row in tables()[0]}
    assert imported == {name: rooms for name, rooms in documented.items() if rooms}


@pytest.mark.parametrize("row", tables()[0], ids=lambda row: row[0])
def test_the_licence_is_the_one_that_the_package_states(row: list[str]) -> None:
    stated = importlib.metadata.metadata(row[0]).json.get("license_expression")
    assert stated in {None, row[5]}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_everything_with_hashes_and_names_no_place(lock: str) -> None:
    text = (REQUIREMENTS / f"{lock}.txt").read_text()
    pins = [line for line in text.splitlines() if re.match(r"\w", line)]
    assert len(pins) == len(PINNED.findall(text)) > len(declared("runtime"))
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@pytest.mark.parametrize(
    ("lock", "sources"),
    [
        ("runtime", ("runtime",)),
        ("examples", ("runtime", "build", "examples")),
        ("dev", ("runtime", "build", "examples", "dev")),
    ],
)
def test_a_lock_keeps_the_declared_ranges(lock: str, sources: tuple[str, ...]) -> None:
    pins = locked(lock)
    wanted = {name: Requirement(f"{name}{spec}") for source in sources for name, spec in declared(source).items()}
    assert {
        name: versions
        for name, requirement in wanted.items()
        if not (versions := pins.get(name, set())) or not all(requirement.specifier.contains(each) for each in versions)
    } == {}


def test_the_locks_agree() -> None:
    """So that one environment can serve the demo and the tests."""
    everything = locked("dev")
    for lock in LOCKS:
        assert locked(lock).items() <= everything.items()


def test_aider_s_lock_pins_everything_with_hashes_and_names_no_place() -> None:
    """It is apart from the others, in an environment of its own: its pins are not ours."""
    text = (REQUIREMENTS / "aider.txt").read_text()
    pins = [line for line in text.splitlines() if re.match(r"\w", line)]
    assert len(pins) == len(PINNED.findall(text)) > 50
    assert "://" not in text
    (wanted,) = (REQUIREMENTS / "aider.in").read_text().split()
    assert any(pin.startswith(wanted) for pin in pins)


def test_what_is_measured_beside_is_pinned_with_hashes_and_names_no_place() -> None:
    """It is installed without dependencies, so the lock has these and no others."""
    text = (REQUIREMENTS / "bench.txt").read_text()
    pins = locked("bench")
    assert pins.keys() == declared("bench").keys()
    assert len(pins) == len(re.findall(r"^\w", text, re.MULTILINE))
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize("folder", ["assistants", "node", "pyright"])
def test_programs_for_node_are_pinned_with_their_hashes(folder: str) -> None:
    wanted = json.loads((REQUIREMENTS / folder / "package.json").read_text())["dependencies"]
    lock = json.loads((REQUIREMENTS / folder / "package-lock.json").read_text())["packages"]
    assert lock.pop("")["dependencies"] == wanted
    assert {name: lock[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(package["integrity"].startswith("sha512-") for package in lock.values())
    assert all("resolved" not in package for package in lock.values())
