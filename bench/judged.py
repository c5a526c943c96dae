"""Test collections: documents, queries, and which documents people, or how they were made, say are relevant.

None is in this repository. Lee's is in a package that a bench installs; of the documentation of installed packages one is made;
any other is read from a folder.
"""

import ast
import json
import os
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.beside import file_beside

RELEVANT = 0.5  # of Lee's judgements, between 0 and 1: six of a document's 49 others
DOCUMENTED = ("numpy", "pandas", "sklearn", "sqlalchemy")
LEAST_WORDS = 4  # of a summary that is asked for
LEAST_TEXT = 300  # characters of what it is the summary of
ASKED = 1_000  # of the summaries, evenly


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts by their names, and of each query how relevant which documents are; one that is not named is not.

    `alike` where each query is the document of its name, which is not to be found itself.
    """

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, float]]
    alike: bool = False

    def __post_init__(self) -> None:
        if unknown := [name for each in self.relevant.values() for name in each if name not in self.documents]:
            raise ValueError(f"{self.name}: {unknown[0]} is judged, and is no document")


def collections() -> list[Collection]:
    """Lee's, the documentation of packages, and the one in the folder that `NOMOAT_BENCH_COLLECTION` names."""
    given = os.environ.get("NOMOAT_BENCH_COLLECTION")
    return [lee(), documentation(), *([folder(Path(given))] if given else [])]


def lee() -> Collection:
    """Fifty short texts of news, and how like each other 83 people found each two of them (Lee, Pincombe, Welsh, CogSci 2005).

    Each is asked for the others. The judgements are a triangle of numbers between 0 and 1.
    """
    texts = file_beside("gensim/test/test_data/lee.cor").read_text("utf-8", "replace").splitlines()
    lines = file_beside("gensim/test/test_data/similarities0-1.txt").read_text().splitlines()
    judged = [[float(each) for each in line.split()] for line in lines]
    names = [f"n{number:02d}" for number in range(len(texts))]
    relevant = {
        name: {
            other: judged[min(at, place)][max(at, place)]
            for place, other in enumerate(names)
            if place != at and judged[min(at, place)][max(at, place)] >= RELEVANT
        }
        for at, name in enumerate(names)
    }
    documents = dict(zip(names, texts, strict=True))
    judged_some = {name: of for name, of in relevant.items() if of}
    return Collection("news, judged by people", documents, documents, judged_some, alike=True)


def documentation(packages: tuple[str, ...] = DOCUMENTED) -> Collection:
    """What packages say of their functions and classes: a summary is the query, the text that it stood over is relevant to it.

    It is made, and so are its judgements: no more than one text is relevant, however well another would answer.
    """
    kept: dict[str, str] = {}
    for package in packages:
        for summary, text in _described(Path(sysconfig.get_paths()["purelib"]) / package):
            kept.setdefault(summary, text)
    once = {text: summary for summary, text in reversed(kept.items())}
    pairs = [(summary, text) for summary, text in kept.items() if once[text] == summary]
    names = [f"t{number:05d}" for number in range(len(pairs))]
    asked = names[:: max(1, len(names) // ASKED)]
    texts = dict(zip(names, (text for _, text in pairs), strict=True))
    summaries = dict(zip(names, (summary for summary, _ in pairs), strict=True))
    return Collection(
        "documentation, known texts",
        texts,
        {name: summaries[name] for name in asked},
        {name: {name: 1} for name in asked},
    )


def _described(package: Path) -> Iterator[tuple[str, str]]:
    """Summaries, and what follows them, in the order of files and lines."""
    for path in sorted(package.rglob("*.py")):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                summary, _, text = (ast.get_docstring(node) or "").partition("\n\n")
                if len(summary.split()) >= LEAST_WORDS and len(text) >= LEAST_TEXT:
                    yield " ".join(summary.split()), text


def folder(place: Path) -> Collection:
    """A collection as BEIR lays it out: `corpus.jsonl`, `queries.jsonl`, and `qrels/test.tsv` with a heading.

    Queries that nothing is judged for are not asked. What is judged 0 or less is not relevant.
    """
    documents = {
        each["_id"]: f"{each.get('title') or ''}\n\n{each['text']}".strip() for each in _lines(place / "corpus.jsonl")
    }
    queries = {each["_id"]: each["text"] for each in _lines(place / "queries.jsonl")}
    relevant: dict[str, dict[str, float]] = {}
    for line in (place / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, judgement = line.split("\t")
        if float(judgement) > 0:
            relevant.setdefault(query, {})[document] = float(judgement)
    return Collection(place.name, documents, {name: queries[name] for name in relevant}, relevant)


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
