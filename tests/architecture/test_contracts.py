"""The import contracts of pyproject.toml hold, and each of them can fail."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.architecture.tree import ROOT, SOURCE, imported_modules, is_inside, source_files

CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


class Violation(NamedTuple):
    """A module that a careless change would add or extend, and the import in it that its contract forbids."""

    contract: str
    module: str
    statement: str


VIOLATIONS = [
    Violation("floors", "core.violation", "import nomoat.stores"),
    Violation("floors", "stores.violation", "import nomoat.policy"),
    Violation("floors", "policy.violation", "import nomoat.identity"),
    Violation("floors", "audit.violation", "import nomoat.guard"),
    Violation("floors", "inspection.violation", "import nomoat.policy"),
    Violation("floors", "resources.violation", "from nomoat.guard import guard"),
    Violation("floors", "protocols.violation", "import nomoat.server"),
    Violation("floors", "client.violation", "import nomoat.protocols"),
    Violation("floors", "server.violation", "import nomoat.cli"),
    Violation("floors", "utilities", "VALUE = 1"),  # a room that no floor names
    Violation("vocabulary", "core.violation", "import time"),
    Violation("vocabulary", "core.violation", "from sqlalchemy import select"),
    Violation("vocabulary", "core.violation", "import socket"),
    Violation("pure-statements", "attestation.violation", "import time"),
    Violation("pure-statements", "attestation.violation", "from pathlib import Path"),
    Violation("pure-statements", "attestation.violation", "import orjson"),
    Violation("floors", "attestation.violation", "import nomoat.audit"),
    Violation("seal", "resources.violation", "from nomoat.core._seal import SEAL"),
    Violation("seal", "protocols.violation", "from nomoat.core import _seal"),
    Violation("seal", "policy.violation", "import nomoat.core._seal"),
    Violation("thin-protocols", "protocols.violation", "import nomoat.stores"),
    Violation("thin-protocols", "protocols.violation", "import nomoat.identity"),
    Violation("thin-protocols", "protocols.violation", "import nomoat.policy"),
    Violation("thin-protocols", "protocols.violation", "import nomoat.audit"),
    Violation("thin-protocols", "protocols.violation", "import sqlite3"),
    Violation("thin-protocols", "protocols.violation", "import subprocess"),
    Violation("thin-protocols", "protocols.violation", "import socket"),
    Violation("thin-protocols", "protocols.violation", "import httpx2"),
    Violation("light-client", "client.violation", "import nomoat.policy"),
    Violation("light-client", "client.violation", "import sqlcipher3"),
    Violation("light-client", "client.violation", "import nomoat.identity.codes"),
    Violation("light-client", "audit.verification", "import nomoat.stores.state"),
    Violation("light-client", "audit.checkpoint", "import nomoat.audit.log"),
]


def lint(tree: Path, contract: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a tree's package by that tree's pyproject.toml."""
    only = ["--contract", contract] if contract else []
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-logo", "--no-cache", *only],
        cwd=tree,
        env={"PYTHONPATH": str(tree / "src"), "PATH": ""},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its contracts, to be violated."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", tree)
    shutil.copytree(SOURCE / "nomoat", tree / "src" / "nomoat", ignore=shutil.ignore_patterns("__pycache__"))
    return tree


def test_every_contract_holds() -> None:
    report = lint(ROOT)
    assert report.returncode == 0, report.stdout + report.stderr
    assert "0 broken" in report.stdout


def test_every_contract_has_a_violation_that_proves_it() -> None:
    assert {violation.contract for violation in VIOLATIONS} == set(CONTRACTS)


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda each: f"{each.contract}: {each.module}: {each.statement}")
def test_a_violation_is_found(copy: Path, violation: Violation) -> None:
    module = copy.joinpath("src", "nomoat", *violation.module.split(".")).with_suffix(".py")
    before = module.read_text(encoding="utf-8") if module.exists() else None
    module.write_text(f"{before or ''}\n{violation.statement}\n", encoding="utf-8")
    try:
        report = lint(copy, violation.contract)
    finally:
        module.unlink() if before is None else module.write_text(before, encoding="utf-8")
    assert report.returncode == 1, report.stdout + report.stderr
    assert f"nomoat.{violation.module}" in report.stdout
    assert f"{CONTRACTS[violation.contract]} BROKEN" in " ".join(report.stdout.split())


# -- "only" rules, which import-linter cannot state -------------------------------------------------

ONLY = {
    "core": (*sorted(sys.stdlib_module_names), "typing_extensions", "nomoat.core"),
    "wire": ("nomoat.core.errors", "nomoat.wire"),
    "inspection": ("nomoat.core.profile", "nomoat.core.verdict", "nomoat.inspection"),
    "client": (
        "nomoat.__version__",
        "nomoat.client",
        "nomoat.core",
        "nomoat.attestation",  # statements and signatures, checked
        "nomoat.audit.verification",
        "nomoat.audit.checkpoint",
        "nomoat.audit.tree",  # proofs, checked
        "nomoat.audit.tiles",  # tiles, checked
        "nomoat.audit.quorum",  # whose cosignatures count
        "nomoat.audit.receipt",  # receipts, checked
        "nomoat.audit.copies",  # receipts from a copy
        "nomoat.audit.report",  # what verification returns
        "nomoat.audit.segments",  # the names of files
        "nomoat.wire",  # connections of the proxy
        "nomoat.content.fingerprints",  # made of sources where they are
    ),
}


def strangers(path: Path, room: str) -> list[str]:
    """What a file imports besides what its room may: of packages of ours, and for core of any."""
    return [
        f"{path.name}:{line}: {name}"
        for line, name in imported_modules(path)
        if not is_inside(name, ONLY[room]) and (room == "core" or is_inside(name, ("nomoat",)))
    ]


@pytest.mark.parametrize("room", sorted(ONLY))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = [path for path in source_files() if path.is_relative_to(SOURCE / "nomoat" / room)]
    assert files, f"there is no room {room}"
    assert [found for path in files for found in strangers(path, room)] == []


def test_a_stranger_in_core_or_client_is_found(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.architecture.tree.SOURCE", copy / "src")
    path = copy / "src" / "nomoat" / "core" / "violation.py"
    path.write_text("import numpy\nfrom ..stores import keys\n")
    assert strangers(path, "core") == ["violation.py:1: numpy", "violation.py:2: nomoat.stores.keys"]
    assert strangers(path, "client") == ["violation.py:2: nomoat.stores.keys"]
    path.unlink()


def test_the_client_loads_nothing_of_the_gateway() -> None:
    """What `__init__` files import counts too, which no contract sees. The proxy, a server, is loaded on its own."""
    program = (
        "import pkgutil, importlib, sys, nomoat.client as client, nomoat.audit.verification\n"
        "for each in pkgutil.walk_packages(client.__path__, 'nomoat.client.'):\n"
        "    if not each.name.startswith('nomoat.client.proxy.'): importlib.import_module(each.name)\n"
        "print(*sys.modules, sep='\\n')"
    )
    environment = {"PYTHONPATH": str(SOURCE), "PATH": ""}
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    gateway = ("nomoat.stores", "nomoat.policy", "nomoat.identity", "nomoat.guard", "sqlalchemy", "cedarpy", "uvicorn")
    assert "nomoat.core.names" in loaded.stdout.split()
    assert [name for name in loaded.stdout.split() if is_inside(name, gateway)] == []
