"""The views of a dataset as declared: parsed strictly, and written back in the same words.

Rules: whatever is not understood is refused. A mask that a column does not state is none that was meant, so each
setting goes with its mask and with no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from nomoat.core.errors import Malformed
from nomoat.core.names import Classification, parse_subject_name, parse_view_name
from nomoat.core.view import FORMATS, UNITS, Column, Comparison, Condition, Mask, Scalar, View
from nomoat.resources.directory.fields import Table, as_list, as_table, level_of, require_fields, text_of, words_of

MOST_VIEWS: Final = 64
MOST_COLUMNS: Final = 1_024
MOST_CONDITIONS: Final = 64
MOST_VALUES: Final = 1_024
MOST_CHARACTERS: Final = 10_000  # that TRUNCATE keeps
LARGEST_K: Final = 1_000_000

VIEW_FIELDS: Final = frozenset(
    {"name", "classification", "labels", "files", "columns", "rows", "project", "k", "quasi_identifiers", "unit"}
)
COLUMN_FIELDS: Final = frozenset({"name", "mask", "keep", "to", "width"})
CONDITION_FIELDS: Final = frozenset({"column", "is", "value"})

_SETTINGS: Final[Mapping[Mask, frozenset[str]]] = {
    Mask.TRUNCATE: frozenset({"keep", "to"}),
    Mask.BUCKET: frozenset({"width"}),
}


def parse_views(value: object, classification: Classification) -> tuple[View, ...]:
    """Parse a dataset's views; `classification` holds for those that state none. Raises `Malformed`."""
    entries = as_list(value)
    if entries is None or len(entries) > MOST_VIEWS:
        raise Malformed(f"views are written [[dataset.views]], once for each of at most {MOST_VIEWS}")
    views = tuple(_view(entry, classification) for entry in entries)
    if len({view.name for view in views}) < len(views):
        raise Malformed("two of its views have the same name")
    return views


def _view(entry: object, classification: Classification) -> View:
    table = as_table(entry)
    if table is None:
        raise Malformed("views are written [[dataset.views]]")
    name = parse_view_name(text_of(table, "name"))
    try:
        return _consistent(_parsed(name, table, classification))
    except Malformed as error:
        raise Malformed(f"view {name}: {error.reason}") from None


def _parsed(name: str, table: Table, classification: Classification) -> View:
    require_fields(table, VIEW_FIELDS)
    project = text_of(table, "project")
    k = table.get("k", 0)
    if type(k) is not int or not 0 <= k <= LARGEST_K:
        raise Malformed(f"k is a whole number up to {LARGEST_K}")
    return View(
        name=name,
        classification=level_of(table, "classification", classification),
        labels=words_of(table, "labels"),
        files=tuple(map(_pattern, _entries(table, "files", MOST_VIEWS))),
        columns=tuple(map(_column, _entries(table, "columns", MOST_COLUMNS))),
        conditions=tuple(map(_condition, _entries(table, "rows", MOST_CONDITIONS))),
        project=parse_subject_name(project) if project else "",
        k=k,
        quasi_identifiers=tuple(_named(each, "quasi_identifiers") for each in _entries(table, "quasi_identifiers", 64)),
        unit=_named(table["unit"], "unit") if "unit" in table else "",
    )


def _consistent(view: View) -> View:
    if not view.files or not view.columns:
        raise Malformed("it needs files and columns: what it does not name is not in it")
    names = [column.name for column in view.columns if column.mask is not Mask.DROP]
    if not names:
        raise Malformed("all its columns are dropped")
    if len({name.lower() for name in names}) < len(names):  # SQL does not tell them apart
        raise Malformed("two of its columns have the same name")
    if any(column.mask is Mask.PSEUDONYM for column in view.columns) and not view.project:
        raise Malformed("pseudonyms need a project, whose key makes them")
    if (view.k > 1) != bool(view.quasi_identifiers) or view.k == 1:
        raise Malformed("k is 2 or more and goes with quasi_identifiers")
    if unknown := set(view.quasi_identifiers) - set(names):
        raise Malformed(f"the quasi-identifier {min(unknown)!r:.80} is not among its columns")
    if view.unit and not view.k:
        raise Malformed("unit goes with k")
    return view


def _entries(table: Table, field: str, most: int) -> Sequence[object]:
    value = as_list(table.get(field, []))
    if value is None or len(value) > most:
        raise Malformed(f"{field} is a list of at most {most}")
    return value


def _pattern(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 512 or not value.isprintable():
        raise Malformed("files are patterns of paths, such as 'data/*.parquet'")
    if not value.endswith(tuple(FORMATS)):
        raise Malformed(f"{value!r:.80} is of no format that has columns; there are {', '.join(FORMATS)}")
    return value


def _named(value: object, field: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 128 or not value.isprintable():
        raise Malformed(f"{field}: a column's name has at most 128 printable characters")
    return value


def _column(entry: object) -> Column:
    if isinstance(entry, str):
        return Column(_named(entry, "columns"))
    table = as_table(entry)
    if table is None:
        raise Malformed("columns is a list of names, and of tables with name and mask")
    require_fields(table, COLUMN_FIELDS)
    name, said = _named(table.get("name"), "columns"), text_of(table, "mask") or Mask.NONE.value
    if said not in set(Mask):
        raise Malformed(f"column {name}: no mask {said!r:.80}; there are {', '.join(Mask)}")
    mask = Mask(said)
    if strange := set(table) - {"name", "mask"} - _SETTINGS.get(mask, frozenset()):
        raise Malformed(f"column {name}: {min(strange)} does not go with the mask {mask}")
    column = Column(name, mask, _whole(table, "keep"), text_of(table, "to"), _width(table))
    if mask is Mask.TRUNCATE and (bool(column.keep) == bool(column.to) or column.to not in {"", *UNITS}):
        raise Malformed(f"column {name}: truncate needs keep (characters) or to ({', '.join(UNITS)})")
    if mask is Mask.BUCKET and not column.width:
        raise Malformed(f"column {name}: bucket needs a width")
    return column


def _whole(table: Table, field: str) -> int:
    value = table.get(field, 0)
    if type(value) is not int or not 0 <= value <= MOST_CHARACTERS:
        raise Malformed(f"{field} is a whole number up to {MOST_CHARACTERS}")
    return value


def _width(table: Table) -> float:
    value = table.get("width", 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15:
        raise Malformed("width is a number above 0")
    return value


def _condition(entry: object) -> Condition:
    table = as_table(entry)
    if table is None:
        raise Malformed("rows is a list of tables with column, is and value")
    require_fields(table, CONDITION_FIELDS)
    column, said = _named(table.get("column"), "rows"), table.get("is", "=")
    if said not in set(Comparison):
        raise Malformed(f"rows: no comparison {said!r:.80}; there are {', '.join(Comparison)}")
    comparison, value = Comparison(cast("str", said)), table.get("value")
    several = comparison in {Comparison.AMONG, Comparison.NOT_AMONG}
    values = as_list(value) if several else [value]
    if values is None or not 0 < len(values) <= MOST_VALUES:
        raise Malformed(f"rows: {comparison} compares with a list of 1 to {MOST_VALUES} values")
    return Condition(column, comparison, tuple(_scalars(values)))


def _scalars(values: Sequence[object]) -> Iterator[Scalar]:
    for value in values:
        # A moment is written as text, so that it comes back from the state as it was declared.
        if not isinstance(value, (str, int, float)) or (isinstance(value, str) and len(value) > 512):
            raise Malformed("rows: a value is a text, a number, true or false; a date is written as text")
        if isinstance(value, float) and not abs(value) < float("inf"):
            raise Malformed("rows: a value is a finite number")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise Malformed("rows: a whole number has at most 64 bits")
        yield value


def described_view(view: View) -> dict[str, object]:
    """A view in the words of the document."""
    described: dict[str, object] = {
        "name": view.name,
        "classification": view.classification.name.lower(),
        "labels": sorted(view.labels),
        "files": list(view.files),
        "columns": [_described_column(column) for column in view.columns],
        "rows": [_described_condition(condition) for condition in view.conditions],
        "project": view.project,
        "k": view.k,
        "quasi_identifiers": list(view.quasi_identifiers),
    }
    return {**described, "unit": view.unit} if view.unit else described


def _described_column(column: Column) -> dict[str, object]:
    settings = {"keep": column.keep, "to": column.to, "width": column.width}
    return {
        "name": column.name,
        "mask": column.mask.value,
        **{name: value for name, value in settings.items() if value},
    }


def _described_condition(condition: Condition) -> dict[str, object]:
    several = condition.comparison in {Comparison.AMONG, Comparison.NOT_AMONG}
    value = list(condition.values) if several else condition.values[0]
    return {"column": condition.column, "is": condition.comparison.value, "value": value}
