"""The gateway's routes for metrics, as typed calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from nomoat.client.errors import Unintelligible
from nomoat.client.gateway import Gateway
from nomoat.client.transport import Answer
from nomoat.core.names import RepositoryName


@dataclass(frozen=True, slots=True)
class Left:
    """The epsilon that is left: of the dataset's budget, of the caller's own; `closed` says why nothing is ('')."""

    dataset: float
    person: float
    closed: str


def list_metrics(gateway: Gateway, dataset: RepositoryName) -> tuple[Answer, Left]:
    """Return the metrics of a dataset with its budget, and what is left of it."""
    answer = gateway.call("GET", f"/v1/metrics/{dataset}")
    return answer, _left(answer)


def read_metric(gateway: Gateway, dataset: RepositoryName, metric: str, revision: str) -> tuple[Answer, Left]:
    """Have a metric of a revision told; return the answer, and what is left of the budget."""
    answer = gateway.call("POST", f"/v1/metrics/{dataset}/{metric}", {"revision": revision})
    return answer, _left(answer)


def reopen_budget(gateway: Gateway, dataset: RepositoryName, reason: str) -> tuple[Answer, Left]:
    """Open a dataset's budget again after a restore; return what is left of it."""
    answer = gateway.call("POST", f"/v1/budget/{dataset}/reopen", {"reason": reason})
    return answer, _left(answer)


def rows(answer: Answer, name: str) -> list[Mapping[str, object]]:
    """A list of objects in an answer. Raises `Unintelligible`."""
    found = answer.get(name)
    entries = cast("list[object]", found) if isinstance(found, list) else [None]
    if not all(isinstance(entry, dict) for entry in entries):
        raise Unintelligible(f"its answer has no proper {name!r}")
    return cast("list[Mapping[str, object]]", entries)


def number(answer: Mapping[str, object], name: str) -> float:
    """A number in an answer. Raises `Unintelligible`."""
    found = answer.get(name)
    if not isinstance(found, (int, float)) or isinstance(found, bool):
        raise Unintelligible(f"its answer has no proper {name!r}")
    return found


def _left(answer: Answer) -> Left:
    found = answer.get("left")
    left = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    return Left(number(left, "dataset"), number(left, "person"), str(left.get("closed", "")))
