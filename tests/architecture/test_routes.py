"""Every route is one Operation or on the public list, and every Operation can be reached."""

import ast
import inspect
import textwrap
from collections.abc import Iterator

import pytest

from nomoat.protocols.http.routes import Route, RouteTable
from tests.architecture.test_resources import OPERATIONS
from tests.architecture.tree import modules

# What anyone may have without a credential, and why. Everything else walks the path.
PUBLIC = {
    "GET /v1/ca": "clients check it against the fingerprint in their one-time code",
    "GET /v1/checkpoint": "whoever keeps one can prove later that the log was rolled back",
    "HEAD /": "a client of models asks whether somebody is here; it is told that, and nothing else",
    "GET /v1/consistency": "whoever kept one is shown that the log still begins with it; hashes of salted hashes only",
    "GET /v1/log/checkpoint": "a monitor begins here; the same as the one above, when its witnesses have seen it",
    "GET /v1/log/tile/{level}/{index*}": "what proofs are made of: hashes of salted hashes only",
}

WITHIN = {"ReleaseAnswer": "InvokeModel", "ReadPassages": "SearchIndex"}
"""Operations without a route: they are asked for within the access of another one, by its handler."""


def listed() -> Iterator[Route]:
    """The routes of every protocol, from instances that are wired to nothing."""
    for module in modules("nomoat.protocols"):
        for defined in vars(module).values():
            if inspect.isclass(defined) and defined.__module__ == module.__name__ and hasattr(defined, "routes"):
                listing = getattr(object.__new__(defined), "routes")  # noqa: B009  # untyped on purpose: any protocol
                if callable(listing):
                    yield from listing()


@pytest.fixture(scope="module")
def routes() -> list[Route]:
    """Every route that the gateway serves."""
    return list(listed())


def names_of_operations(function: object) -> set[str]:
    """The Operations that a handler, or a method of the same object that it calls, constructs."""
    assert inspect.ismethod(function), function
    owner, todo = function.__self__, [function.__name__]
    seen, found = set[str](), set[str]()
    while todo:
        name = todo.pop()
        seen.add(name)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(getattr(owner, name))))):
            if isinstance(node, ast.Name) and node.id in OPERATIONS:
                found.add(node.id)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self" and node.attr not in seen:
                todo += [node.attr] if inspect.ismethod(getattr(owner, node.attr, None)) else []
    return found


def test_no_two_routes_are_the_same(routes: list[Route]) -> None:
    assert len(RouteTable(routes).routes) == len(routes) > 0


def test_only_the_public_list_is_public(routes: list[Route]) -> None:
    assert {f"{route.method} {route.pattern}" for route in routes if route.operation is None} == set(PUBLIC)


def test_every_operation_has_a_route(routes: list[Route]) -> None:
    assert {route.operation.__name__ for route in routes if route.operation} == set(OPERATIONS) - set(WITHIN)


def test_every_handler_asks_for_the_operation_of_its_route(routes: list[Route]) -> None:
    def expected(route: Route) -> set[str]:
        own = {route.operation.__name__} if route.operation else set[str]()
        return own | {within for within, outer in WITHIN.items() if outer in own}

    wrong = {
        f"{route.method} {route.pattern}": asked
        for route in routes
        if (asked := names_of_operations(route.handler)) != expected(route)
    }
    assert wrong == {}
