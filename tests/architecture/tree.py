"""What the architecture tests look at: the files of the repository and the modules of the package."""

import ast
import importlib
import pkgutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nomoat

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


def repository_files() -> list[Path]:
    """Every file that is, or is about to be, in the repository: all but what `.gitignore` names."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return [path for path in map(ROOT.joinpath, names) if path.is_file()]


def source_files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Every (line, module or module member) that a file imports, at any depth, relative ones resolved."""
    package = module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def modules(package: str = "nomoat") -> list[ModuleType]:
    """Import every module of a package of ours and return them; scripts and migrations are no modules to import."""
    root = importlib.import_module(package)
    names = [each.name for each in pkgutil.walk_packages(root.__path__, f"{package}.")]
    return [
        root,
        *(importlib.import_module(name) for name in names if not {"__main__", "migrations"} & {*name.split(".")}),
    ]


def is_inside(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the packages or lies inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


assert Path(nomoat.__file__).is_relative_to(SOURCE), "the tests must look at this working tree's package"
