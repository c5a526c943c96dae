"""What the bench of quality says is what it measured: its measures, and the collections that it reads."""

import json
import math
from pathlib import Path

import pytest

from bench.judged import documentation, folder
from bench.quality import Found, ndcg, recall, searched
from nomoat.retrieval.snapshot import Ranking

RELEVANT = {"q": {"a": 2.0, "b": 1.0}}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A collection as BEIR lays it out, whose queries and documents have the same names."""
    corpus = {
        "1": ("Travel", "who approves the budget for travel"),
        "2": ("Leave", "how many days of leave there are"),
        "3": ("", "the printer is on the second floor"),
    }
    lines = [json.dumps({"_id": name, "title": title, "text": text}) for name, (title, text) in corpus.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    asked = {"1": "budget for travel", "2": "where is the printer", "3": "nobody judged this"}
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps({"_id": n, "text": t}) + "\n" for n, t in asked.items()))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\t1\t2\n1\t2\t0\n2\t3\t1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("found", "gain", "share"),
    [
        (["a", "b"], 1.0, 1.0),
        (["b", "a"], (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3)), 1.0),
        (["x", "a"], (2 / math.log2(3)) / (2 + 1 / math.log2(3)), 0.5),
        (["x"] * 10 + ["a", "b"], 0.0, 0.0),
        ([], 0.0, 0.0),
    ],
)
def test_measures_are_what_their_definitions_say(found: list[str], gain: float, share: float) -> None:
    answers: Found = {"q": found}
    assert ndcg(answers, RELEVANT) == pytest.approx(gain)
    assert recall(answers, RELEVANT) == share


def test_a_folder_is_read_as_it_is_laid_out(place: Path) -> None:
    read = folder(place)
    assert read.documents["1"] == "Travel\n\nwho approves the budget for travel"
    assert read.queries == {"1": "budget for travel", "2": "where is the printer"}
    assert read.relevant == {"1": {"1": 2.0}, "2": {"3": 1.0}}


def test_a_judgement_of_no_document_is_refused(place: Path) -> None:
    (place / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\t9\t1\n")
    with pytest.raises(ValueError, match="9 is judged, and is no document"):
        folder(place)


@pytest.mark.parametrize("ranking", ["keyword", "vector", "hybrid"])
def test_what_is_relevant_is_found_under_a_name_that_a_query_has_too(place: Path, ranking: Ranking) -> None:
    collection = folder(place)
    assert ndcg(searched(collection, [ranking])[ranking], collection.relevant) == 1.0


def test_documentation_has_each_text_and_each_summary_once() -> None:
    made = documentation(("sqlalchemy",))
    assert len(set(made.documents.values())) == len(made.documents) > 100
    assert len(set(made.queries.values())) == len(made.queries) > 100
    assert documentation(("sqlalchemy",)) == made
