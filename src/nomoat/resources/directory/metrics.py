"""Metrics in the words of a declaration: parsed strictly, and written back as they were meant.

Rules: what the noise depends on is stated, finite and within limits, or refused: infinite bounds, no bounds, an epsilon
that is none. Names of values and columns are anybody's text, but printable.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, cast

from nomoat.core.errors import Malformed
from nomoat.core.metrics import MILLION, Budget, Metric, MetricKind
from nomoat.core.names import parse_subject_name

METRIC_FIELDS: Final = frozenset({
    "name", "kind", "files", "epsilon", "column", "bounds", "edges", "group", "values", "minimum", "person", "rows",
})  # fmt: skip
BUDGET_FIELDS: Final = frozenset({"metrics", "budget", "person_budget"})

MOST_METRICS: Final = 64
MOST_VALUES: Final = 1_000
MOST_EDGES: Final = 257
MOST_CELLS: Final = 4_096
MOST_ROWS: Final = 10_000  # of one person
LEAST_EPSILON: Final = 1_000  # a thousandth; so that a budget is spent in a bounded number of releases
MOST_EPSILON: Final = 100 * MILLION
LARGEST: Final = 1e15  # of bounds and edges

_NUMERIC: Final = {MetricKind.SUM, MetricKind.MEAN}
_PIECES: Final = {MetricKind.SUM: "bounds", MetricKind.MEAN: "bounds", MetricKind.HISTOGRAM: "edges"}


def parse_metrics(table: Mapping[str, object]) -> tuple[tuple[Metric, ...], Budget]:
    """The metrics and the budget in the table of a dataset. Raises `Malformed`."""
    entries = _list(table.get("metrics", []), "metrics is a list of tables: write [[dataset.metrics]] for each")
    if len(entries) > MOST_METRICS:
        raise Malformed(f"a dataset has at most {MOST_METRICS} metrics")
    metrics = tuple(_metric(entry) for entry in entries)
    if len({metric.name for metric in metrics}) != len(metrics):
        raise Malformed("two metrics have one name")
    budget = _budget(table)
    if metrics and not budget.total:
        raise Malformed("metrics need a budget: the most epsilon that all releases together may spend")
    for metric in metrics:
        if metric.epsilon > budget.person:
            raise Malformed(f"metric {metric.name}: one release costs more than a person's budget")
    return metrics, budget


def _budget(table: Mapping[str, object]) -> Budget:
    if "budget" not in table:
        if "person_budget" in table:
            raise Malformed("person_budget is a part of budget, which is missing")
        return Budget()
    total = _epsilon(table["budget"], "budget")
    person = _epsilon(table["person_budget"], "person_budget") if "person_budget" in table else total
    if person > total:
        raise Malformed("person_budget is at most budget")
    return Budget(total, person)


def _metric(entry: object) -> Metric:
    if not isinstance(entry, dict):
        raise Malformed("metrics is a list of tables: write [[dataset.metrics]] for each")
    table = cast("dict[str, object]", entry)
    name = parse_subject_name(_text(table, "name", "metrics without a name"))
    try:
        if unknown := table.keys() - METRIC_FIELDS:
            raise Malformed(f"no field {min(unknown)!r:.80}; it has {', '.join(sorted(METRIC_FIELDS))}")
        return _checked(_parsed(name, table))
    except Malformed as error:
        raise Malformed(f"metric {name}: {error.reason}") from None


def _parsed(name: str, table: Mapping[str, object]) -> Metric:
    try:
        kind = MetricKind(_text(table, "kind"))
    except ValueError:
        raise Malformed("kind is count, sum, mean or histogram") from None
    return Metric(
        name=name,
        kind=kind,
        files=_text(table, "files", "it needs files, such as 'data/*.parquet'"),
        epsilon=_epsilon(table.get("epsilon"), "epsilon"),
        column=_text(table, "column"),
        bounds=_pair(_numbers(table, "bounds", 2)),
        edges=_numbers(table, "edges", MOST_EDGES),
        group=_text(table, "group"),
        values=tuple(_word(each) for each in _list(table.get("values", []), "values is a list of texts")),
        minimum=_whole(table, "minimum", 10, 1_000_000),
        person=_text(table, "person"),
        rows=_whole(table, "rows", 1, MOST_ROWS),
    )


def _checked(metric: Metric) -> Metric:
    needs = _PIECES.get(metric.kind, "")
    if bool(metric.column) != bool(needs):
        raise Malformed(f"a {metric.kind} {'needs' if needs else 'has no'} column")
    if bool(any(metric.bounds)) != (needs == "bounds") or (metric.kind in _NUMERIC and not _rising(metric.bounds)):
        raise Malformed("bounds are the two numbers, the lower one first, that values of a sum or mean are clamped to")
    if bool(metric.edges) != (needs == "edges") or (metric.edges and not _rising(metric.edges)):
        raise Malformed("edges are the two or more rising numbers between which a histogram counts")
    if bool(metric.group) != bool(metric.values) or len(set(metric.values)) != len(metric.values):
        raise Malformed("a group needs its values, each once: groups are declared, never found in the data")
    if len(metric.values) > MOST_VALUES or max(1, len(metric.values)) * max(1, len(metric.edges) - 1) > MOST_CELLS:
        raise Malformed(f"at most {MOST_VALUES} values, and {MOST_CELLS} groups and bins together")
    if metric.rows != 1 and not metric.person:
        raise Malformed("rows are of one person: say which column names the person")
    return metric


def _rising(numbers: Sequence[float]) -> bool:
    return len(numbers) > 1 and all(low < high for low, high in pairwise(numbers))


def _pair(numbers: Sequence[float]) -> tuple[float, float]:
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0.0, 0.0)


def _epsilon(value: object, field: str) -> int:
    said = Malformed(
        f"{field} is from {LEAST_EPSILON / MILLION} to {MOST_EPSILON // MILLION}, in millionths at the finest"
    )
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise said
    scaled = value * MILLION
    epsilon = round(scaled)
    if abs(scaled - epsilon) > 1e-3 or not LEAST_EPSILON <= epsilon <= MOST_EPSILON:
        raise said
    return epsilon


def _numbers(table: Mapping[str, object], field: str, most: int) -> tuple[float, ...]:
    found = _list(table.get(field, []), f"{field} is a list of numbers")
    if len(found) > most or (field == "bounds" and len(found) not in {0, 2}):
        raise Malformed(f"{field} is a list of {most} numbers{' at most' if field != 'bounds' else ''}")
    return tuple(_number(each, field) for each in found)


def _number(value: object, field: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= LARGEST:
        raise Malformed(f"{field} are finite numbers, at most {LARGEST:.0e} in size")
    return float(value)


def _whole(table: Mapping[str, object], field: str, default: int, most: int) -> int:
    value = table.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise Malformed(f"{field} is a whole number from 1 to {most}")
    return value


def _text(table: Mapping[str, object], field: str, needed: str = "") -> str:
    value = table.get(field, "")
    if not isinstance(value, str) or len(value) > 512 or not value.isprintable():
        raise Malformed(f"{field} is a text of at most 512 printable characters")
    if needed and not value:
        raise Malformed(needed)
    return value


def _word(value: object) -> str:
    return _text({"values": value}, "values")


def _list(value: object, said: str) -> list[object]:
    if not isinstance(value, list):
        raise Malformed(said)
    return cast("list[object]", value)


# -- canonical form -----------------------------------------------------------------------------------


def described_metrics(metrics: Sequence[Metric], budget: Budget) -> dict[str, object]:
    """The fields of a dataset that say so, in the words of the TOML document; none where there are no metrics."""
    described: dict[str, object] = {}
    if metrics:
        described["metrics"] = [described_metric(metric) for metric in metrics]
    if budget.total:
        described |= {"budget": budget.total / MILLION, "person_budget": budget.person / MILLION}
    return described


def described_metric(metric: Metric) -> dict[str, object]:
    """A metric, in the words of the TOML document; what it does not have is left out."""
    described: dict[str, object] = {"name": metric.name, "kind": metric.kind.value, "files": metric.files}
    described |= {"epsilon": metric.epsilon / MILLION, "minimum": metric.minimum}
    if metric.column:
        described["column"] = metric.column
    if any(metric.bounds):
        described["bounds"] = list(metric.bounds)
    if metric.edges:
        described["edges"] = list(metric.edges)
    if metric.group:
        described |= {"group": metric.group, "values": list(metric.values)}
    if metric.person:
        described |= {"person": metric.person, "rows": metric.rows}
    return described
