"""The house rules of the source: small files, small functions, names that mean something, documented doors."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import SOURCE, modules, source_files

LONGEST_FILE = 400  # lines
LONGEST_FUNCTION = 60
LONGEST = {"guard/guard.py": 300}  # whoever opens it first must have read it in ten minutes
MEANINGLESS = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}

FILES = source_files()


def relative(path: Path) -> str:
    return path.relative_to(SOURCE / "nomoat").as_posix()


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in FILES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_no_file_is_long() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > LONGEST.get(name, LONGEST_FILE)} == {}


def test_no_function_is_long() -> None:
    long = {
        f"{relative(path)}:{node.lineno} {node.name}": length
        for path, tree in trees()
        if "migrations" not in path.parts  # a migration is a list of what it makes
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [relative(path) for path in FILES if set(path.relative_to(SOURCE).with_suffix("").parts) & MEANINGLESS] == []


def test_every_module_states_its_duty_in_its_first_line() -> None:
    without = [
        relative(path)
        for path, tree in trees()
        if not (first := (ast.get_docstring(tree) or "").partition("\n")[0].strip()) or not first.endswith((".", ":"))
    ]
    assert without == []


def test_package_files_only_re_export() -> None:
    allowed = (ast.Import, ast.ImportFrom)
    busy = [
        f"{relative(path)}:{node.lineno}"
        for path, tree in trees()
        if path.name == "__init__.py"
        for node in tree.body[1:]
        if not isinstance(node, allowed)
        and relative(path) != "__init__.py"  # the package's own door for programs: nomoat.connect
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"__all__", "__version__"})
    ]
    assert busy == []


def public_doors(namespace: object, module: str) -> Iterator[tuple[str, object]]:
    """Public classes and functions that a module defines, and the public methods of those classes."""
    for name, defined in vars(namespace).items():
        if name.startswith("_") or getattr(defined, "__module__", None) != module:
            continue
        if inspect.isfunction(defined):
            yield f"{module}.{name}", defined
        elif inspect.isclass(defined):
            yield f"{module}.{name}", defined
            for attribute, value in vars(defined).items():
                method = getattr(defined, attribute) if isinstance(value, classmethod | staticmethod) else value
                if not attribute.startswith("_") and (inspect.isroutine(method) or isinstance(method, property)):
                    yield f"{module}.{name}.{attribute}", (defined, attribute)


def is_documented(door: object) -> bool:
    """Whether a door has a docstring of its own, or overrides something that has or that is not ours."""
    if not isinstance(door, tuple):
        text = inspect.getdoc(door) if inspect.isfunction(door) else getattr(door, "__doc__", None)
        return bool(text) and not str(text).startswith(f"{getattr(door, '__name__', '')}(")
    owner, attribute = door
    return any(
        attribute in vars(each)
        and (vars(each)[attribute].__doc__ or not each.__module__.startswith(("nomoat", "tests")))
        for each in owner.__mro__
    )


def test_every_public_door_is_documented() -> None:
    every = [door for module in modules() for door in public_doors(module, module.__name__)]
    assert len(every) > 100
    assert [door for door, defined in every if not is_documented(defined)] == []


def test_a_door_without_documentation_is_found() -> None:
    class Documented:
        """It says so."""

        def silent(self) -> None:
            return

        def spoken(self) -> None:
            """Say so."""

    class Heir(Documented):
        def spoken(self) -> None:
            return

    assert is_documented(Documented)
    assert not is_documented((Documented, "silent"))
    assert not is_documented(Heir)
    assert is_documented((Heir, "spoken"))
