"""The table of routes: every one is one Operation, or public and named as such. All else is refused.

Patterns are paths with `{name}` for one segment, `{+name}` for one segment in which a slash may be
encoded (RFC 6570 has that sign for it), and a final `{name*}` for one or more segments. A literal segment
wins over a placeholder, so the order of the table does not matter.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias, final

from nomoat.core.errors import Malformed
from nomoat.core.operation import Operation
from nomoat.protocols.http.exchange import Exchange

KNOWN: Final = 1024  # paths whose route was found already

Handler: TypeAlias = Callable[[Exchange, Mapping[str, str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """`method` and `pattern` lead to `handler`, which admits exactly `operation`; None means public.

    `protocol` is the word that records use for where the request came in.
    """

    method: str
    pattern: str
    protocol: str
    operation: type[Operation] | None
    handler: Handler


@final
class RouteTable:
    """Finds the one route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: Final = tuple(routes)
        self._root = _Node()
        for route in self.routes:
            self._root.add(tuple(route.pattern.removeprefix("/").split("/")), route)
        self._found = lru_cache(maxsize=KNOWN)(self._find)

    def find(self, method: str, segments: tuple[str, ...]) -> tuple[Route, Mapping[str, str]] | None:
        """The route and the values of its placeholders, or None when no route is listed."""
        return self._found(method, segments)

    def _find(self, method: str, segments: tuple[str, ...]) -> tuple[Route, Mapping[str, str]] | None:
        return self._root.find(method, segments, 0, ())


class _Node:
    """One level of the path: literals first, then placeholders, the longest suffix first, then the rest."""

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.placeholders: list[tuple[str, bool, _Node]] = []  # by suffix, such as ".git", and whether slashes may be
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}
        self.rest: dict[str, tuple[Route, tuple[str, ...]]] = {}

    def add(self, pattern: tuple[str, ...], route: Route, names: tuple[str, ...] = ()) -> None:
        if not pattern:
            if route.method in self.routes:
                raise ValueError(f"two routes for {route.method} {route.pattern}")
            self.routes[route.method] = (route, names)
            return
        first, *others = pattern
        if first.startswith("{") and first.endswith("*}"):
            self.rest[route.method] = (route, (*names, first[1:-2]))
        elif first.startswith("{"):
            name, _, suffix = first[1:].removeprefix("+").partition("}")
            self._placeholder(suffix, slashes=first.startswith("{+")).add(tuple(others), route, (*names, name))
        else:
            self.literals.setdefault(first, _Node()).add(tuple(others), route, names)

    def _placeholder(self, suffix: str, *, slashes: bool) -> "_Node":
        for known, allowed, node in self.placeholders:
            if (known, allowed) == (suffix, slashes):
                return node
        node = _Node()
        self.placeholders.append((suffix, slashes, node))
        self.placeholders.sort(key=lambda item: -len(item[0]))
        return node

    def find(
        self, method: str, segments: tuple[str, ...], at: int, values: tuple[str, ...]
    ) -> tuple[Route, Mapping[str, str]] | None:
        """The route of what follows from segment `at` on; `values` are those of the placeholders before it."""
        if at == len(segments):
            return self._match(self.routes.get(method), values)
        first = segments[at]
        literal = self.literals.get(first)
        if literal is not None and (found := literal.find(method, segments, at + 1, values)):
            return found
        for suffix, slashes, node in self.placeholders:
            if not suffix or first.endswith(suffix):
                value = first[: -len(suffix)] if suffix else first
                if not slashes and "/" in value:  # an attempt to cross the segment
                    raise Malformed("an encoded slash does not belong in this part of the path")
                found = node.find(method, segments, at + 1, (*values, value))
                if found:
                    return found
        rest = self.rest.get(method)
        return self._match(rest, (*values, "/".join(segments[at:]))) if rest else None

    @staticmethod
    def _match(
        found: tuple[Route, tuple[str, ...]] | None, values: tuple[str, ...]
    ) -> tuple[Route, Mapping[str, str]] | None:
        return (found[0], dict(zip(found[1], values, strict=True))) if found else None
