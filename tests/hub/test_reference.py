"""docs/reference/hub.md lists exactly the routes that are served."""

from pathlib import Path

from nomoat.protocols.http.routes import Route
from nomoat.protocols.hub import DatasetEndpoints, HubEndpoints, ModelEndpoints
from nomoat.protocols.hub.browsing import BrowsingEndpoints
from nomoat.protocols.hub.references import DatasetReferences, ManagementEndpoints, ModelReferences

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "hub.md"


EVERY = (
    DatasetEndpoints,
    DatasetReferences,
    ModelEndpoints,
    ModelReferences,
    HubEndpoints,
    ManagementEndpoints,
    BrowsingEndpoints,
)
Endpoints = (
    DatasetEndpoints
    | DatasetReferences
    | ModelEndpoints
    | ModelReferences
    | HubEndpoints
    | ManagementEndpoints
    | BrowsingEndpoints
)


def table(routes: list[Route]) -> str:
    lines = ["| route | Operation |", "|---|---|"]
    for route in routes:
        operation = route.operation.__name__ if route.operation else "public"
        lines.append(f"| `{route.method} {route.pattern}` | {operation} |")
    return "\n".join(lines)


def unwired(endpoints: type[Endpoints]) -> list[Route]:
    """The routes of a protocol's class that is wired to nothing."""
    return object.__new__(endpoints).routes()


def test_the_reference_has_every_route() -> None:
    text = DOCUMENT.read_text("utf-8")
    for endpoints in EVERY:
        assert table(unwired(endpoints)) in text, (
            f"docs/reference/hub.md: put this there\n\n{table(unwired(endpoints))}"
        )


def test_the_reference_has_no_other_route() -> None:
    every = [route for each in EVERY for route in unwired(each)]
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) == len(every)
