"""What a declaration of metrics may say: everything that noise depends on, finite and within limits."""

import pytest

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.resources.directory.document import dump, load, merge, parse_declarations, plan
from nomoat.resources.metrics.metrics import digest_of
from tests.resources.metered import COUNT, DATASET, MEAN

HEAD = DATASET.format(budget=4, person=2.0).replace('owner = "group:data-engineers"\n', "")
HISTOGRAM = """
[[dataset.metrics]]
name = "stays"
kind = "histogram"
files = "data/**"
column = "days"
edges = [0, 7, 14.5, 30]
epsilon = 0.25
minimum = 25
person = "patient"
rows = 3
"""


def declared(text: str) -> Directory:
    return merge(Directory(), parse_declarations(text))


def test_what_is_declared_survives_being_kept() -> None:
    directory = declared(HEAD + COUNT + MEAN + HISTOGRAM)
    assert load(dump(directory), directory.generation) == directory
    (repository,) = directory.repositories.values()
    assert (repository.budget.total, repository.budget.person) == (4_000_000, 2_000_000)
    (change,) = plan(declared(HEAD + COUNT), declared(HEAD.replace("budget = 4", "budget = 8") + COUNT))
    assert change.detail == "budget 4.0 → 8.0"


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (MEAN.replace("[0, 30]", "[0, inf]"), "finite"),
        (MEAN.replace("[0, 30]", "[nan, 30]"), "finite"),
        (MEAN.replace("[0, 30]", "[0, 1e300]"), "finite"),
        (MEAN.replace("[0, 30]", "[30, 0]"), "lower one first"),
        (MEAN.replace("[0, 30]", "[5, 5]"), "lower one first"),
        (MEAN.replace("[0, 30]", "[0]"), "bounds"),
        (MEAN.replace("bounds = [0, 30]\n", ""), "bounds"),
        (MEAN.replace('column = "days"\n', ""), "needs column"),
        (MEAN.replace("1.0", "inf"), "epsilon is"),
        (MEAN.replace("1.0", "nan"), "epsilon is"),
        (MEAN.replace("1.0", "0"), "epsilon is"),
        (MEAN.replace("1.0", "-1.0"), "epsilon is"),
        (MEAN.replace("1.0", "0.0010005"), "epsilon is"),
        (MEAN.replace("1.0", "true"), "epsilon is"),
        (MEAN.replace("1.0", "3.0"), "costs more than a person's budget"),
        (MEAN.replace('"mean"', '"median"'), "kind is"),
        (MEAN + MEAN, "one name"),
        (MEAN + "secret = 1\n", "no field 'secret'"),
        (COUNT.replace('values = ["east", "north", "west"]\n', ""), "declared, never found"),
        (COUNT.replace('"north"', '"east"'), "each once"),
        (COUNT + "rows = 2\n", "which column names the person"),
        (COUNT + "minimum = 0\n", "minimum is"),
        (COUNT + 'column = "days"\n', "has no column"),
        (HISTOGRAM.replace("[0, 7, 14.5, 30]", "[0, 7, 7]"), "rising"),
        (HISTOGRAM.replace("[0, 7, 14.5, 30]", "[1]"), "rising"),
        (HISTOGRAM.replace("rows = 3", "rows = 1_000_000"), "rows is"),
    ],
)
def test_what_noise_cannot_be_made_for_is_refused(metric: str, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        declared(HEAD + metric)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (HEAD.replace("budget = 4\n", "").replace("person_budget = 2.0\n", ""), "need a budget"),
        (HEAD.replace("budget = 4\n", ""), "which is missing"),
        (HEAD.replace("2.0", "5.0"), "at most budget"),
        (HEAD.replace("budget = 4\n", "budget = inf\n"), "budget is"),
        (HEAD.replace("[[dataset]]", "[[model]]"), "only a dataset"),
    ],
)
def test_budgets_that_are_none_are_refused(head: str, said: str) -> None:
    text = head + (COUNT if "[[dataset]]" in head else "")
    with pytest.raises(Malformed, match=said):
        declared(text)


def test_whatever_changes_an_answer_or_its_noise_makes_another_question_and_a_name_does_not() -> None:
    def digest(text: str) -> str:
        (repository,) = declared(HEAD + text).repositories.values()
        return digest_of(repository.metrics[0])

    same = digest(HISTOGRAM)
    assert digest(HISTOGRAM.replace('"stays"', '"other"')) == same
    changes = [
        ("data/**", "data/*"),
        ('"days"', '"nights"'),
        ("14.5", "14"),
        ("0.25", "0.5"),
        ("= 25", "= 26"),
        ('"patient"', '"doctor"'),
        ("rows = 3", "rows = 2"),
    ]
    assert len({same, *(digest(HISTOGRAM.replace(old, new)) for old, new in changes)}) == 1 + len(changes)
