"""Word documents (Office Open XML): what is shown of them.

Rules: opened by python-docx, whose parser resolves no entity and fetches nothing. Text that is hidden, was deleted or moved away in a
tracked change is not read, and the first is counted; what was inserted is, and so are boxes, content controls, notes, headers and
footers. Comments are not, nor is it seen when a text has the colour of its ground.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Any, Final

import docx
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml

from nomoat.documents.read import Read, Unreadable
from nomoat.documents.texts import seen

MOST_UNPACKED: Final = 128 << 20  # bytes
MOST_TEXT: Final = 32 << 20  # bytes of XML of one part
MOST_PARTS: Final = 5_000

_BESIDES: Final = ("header", "footer", "footnotes", "endnotes")
_OFF: Final = frozenset({"0", "false", "off"})
_FALLBACK: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_GONE: Final = frozenset({qn("w:del"), qn("w:moveFrom"), qn("w:pPr"), qn("w:rPr"), qn("w:sdtPr"), _FALLBACK})
_SIGNS: Final = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_P, _R, _T, _TABLE, _ROW, _CELL, _BOX = map(qn, ("w:p", "w:r", "w:t", "w:tbl", "w:tr", "w:tc", "w:txbxContent"))


def read(name: str, content: bytes) -> Read:
    """A Word document. Raises `Unreadable`, and whatever its parser does."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
    if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
        raise Unreadable(f"unpacked it has more than {MOST_UNPACKED >> 20} MiB, or {MOST_PARTS:,} parts")
    if any(part.file_size > MOST_TEXT for part in parts if part.filename.endswith((".xml", ".rels"))):
        raise Unreadable(f"a part of it has more than {MOST_TEXT >> 20} MiB of text")
    document = docx.Document(io.BytesIO(content))
    reading = _Reading(_hidden_styles(document))
    text, hidden = seen("\n\n".join(each for part in _parts(document) for each in reading.blocks(part) if each.strip()))
    return Read(document.core_properties.title or name, text, hidden=hidden + reading.hidden)


def _parts(document: Any) -> Iterator[Any]:
    """The body, then what stands beside it."""
    yield document.element.body
    for relation in document.part.rels.values():
        if not relation.is_external and relation.reltype.rpartition("/")[2] in _BESIDES:
            part = relation.target_part
            yield part.element if hasattr(part, "element") else parse_xml(part.blob)


def _hidden_styles(document: Any) -> frozenset[str]:
    styles = document.styles.element.iterchildren(qn("w:style"))
    return frozenset(str(style.get(qn("w:styleId"))) for style in styles if _is_on(style, "w:rPr", "w:vanish"))


def _is_on(element: Any, properties: str, name: str) -> bool:
    found = element.find(f"{qn(properties)}/{qn(name)}")
    return found is not None and found.get(qn("w:val"), "1") not in _OFF


class _Reading:
    """The texts of parts; `hidden` is how many characters there were that are not shown."""

    def __init__(self, hidden_styles: frozenset[str]) -> None:
        self._hidden_styles = hidden_styles
        self.hidden = 0

    def blocks(self, container: Any) -> Iterator[str]:
        """Paragraphs and tables, in their order, of whatever holds them."""
        for each in container.iterchildren():
            if each.tag == _P:
                yield "".join(self._inline(each, away=self._has_hidden_style(each, "w:pPr", "w:pStyle")))
            elif each.tag == _TABLE:
                yield "\n".join(self._rows(each))
            elif each.tag not in _GONE:
                yield from self.blocks(each)

    def _rows(self, table: Any) -> Iterator[str]:
        for row in table.iter(_ROW):
            if next(row.iterancestors(_TABLE)) is table and not _is_on(row, "w:trPr", "w:hidden"):
                cells = [" ".join(" ".join(self.blocks(cell)).split()) for cell in row.iter(_CELL) if _is_of(cell, row)]
                yield " | ".join(cells)

    def _inline(self, element: Any, *, away: bool) -> Iterator[str]:
        for each in element.iterchildren():
            if each.tag == _T:
                self.hidden += len(each.text or "") if away else 0
                yield "" if away else each.text or ""
            elif each.tag in _SIGNS:
                yield _SIGNS[each.tag]
            elif each.tag == _BOX:
                yield "\n" + "\n".join(self.blocks(each)) + "\n"
            elif each.tag == _R:
                hidden = _is_on(each, "w:rPr", "w:vanish") or self._has_hidden_style(each, "w:rPr", "w:rStyle")
                yield from self._inline(each, away=away or hidden)
            elif each.tag not in _GONE:
                yield from self._inline(each, away=away)

    def _has_hidden_style(self, element: Any, properties: str, name: str) -> bool:
        found = element.find(f"{qn(properties)}/{qn(name)}")
        return found is not None and found.get(qn("w:val")) in self._hidden_styles


def _is_of(cell: Any, row: Any) -> bool:
    return next(cell.iterancestors(_ROW)) is row
