"""Chat templates: parsed as Jinja, never run, and judged by what they contain.

Rules: an allow-list of what chat templates need. A call is of a name or of a method that is listed; whoever cannot
call anything else cannot do harm with what they reach, and who reaches for internals is refused at once.
"""

import re
from collections.abc import Iterator
from typing import Final

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from nomoat.inspection.content import Inspection, words
from nomoat.inspection.lookups import Lookups

LONGEST: Final = 1 << 20  # characters
_FUNCTIONS: Final = frozenset({"raise_exception", "strftime_now", "namespace", "range", "dict", "caller"})
_METHODS: Final = words(
    """
    append capitalize count endswith find get index isalpha isdigit islower isspace isupper items keys lower lstrip
    partition removeprefix removesuffix replace rfind rpartition rsplit rstrip split splitlines startswith strftime
    strip title upper values
    """
)
_FILTERS: Final = words(
    """
    abs batch capitalize count d default dictsort e escape first float forceescape from_json fromjson indent int
    items join last length list lower map max min pprint random reject rejectattr replace reverse round safe select
    selectattr slice sort string striptags strftime sum title tojson tojson_unicode trim truncate unique upper
    urlencode wordcount
    """
)
_GADGETS: Final = frozenset(
    {"cycler", "joiner", "lipsum", "self", "get_flashed_messages", "url_for", "request", "config"}
)
_LOADS: Final = (nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends)
INTERNALS: Final = re.compile(
    r"__(?:class|base|bases|mro|subclasses|globals|builtins|init|import|getattribute|dict|code|closure|func|self|module"
    r"|loader|spec|call|new|reduce|reduce_ex|getitem|wrapped|name|qualname|doc|enter|exit|del|file|path)__"
    r"|\b(?:f_globals|f_back|f_locals|f_builtins|gi_frame|gi_code|cr_frame|ag_frame|tb_frame|func_globals|co_code|mro)\b"
)
_STATEMENT: Final = re.compile(
    r"\{%[-+]?\s*(?:if|for|set|macro|generation|import|include|extends|from|call|filter|block)\b"
)


# A lookup by what may be put together, or a variable that may hold such a name: what else there is, is not parsed.
_LOOKUP: Final = re.compile(
    r"\{[{%][^\n]{0,400}?(?:\[[^\n]{0,200}?(?:[~+%*|(:\\]|['\"]\s+['\"])|attribute|attr)|\{%[-+]?\s*(?:set|for|with|macro)\b"
)
_NO_TEMPLATE: Final = (TemplateError, RecursionError, ValueError, OverflowError)


class _Generation(Extension):
    """`{% generation %}` … `{% endgeneration %}`, which transformers adds to mark what a model says."""

    tags = {"generation"}  # noqa: RUF012  (as Jinja declares it)

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the body as a block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


_ENVIRONMENT: Final = Environment(extensions=[_Generation, loopcontrols], autoescape=False, cache_size=0)  # noqa: S701  (it renders nothing)


def is_template(text: str) -> bool:
    """Whether a text is written as a template: it has a statement, or an expression that reaches for internals."""
    if len(text) > LONGEST:
        return False
    return _has_statement(text) or reaches(text)


def _has_statement(text: str) -> bool:
    return _STATEMENT.search(text) is not None


def reaches(text: str) -> bool:
    """Whether a text has an expression that reaches for internals, or looks something up by a name that it composes."""
    if "{{" not in text and "{%" not in text:
        return False
    if INTERNALS.search(text) is not None:
        return True
    if len(text) > LONGEST or _LOOKUP.search(text) is None:
        return False
    try:
        tree = Parser(_ENVIRONMENT, text).parse()
    except _NO_TEMPLATE:
        return False
    internals = any(_internal(node) is not None for node in _every(tree))
    return internals or next(Lookups(tree, sure=False).composed(), None) is not None


def is_harmless(text: str) -> bool:
    """Whether nothing would be found in a text if it were a template; in what is none, nothing is."""
    aside = Inspection()
    inspect_template(text, aside)
    return all(each.rule == "template.malformed" for each in aside.found)


def inspect_template(text: str, inspection: Inspection, name: str = "", *, sure: bool = True) -> bool:
    """Judge a template; `name` says which. Unless it is `sure` to be one, what does not parse is none: False."""
    if len(text) > LONGEST:
        inspection.find("template.malformed", f"{name}: {len(text)} characters")
        return True
    try:
        tree = Parser(_ENVIRONMENT, text).parse()  # `Environment.parse` opens files to explain an error
    except _NO_TEMPLATE as error:
        if sure:
            inspection.find("template.malformed", f"{name}: {type(error).__name__}: {error}")
        return sure
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    composed = (("template.composed", what) for what in Lookups(tree, sure=sure or _has_statement(text)).composed())
    for rule, what in (*_judged(tree, macros), *composed):
        inspection.find(rule, f"{name}: {what}" if name else what)
    return True


def _judged(tree: nodes.Template, macros: set[str]) -> Iterator[tuple[str, str]]:
    assigned = {each.name for each in tree.find_all(nodes.Name) if each.ctx in {"store", "param"}}
    functions = (_FUNCTIONS | macros) - assigned
    methods = {each.node.attr for each in tree.find_all(nodes.Call) if isinstance(each.node, nodes.Getattr)}
    for node in _every(tree):
        if (internal := _internal(node)) is not None:
            yield "template.dunder", internal
        elif isinstance(node, _LOADS):
            yield "template.load", f"line {node.lineno}"
        elif (what := _unusual(node, functions, methods)) is not None:
            yield "template.call", what


def _every(tree: nodes.Node) -> Iterator[nodes.Node]:
    """Every node, without recursion."""
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.iter_child_nodes())


def _internal(node: nodes.Node) -> str | None:
    """The internals of Python that a node reaches for, if any."""
    if isinstance(node, nodes.Getattr) and (node.attr.startswith("_") or INTERNALS.search(node.attr)):
        return node.attr
    if isinstance(node, nodes.Const) and isinstance(node.value, str) and INTERNALS.search(node.value):
        return node.value
    return None


def _unusual(node: nodes.Node, functions: frozenset[str], methods: set[str]) -> str | None:
    """What a node calls, or lets be called, that chat templates have no use for."""
    if isinstance(node, nodes.Call):
        return _called(node, functions)
    if isinstance(node, nodes.Name):
        return node.name if node.name in _GADGETS and node.ctx == "load" else None
    if isinstance(node, nodes.Filter):
        return _filtered(node)
    return _renamed(node, methods) if isinstance(node, (nodes.NSRef, nodes.Keyword, nodes.Pair)) else None


def _filtered(node: nodes.Filter) -> str | None:
    """The filter, if it is none of what may be, also the one that `map` takes by its name."""
    mapped = node.args[0] if node.name == "map" and node.args else None
    if node.name in _FILTERS and (mapped is None or (isinstance(mapped, nodes.Const) and mapped.value in _FILTERS)):
        return None
    return f"filter {node.name}" if mapped is None else "map by another filter"


def _called(call: nodes.Call, names: frozenset[str]) -> str | None:
    """What is called, if it is none of what may be, or as it need not be."""
    what = call.node
    if isinstance(what, nodes.Name):
        if what.name in {"dict", "namespace"} and (call.args or call.dyn_args or call.dyn_kwargs):
            return f"{what.name} of names that are no texts"  # a value under the name of any method
        return None if what.name in names else what.name
    if isinstance(what, nodes.Getattr):
        return None if what.attr in _METHODS else what.attr
    return f"what {type(what).__name__} returns"


def _renamed(node: nodes.NSRef | nodes.Keyword | nodes.Pair, methods: set[str]) -> str | None:
    """A value under the name of a method that is called, so that the call would call the value."""
    if isinstance(node, nodes.NSRef):
        name: object = node.attr
    elif isinstance(node, nodes.Keyword):
        name = node.key
    elif isinstance(node.key, nodes.Const):
        name = node.key.value
    else:
        return None if isinstance(node.value, nodes.Const) else "a key that is computed"
    harmless = not isinstance(node, nodes.NSRef) and isinstance(node.value, nodes.Const)
    return f"{name} under the name of a method" if name in methods and not harmless else None
