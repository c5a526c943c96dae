"""Texts: JSON, scripts, Python, templates, marked-up ones, and those that are nothing but text.

Rules: a text is UTF-8, or in one byte per character and mostly ASCII, to its end; it is read in blocks, so that its
size does not matter. Python is what Python parses and what does something.
"""

import ast
import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nomoat.inspection.content import Bytes, Exhausted, Inspection, Malformed, blocks_of
from nomoat.inspection.documents import LARGEST, inspect_json
from nomoat.inspection.templates import INTERNALS, LONGEST, inspect_template, is_harmless, is_template

# Python opens the file that it is told a wrong source is from; no file system can have this name.
_NO_FILE: Final = "\ud800"
_LONGEST_SOURCE: Final = 256 << 10  # of a longer one, the beginning
_FIRST_LINES: Final = 4 << 20  # bytes that two lines of JSON fit into
_LARGEST_WIDE: Final = 16 << 20  # of UTF-16 and UTF-32, which are converted in memory
_MOST_MARKUP: Final = 64 << 20  # bytes of marked-up text that are searched
_OVERLAP: Final = 1024  # bytes of a block that are searched with the next one too
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b")) + b"\x7f"
_YAML_TAG: Final = re.compile(rb"!(?:!?python/|!\S{0,80}%[0-9A-Fa-f]{2}|<[^>\s]{0,80}%)")
_OBJECT_WORDS: Final = (b"_target_", b"loader_module")  # Hydra's, MLflow's
_OBJECT: Final = re.compile(rb"\b_target_[\"']?\s*[:=]|\bloader_module\s*:\s*(?!mlflow\b)\S")
_YAML_WORDS: Final = (b"tag:yaml.org,2002:python", b"%TAG ", b"%TAG\t")
_MARKUP: Final = re.compile(
    rb"<\s*(?:[\w.-]{1,40}:)?(?:script|iframe|object|embed|applet|foreignobject|handler|listener|include"
    rb"|meta[^>]{0,200}http-equiv)\b|(?:java|vb)script\s*:|<!entity"
    # A document type of another place, but for the W3C's.
    rb"|<!doctype(?!\s+\w+\s+public\s*[\"']-//w3c//dtd [^\"'<>]{1,80}[\"']\s*(?:[\"']https?://www\.w3\.org/[^\"'<>]{0,200}[\"'])?\s*[>\[])"
    rb"[^>\[]{0,1000}\b(?:system|public)\b"
    # In no tag: a value of an attribute may hold any sign, and be of any length. `&#` spells a scheme in other signs.
    rb"|data\s*:\s*text/html|[\s\"'/]on[a-z]{3,40}\s*=|(?:href|src|action|values|to|from)\s*=\s*[\"']?\s*[a-z]{0,16}&(?:#|tab|newline|colon)"
    rb"|attributename\s*=\s*[\"']?on|xml-stylesheet|<\?php|<%",
    re.IGNORECASE,
)
_BROKEN: Final = re.compile(rb"(?:href|src|action)\s*=\s*[\"']?\s*[a-z]{0,12}[\t\r\n][a-z\t\r\n]{0,24}:", re.IGNORECASE)
_JSON: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*"|\[\s*[\[{"])')
_STATEMENT: Final = re.compile(r"\n(?=[A-Za-z_@#])")
_DOING: Final = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.With, ast.AsyncWith),
    *(ast.For, ast.AsyncFor, ast.While, ast.If, ast.Try, ast.Call, ast.Await),
)
_RUNNING: Final = frozenset({"__import__", "exec", "eval", "compile", "__builtins__", "globals", "getattr", "open"})
_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def is_text(head: bytes) -> bool:
    """Whether a content begins as text."""
    if any(head.startswith(mark) for mark, _ in _WIDE):
        return True
    if head.translate(None, _CONTROLS) != head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        ascii_ = sum(byte < 0x80 for byte in head)
        return len(head) >= 64 and ascii_ >= len(head) * 8 // 10
    return True


def widened(head: bytes, content: Bytes) -> bytes | None:
    """A text in UTF-16 or UTF-32, in UTF-8; None for any other. Raises `Malformed`."""
    for mark, encoding in _WIDE:
        if head.startswith(mark):
            if content.size > _LARGEST_WIDE:
                raise Malformed(f"{encoding} of {content.size} bytes")
            try:
                return content.at(0, content.size).decode(encoding).encode()
            except UnicodeError as error:
                raise Malformed(f"no {encoding}: {error}") from None
    return None


def inspect_text(content: Bytes, inspection: Inspection) -> str:
    """Judge a text; returns its format. Raises `Malformed`."""
    begin = content.at(0, min(content.size, 4096)).removeprefix(codecs.BOM_UTF8).lstrip()
    if begin[:1] in {b"{", b"["} and content.size <= LARGEST:
        form = _json(content, inspection)
        if form is not None:
            return form
    seen, written_as = _read(content, begin, inspection), "text"
    if begin.startswith((b"#!", b"%!PS")):
        inspection.find("script.shebang", begin.split(b"\n")[0].decode("utf-8", "replace"))
        return "script"
    if seen.braces and content.size <= LONGEST:
        text = content.at(0, content.size).decode("utf-8-sig", "replace")
        if is_template(text) and inspect_template(text, inspection, sure=False):
            return "jinja"
        written_as = "text" if is_harmless(text) else "expressions"
    elif seen.braces:
        written_as = "expressions"
        if seen.internals:
            inspection.find("template.dunder", f"a text of more than {LONGEST} characters")
    if (what := _python(_source(content))) is not None:
        inspection.find("python.source", what)
        return "python"
    if content.size > LARGEST and _JSON.match(begin) and not _in_lines(content.at(0, _FIRST_LINES)):
        raise Malformed(f"JSON of {content.size} bytes")
    return "markup" if begin[:1] == b"<" else written_as


def _source(content: Bytes) -> str:
    """What is whole of a text's beginning: of a long one, up to the last line that begins a statement."""
    text = content.at(0, min(content.size, _LONGEST_SOURCE)).decode("utf-8-sig", "replace")
    if content.size > _LONGEST_SOURCE:
        return text[: max((each.start() for each in _STATEMENT.finditer(text)), default=0)]
    return text


def _json(content: Bytes, inspection: Inspection) -> str | None:
    """Judge a text as JSON; None if it is lines of JSON, or a text in brackets."""
    data = content.at(0, content.size)
    aside = inspection.aside()
    try:
        form = inspect_json(data, aside)
    except Malformed as error:
        if not _in_lines(data) and _JSON.match(data):
            inspection.find("json.malformed", str(error))
        return None
    inspection.found.extend(aside.found)
    return form


def _in_lines(data: bytes) -> bool:
    """Whether a text is JSON line by line, by its first two."""
    lines = data.split(b"\n", 2)
    return len(lines) > 1 and _is_json(lines[0]) and (not lines[1].strip() or _is_json(lines[1]))


def _is_json(line: bytes) -> bool:
    try:
        inspect_json(line, Inspection())
    except Malformed:
        return False
    return True


def _makes_objects(text: bytes) -> bool:
    """Whether a text has a tag of YAML that makes objects of Python."""
    return any(word in text for word in _YAML_WORDS) or _YAML_TAG.search(text) is not None


def _names_objects(text: bytes) -> bool:
    """Whether a text is of a configuration that names what is called."""
    return any(word in text for word in _OBJECT_WORDS) and _OBJECT.search(text) is not None


def _runs_script(text: bytes) -> bool:
    """Whether a marked-up text has what a browser, or another reader, runs or fetches."""
    return _MARKUP.search(text) is not None or _BROKEN.search(text) is not None


_ANYWHERE: Final[dict[str, Callable[[bytes], bool]]] = {
    "yaml.python-tag": _makes_objects,
    "configuration.object": _names_objects,
}


@dataclass(slots=True)
class _Seen:
    """What was seen anywhere in a text."""

    braces: bool = False
    internals: bool = False


def _read(content: Bytes, begin: bytes, inspection: Inspection) -> _Seen:
    """Read all of it: that it is text, and what to look at in it. Raises `Malformed`."""
    decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
    seen, before, markup = _Seen(), b"", begin[:1] == b"<"
    if markup and content.size > _MOST_MARKUP:
        raise Exhausted(f"{content.size} bytes of marked-up text")
    wanted = dict(_ANYWHERE)
    if markup:
        wanted["html.script"] = _runs_script
    for at, count in blocks_of(content):
        block = content.at(at, count)
        if block.translate(None, _CONTROLS) != block:
            raise Malformed(f"a control character after byte {at}")
        if decoder is not None and not block.isascii():
            try:
                decoder.decode(block, final=at + count == content.size)
            except UnicodeDecodeError:
                decoder = None
                if sum(byte < 0x80 for byte in block[:4096]) < len(block[:4096]) * 7 // 10:
                    raise Malformed(f"no text after byte {at}") from None
        searched = before + block
        for rule in [rule for rule, is_there in wanted.items() if is_there(searched)]:
            inspection.find(rule)
            del wanted[rule]
        if not seen.internals and (seen.braces or b"{%" in searched or b"{{" in searched):
            seen.braces = True
            seen.internals = b"__" in searched and INTERNALS.search(searched.decode("utf-8", "replace")) is not None
        before = block[-_OVERLAP:]
    return seen


def _python(text: str) -> str | None:
    """What a text does if it is Python, None if it is none or does nothing."""
    try:
        tree = ast.parse(text, _NO_FILE)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in tree.body:
        value = node.value if isinstance(node, (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign)) else node
        if isinstance(value, _DOING):
            return type(value).__name__
    for each in ast.walk(tree):
        if isinstance(each, ast.Attribute) and each.attr.startswith("__"):
            return each.attr
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in _RUNNING:
            return each.func.id
    return None
