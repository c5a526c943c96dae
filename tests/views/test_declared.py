"""A view's declaration: what is taken, what is refused, and that it comes back from the state as it was."""

import pytest

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.names import Classification
from nomoat.core.view import Mask
from nomoat.resources.directory.document import dump, load, merge, parse_declarations

DATASET = '[[dataset]]\nname = "a/b"\nclassification = "confidential"\n'
VIEW = '[[dataset.views]]\nname = "v"\nfiles = ["d.csv"]\n'


def declared(text: str, head: str = DATASET) -> Directory:
    return merge(Directory(), parse_declarations(head + text))


def test_it_comes_back_as_it_was_declared() -> None:
    directory = declared(
        VIEW
        + """
labels = ["masked"]
classification = "internal"
project = "churn"
columns = ["a", {name = "b", mask = "pseudonym"}, {name = "c", mask = "truncate", to = "month"},
  {name = "d", mask = "truncate", keep = 2}, {name = "e", mask = "bucket", width = 2.5}, {name = "f", mask = "drop"}]
rows = [{column = "x", value = true}, {column = "y", is = "not in", value = [1, 2.5, "z"]}]
k = 5
quasi_identifiers = ["c", "d"]
unit = "b"
"""
    )
    assert load(dump(directory), directory.generation) == directory
    (view,) = next(iter(directory.repositories.values())).views
    assert view.classification is Classification.INTERNAL
    assert [column.mask for column in view.columns][1] is Mask.PSEUDONYM


def test_it_is_as_confidential_as_the_dataset_unless_it_says_otherwise() -> None:
    (view,) = next(iter(declared(VIEW + 'columns = ["a"]').repositories.values())).views
    assert view.classification is Classification.CONFIDENTIAL
    assert view.labels == frozenset()


REFUSED = {
    'columns = ["a"]\nshadow = 1': "no field 'shadow'",
    "": "needs files and columns",
    'columns = [{name = "a", mask = "drop"}]': "all its columns are dropped",
    'columns = [{name = "a", mask = "hash"}]': "no mask 'hash'",
    'columns = [{name = "a", mask = "pseudonym"}]': "need a project",
    'columns = [{name = "a", mask = "truncate"}]': "truncate needs",
    'columns = [{name = "a", mask = "truncate", keep = 1, to = "year"}]': "truncate needs",
    'columns = [{name = "a", mask = "truncate", to = "hour"}]': "truncate needs",
    'columns = [{name = "a", mask = "bucket"}]': "bucket needs a width",
    'columns = [{name = "a", mask = "bucket", width = -1}]': "width is a number",
    'columns = [{name = "a", mask = "bucket", width = true}]': "width is a number",
    'columns = [{name = "a", mask = "bucket", width = nan}]': "width is a number",
    'columns = [{name = "a", keep = 3}]': "keep does not go with the mask none",
    'columns = ["a", "A"]': "same name",
    'columns = ["a"]\nk = 5': "goes with quasi_identifiers",
    'columns = ["a"]\nquasi_identifiers = ["a"]': "goes with quasi_identifiers",
    'columns = ["a"]\nquasi_identifiers = ["a"]\nk = 1': "k is 2 or more",
    'columns = ["a"]\nquasi_identifiers = ["b"]\nk = 2': "not among its columns",
    'columns = ["a"]\nunit = "a"': "unit goes with k",
    'columns = ["a"]\nrows = ["a = 1 OR true"]': "rows is a list of tables",
    'columns = ["a"]\nrows = [{column = "a", is = "like", value = "x"}]': "no comparison 'like'",
    'columns = ["a"]\nrows = [{column = "a", is = "in", value = "x"}]': "compares with a list",
    'columns = ["a"]\nrows = [{column = "a", value = 1979-05-27}]': "a date is written as text",
    'columns = ["a"]\nrows = [{column = "a", value = inf}]': "finite",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match=REFUSED[text]):
        declared(VIEW + text)


@pytest.mark.parametrize("name", ["", "V", "1v", "v-w", 'v"', "v" * 64])
def test_a_view_is_named_as_a_table(name: str) -> None:
    with pytest.raises(Malformed, match="a view is named"):
        declared(f"[[dataset.views]]\nname = '{name}'\nfiles = ['d.csv']\ncolumns = ['a']")


def test_two_views_have_two_names() -> None:
    with pytest.raises(Malformed, match="same name"):
        declared((VIEW + 'columns = ["a"]\n') * 2)


def test_only_files_that_have_columns_make_views() -> None:
    with pytest.raises(Malformed, match="of no format"):
        declared('[[dataset.views]]\nname = "v"\nfiles = ["d.pkl"]\ncolumns = ["a"]')


def test_a_model_has_none() -> None:
    with pytest.raises(Malformed, match="a model has no views"):
        declared(VIEW.replace("dataset", "model") + 'columns = ["a"]', '[[model]]\nname = "a/b"\n')
