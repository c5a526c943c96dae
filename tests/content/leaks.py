"""Copies of code as they leave: snippets of a repository, and what is done to them on the way."""

import ast
import base64
import io
import json
import keyword
import random
import re
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import sklearn

from nomoat.content.copies import KnownSources, Source, keyed
from nomoat.content.fingerprints import Way, fingerprints
from nomoat.core.lineage import Label
from nomoat.core.names import Classification

Body = dict[str, object]
REPOSITORY = Path(sklearn.__file__).parent
"""A package that stands for somebody's own: it is left out of what counts as public."""
SHORTEST, LONGEST = 40, 120  # lines of a copy
LEAST_CODE = 20  # of these: a copy of what documents is not one of code
VENDORED = ("externals", "tests")
"""What is in the repository and is others' code, and what is much like itself."""
KEY = bytes(range(32))
GERMAN = ("der", "Wert", "wird", "hier", "für", "jede", "Zeile", "neu", "berechnet", "und", "nicht", "gespeichert")


def functions(file: Path) -> Iterator[tuple[str, str]]:
    """The functions of a file that are as long as a copy, with their qualified names."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()

    def within(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
        for each in ast.iter_child_nodes(node):
            if isinstance(each, ast.ClassDef):
                yield from within(each, f"{prefix}{each.name}.")
            elif isinstance(each, ast.FunctionDef) and each.end_lineno is not None:
                own = lines[each.lineno - 1 : each.end_lineno]
                if SHORTEST <= len(own) <= LONGEST and _code_lines(each, own) >= LEAST_CODE:
                    yield f"{file}:{prefix}{each.name}", "\n".join(own)

    yield from within(ast.parse(text), "")


def _code_lines(function: ast.FunctionDef, lines: list[str]) -> int:
    """How many lines say something beside what documents."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and first.end_lineno is not None
    text = first.end_lineno - first.lineno + 1 if documented and first.end_lineno is not None else 0
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines) - text


def copies_of(repository: Path) -> dict[str, str]:
    """The functions of a repository that are as long as a copy."""
    files = [file for file in sorted(repository.rglob("*.py")) if not set(VENDORED) & set(file.parts)]
    return dict(each for file in files for each in functions(file))


def snippets(folder: Path, seed: int = 5) -> Iterator[str]:
    """Stretches of code files of 40 to 120 lines each, one after the other."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    for file in sorted(folder.rglob("*.py")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        at = 0
        while len(lines) - at >= SHORTEST:
            length = chance.randint(SHORTEST, LONGEST)
            yield "\n".join(lines[at : at + length])
            at += length


def known(files: Iterable[bytes], public: Iterable[bytes] = ()) -> KnownSources:
    """A registered source of these files, without what public code has too."""
    words: dict[Way, set[int]] = {way: set() for way in Way}
    for content in files:
        for way, made in fingerprints(content).items():
            words[way].update(made.tolist())
    for content in public:
        for way, made in fingerprints(content).items():
            words[way].difference_update(made.tolist())
    kept = {
        way: keyed(KEY, b"".join(word.to_bytes(8, "little") for word in sorted(each)), way)
        for way, each in words.items()
    }
    label = Label(Classification.CONFIDENTIAL, frozenset({"source-code"}))
    return KnownSources(1, KEY, [Source("acme/engine", label, "engine-team", kept)])


# -- What is done to a copy -------------------------------------------------------------------------


def formatted(folder: Path) -> None:
    """Have a formatter of another taste go through a folder: narrower lines, other quotes, tabs."""
    settings = ["line-length=66", 'format.quote-style="single"', 'format.indent-style="tab"', "target-version='py311'"]
    options = [each for setting in settings for each in ("--config", setting)]
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", "--isolated", *options, str(folder)], check=True)


def respaced(code: str) -> str:
    """White space by somebody without a formatter: lines broken after commas, other indentation and quotes."""
    return re.sub(r", ", ",\n\t\t", code.replace("'", '"').replace("    ", "  "))


def renamed(code: str) -> str:
    """Every name another one, in texts and comments, too."""
    names: dict[str, str] = {}

    def another(name: re.Match[str]) -> str:
        return name[0] if keyword.iskeyword(name[0]) else names.setdefault(name[0], f"v{len(names)}")

    return re.sub(r"[A-Za-z_]\w*", another, code)


def translated(code: str) -> str:
    """Comments, and the texts that document, in another language."""
    words = (GERMAN[number % len(GERMAN)] for number in range(10**9))
    lines = [list(line) for line in code.splitlines()]
    tokens = tokenize.generate_tokens(io.StringIO(textwrap.dedent(code)).readline)
    lost = len(code) - len(code.lstrip(" "))
    before = tokenize.INDENT
    for kind, text, (row, column), (last, end), _ in tokens:
        documents = kind == tokenize.STRING and before in {tokenize.NEWLINE, tokenize.INDENT}
        if kind not in {tokenize.COMMENT, tokenize.NL}:
            before = kind
        if kind == tokenize.COMMENT or documents:
            other = re.sub(r"[^\W\d_]+", lambda _: next(words), text)
            for number in range(row - 1, last):
                begin = column + lost if number == row - 1 else 0
                until = end + lost if number == last - 1 else len(lines[number])
                lines[number][begin:until] = [other] if number == row - 1 else []
    return "\n".join("".join(line) for line in lines)


def numbered(code: str) -> str:
    """As tools show files to models."""
    return "\n".join(f"{number:6}\t{line}" for number, line in enumerate(code.splitlines(), 1))


def added(code: str) -> str:
    """As a difference has it."""
    return "\n".join(f"+{line}" for line in code.splitlines())


def asked(code: str) -> Body:
    return {"model": "m", "messages": [{"role": "user", "content": f"What does this do?\n\n```\n{code}\n```"}]}


def split(code: str, lines: int) -> Body:
    """A few lines in each message, with something in between."""
    every = code.splitlines()
    messages: list[Body] = []
    for at in range(0, len(every), lines):
        messages += [
            {"role": "user", "content": "\n".join(every[at : at + lines])},
            {"role": "assistant", "content": "Go on, please."},
        ]
    return {"model": "m", "messages": messages}


def tool_result(code: str) -> Body:
    """As the answer of a tool, which is JSON within a text."""
    result = json.dumps({"path": "src/engine.py", "lines": 99, "content": code})
    return {"model": "m", "messages": [{"role": "tool", "tool_call_id": "call-1", "content": result}]}


def encoded(code: str) -> str:
    return base64.encodebytes(code.encode()).decode()


FORMS: Mapping[str, Callable[[str], Body]] = {
    "verbatim": asked,
    "white space changed": lambda code: asked(respaced(code)),
    "every name another": lambda code: asked(renamed(code)),
    "comments translated": lambda code: asked(translated(code)),
    "names, comments, white space": lambda code: asked(respaced(renamed(translated(code)))),
    "ten lines a message": lambda code: split(code, 10),
    "two lines a message": lambda code: split(code, 2),
    "base64": lambda code: asked(encoded(code)),
    "result of a tool": tool_result,
    "with line numbers": lambda code: asked(numbered(code)),
    "as a difference": lambda code: asked(added(code)),
}
