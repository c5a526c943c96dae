"""Pages (HTML): what a browser would show of them.

Rules: the standard's own parsing, by lexbor. Comments, scripts, what is marked hidden and what its own `style` takes away are not
read; how many characters the last two have is counted. A rule of a style sheet that hides something is not seen, nor is text in
the colour of its ground.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from selectolax.lexbor import LexborHTMLParser

from nomoat.documents.read import Unreadable
from nomoat.documents.texts import decoded

MOST_NODES: Final = 2_000_000
DEEPEST: Final = (
    20_000  # elements in each other: the standard's parsing takes the square of that, here a third of a second
)
_NO_TEXT: Final = frozenset((
    "script", "style", "noscript", "template", "head", "title", "iframe", "object", "noembed", "noframes", "datalist",
))  # fmt: skip
_BLOCKS: Final = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "legend", "main", "menu", "nav",
    "ol", "p", "pre", "section", "summary", "table", "ul",
))  # fmt: skip
_LINES: Final = frozenset({"br", "li", "option", "tr"})
_CELLS: Final = frozenset({"td", "th"})
_HIDDEN: Final = "[hidden], dialog:not([open])"
_COMMENTS: Final = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_ZERO: Final = re.compile(r"0*\.?0*(?:%|[a-z]+)?")
_FAR: Final = re.compile(r"-\d{3,}(?:\.\d+)?(?:[a-z]+|%)?")
_CHARSET: Final = re.compile(rb"<meta[^>]{0,256}?charset\s*=\s*[\"']?\s*([\w.:-]{1,39})", re.IGNORECASE)
_BEGINNING: Final = 1024  # bytes, in which the standard has a page say its character set
_WHITE: Final = re.compile(r"\s+")
_NEED_NO_END: Final = (
    "area|base|br|col|dd|dt|embed|hr|img|input|li|link|meta|option|p|param|source|t[dhr]|tbody|tfoot|thead|track|wbr"
)
_BEGUN: Final = re.compile(rf"<(?!(?:{_NEED_NO_END})\b)[a-z]", re.IGNORECASE)
_ENDED: Final = re.compile(r"</[a-z]|/>", re.IGNORECASE)


class Page(NamedTuple):
    """What a page shows; `hidden` is how many characters it has that it does not show."""

    title: str
    text: str
    hidden: int


def page(content: bytes) -> Page:
    """Read a page as it came, without headers that would name its character set. Raises `Unreadable`."""
    said = _CHARSET.search(content[:_BEGINNING])
    return shown(decoded(content, said[1].decode("ascii", "replace") if said else ""))


def shown(markup: str) -> Page:
    """Read a page. Raises `Unreadable`."""
    if sum(1 for _ in _BEGUN.finditer(markup)) - sum(1 for _ in _ENDED.finditer(markup)) > DEEPEST:
        raise Unreadable("its elements are too deep in each other")
    tree = LexborHTMLParser(markup)
    title = tree.css_first("head > title")
    hidden = {node.mem_id for node in tree.css(_HIDDEN)}
    hidden |= {node.mem_id for node in tree.css("[style]") if _is_styled_away(node.attributes.get("style") or "")}
    text, unseen = _text(tree.body or tree.root, hidden)
    return Page(title.text() if title is not None else "", text, unseen)


def _text(root: Any, hidden: set[int]) -> tuple[str, int]:
    """What is shown below a node, and how many characters are not."""
    parts = ["\n"]
    unseen, verbatim = 0, 0
    for entering, node, away in _walk(root, hidden):
        tag = str(node.tag)
        if tag == "-text":
            said = str(node.text_content or "")
            if away:
                unseen += len(said.strip())
            elif verbatim:
                parts.append(said)
            elif line := _spaced(said, parts[-1]):
                parts.append(line)
        elif not away:
            verbatim += (1 if entering else -1) if tag == "pre" else 0
            if tag in _BLOCKS:
                parts.append("\n\n")
            elif tag in _LINES and entering:
                parts.append("\n")
            elif tag in _CELLS and not parts[-1].endswith((" ", "\n")):
                parts.append(" ")
    return "".join(parts), unseen


def _spaced(said: str, before: str) -> str:
    """A text with one space for many, and none at the beginning of a line."""
    one = _WHITE.sub(" ", said)
    return one.lstrip() if before.endswith((" ", "\n")) else one


def _walk(root: Any, hidden: set[int]) -> Iterator[tuple[bool, Any, bool]]:
    """Each node when it is entered and, but for texts, when it is left, in order; and whether it is in something hidden."""
    node, depth, away, count = root, 0, 0, 0  # away: at which depth what is hidden began, counted from 1
    while node is not None:
        count += 1
        if count > MOST_NODES:
            raise Unreadable("it has too many elements")
        if not away and node.mem_id in hidden:
            away = depth + 1
        yield True, node, bool(away)
        inner = None if node.tag in _NO_TEXT else node.child
        if inner is not None:
            node, depth = inner, depth + 1
            continue
        while True:
            if node.tag != "-text":
                yield False, node, bool(away)
            away = 0 if away == depth + 1 else away
            if depth == 0:
                return
            if node.next is not None:
                node = node.next
                break
            node, depth = node.parent, depth - 1


def _is_styled_away(style: str) -> bool:
    for declaration in _COMMENTS.sub("", style.lower()).split(";"):
        name, _, said = declaration.partition(":")
        value = said.removesuffix("!important").strip() if "!" in said else said.strip()
        match name.strip():
            case "display":
                away = value == "none"
            case "visibility":
                away = value in {"hidden", "collapse"}
            case "font-size" | "opacity":
                away = _ZERO.fullmatch(value) is not None and "0" in value
            case "left" | "top" | "text-indent" | "margin-left" | "margin-top":
                away = _FAR.fullmatch(value) is not None
            case _:
                away = False
        if away:
            return True
    return False
