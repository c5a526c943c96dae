"""What a template looks values up by: names that it composes reach what no list of names has.

Rules: Jinja takes `x['a']` for the attribute `a` where there is no such item, so whoever composes that text reaches any
attribute (`''['__cl' ~ 'ass__']`). A name is composed where a text of the author's was put together with another,
changed or rendered, or comes from the tokenizer's configuration. What cannot be followed counts as composed.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from jinja2 import nodes

from nomoat.inspection.content import words

_GIVEN: Final = words("messages message tools documents functions custom_tools builtin_tools loop range")
"""Variables whose values come from who uses a model; of others, its author may set the values (special tokens)."""

_JOINING: Final = (nodes.Concat, nodes.Add, nodes.Mul, nodes.Mod)
_NUMBERS: Final = (nodes.Sub, nodes.Div, nodes.FloorDiv, nodes.Pow, nodes.Neg, nodes.Pos, nodes.Not, nodes.Compare)
_HOLDING: Final = (nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.CondExpr, nodes.And, nodes.Or, nodes.Keyword)
_COUNTING: Final = words(
    "length count int float round abs index find rfind startswith endswith isdigit isalpha wordcount"
)
_TAKING: Final = words(
    """
    first last list default d items keys values get split rsplit partition rpartition splitlines strip lstrip rstrip
    trim safe sort unique select reject selectattr rejectattr dictsort batch slice min max random
    """
)
"""Filters and methods that return what they are given, or a part of it."""

_GIVEN_TO_MACROS: Final = "(given to macros)"
_BY_ATTRIBUTE: Final = words("map select reject selectattr rejectattr sort sum min max unique")


_Within: TypeAlias = tuple[Sequence[nodes.Node | None], bool]


class Lookups:
    """The lookups of one template. With `sure`, variables that nobody set count as the author's."""

    def __init__(self, tree: nodes.Template, *, sure: bool) -> None:
        self._tree = tree
        self._sure = sure
        self._bound: defaultdict[str, list[nodes.Node | None]] = defaultdict(list)  # None: a text that is rendered
        self._attributes: defaultdict[str, list[nodes.Node]] = defaultdict(list)
        self._bind()

    def composed(self) -> Iterator[str]:
        """Where something is first looked up by a composed name, if anything is."""
        keys = [node.arg for node in self._tree.find_all(nodes.Getitem)]
        keys += [key for node in self._tree.find_all(nodes.Filter) for key in _keys(node)]
        seen: set[tuple[str, bool]] = set()  # of all keys: what was not composed for one is not for the next
        for key in keys:
            if self._is_composed(key, seen, changed=False):
                yield f"a name that is composed in line {key.lineno}"
                return

    def _bind(self) -> None:
        for each in self._tree.find_all(nodes.Assign):
            self._set(each.target, each.node)
        for rendered in self._tree.find_all(nodes.AssignBlock):
            self._set(rendered.target, None)
        for loop in self._tree.find_all(nodes.For):
            over = loop.iter
            # The items of a part of a list are those of the list.
            self._set(
                loop.target,
                over.node if isinstance(over, nodes.Getitem) and isinstance(over.arg, nodes.Slice) else over,
            )
        for within in self._tree.find_all(nodes.With):
            for target, value in zip(within.targets, within.values, strict=True):
                self._set(target, value)
        self._bind_parameters()
        for keyword in self._tree.find_all(nodes.Keyword):
            self._attributes[keyword.key].append(keyword.value)
        for pair in self._tree.find_all(nodes.Pair):
            name: object = pair.key.value if isinstance(pair.key, nodes.Const) else None
            self._attributes[name if isinstance(name, str) else ""].append(pair.value)

    def _bind_parameters(self) -> None:
        """A parameter may be whatever any macro is called with."""
        for macro in self._tree.find_all(nodes.Macro):
            self._take(macro.args, macro.defaults)
        for block in self._tree.find_all(nodes.CallBlock):
            self._take(block.args, block.defaults)
        for call in self._tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name):
                self._bound[_GIVEN_TO_MACROS] += [*call.args, *(each.value for each in call.kwargs)]

    def _take(self, parameters: Sequence[nodes.Name], defaults: Sequence[nodes.Node]) -> None:
        self._bound[_GIVEN_TO_MACROS] += defaults
        for each in parameters:
            self._bound[each.name].append(nodes.Name(_GIVEN_TO_MACROS, "load"))

    def _set(self, target: nodes.Node, value: nodes.Node | None) -> None:
        for each in target.find_all(nodes.Name) if not isinstance(target, nodes.Name) else [target]:
            self._bound[each.name].append(value)
        if isinstance(target, nodes.NSRef):
            if value is None:
                self._bound[target.name].append(None)
            else:
                self._attributes[target.attr].append(value)

    def _is_composed(self, node: nodes.Node | None, seen: set[tuple[str, bool]], *, changed: bool) -> bool:
        """Whether a value may be a composed text; `changed` says that it is put together or changed further on."""
        if node is None:
            return True
        if isinstance(node, nodes.Const):
            return changed and isinstance(node.value, str) and node.value != ""
        if isinstance(node, nodes.Name):
            return self._is_name_composed(node.name, seen, changed=changed)
        within, changed = self._within(node, seen, changed=changed)
        return any(self._is_composed(each, seen, changed=changed) for each in within)

    def _within(self, node: nodes.Node, seen: set[tuple[str, bool]], *, changed: bool) -> _Within:
        """What a value is made of, and whether that is changed."""
        held = list(node.iter_child_nodes())
        if isinstance(node, (nodes.Filter, nodes.Call)):
            return _of_call(node, changed=changed)
        if isinstance(node, nodes.Getitem):
            return [node.node], changed or isinstance(node.arg, nodes.Slice)
        if isinstance(node, nodes.Getattr):
            return [*held, *self._of_attribute(node.attr, seen, changed=changed)], changed
        if isinstance(node, (*_NUMBERS, nodes.Slice, nodes.Test)):
            return [], changed
        return held if isinstance(node, (*_HOLDING, *_JOINING)) else [None], changed or isinstance(node, _JOINING)

    def _is_name_composed(self, name: str, seen: set[tuple[str, bool]], *, changed: bool) -> bool:
        if name not in self._bound:
            return self._sure and name not in _GIVEN
        if (name, changed) in seen:
            return False
        seen.add((name, changed))
        return any(self._is_composed(each, seen, changed=changed) for each in self._bound[name])

    def _of_attribute(self, name: str, seen: set[tuple[str, bool]], *, changed: bool) -> list[nodes.Node]:
        """What was set as an attribute of this name, of whatever."""
        if (f".{name}", changed) in seen:
            return []
        seen.add((f".{name}", changed))
        return [*self._attributes[name], *self._attributes[""]]


def _keys(node: nodes.Filter) -> list[nodes.Expr]:
    """What a filter looks something up by."""
    named = [each.value for each in node.kwargs if each.key == "attribute"]
    if node.name in _BY_ATTRIBUTE:
        return [*node.args, *named]
    return [*node.args[1:], *named] if node.name == "join" else named


def _of_call(node: nodes.Filter | nodes.Call, *, changed: bool) -> _Within:
    """What a call or a filter returns is made of."""
    name = node.name if isinstance(node, nodes.Filter) else _called(node.node)
    if name in _COUNTING or name == "range":
        return [], changed
    given = [*node.args, *node.kwargs]
    if isinstance(node, nodes.Filter):
        return [node.node, *given], changed or name not in _TAKING
    if isinstance(node.node, nodes.Getattr):
        return [node.node.node, *given], changed or name not in _TAKING
    return given if name in {"namespace", "dict"} else [None], changed  # a macro renders a text


def _called(what: nodes.Node) -> str:
    if isinstance(what, nodes.Name):
        return what.name
    return what.attr if isinstance(what, nodes.Getattr) else ""
