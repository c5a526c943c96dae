"""Documents as people make them, and as nobody should."""

import io
import zipfile
from email.message import EmailMessage

import docx


def word(*paragraphs: str) -> bytes:
    """A Word document."""
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "left", "right"
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def pdf(text: str, *, pages: int = 1) -> bytes:
    """A PDF whose pages show a text."""
    return pdf_of(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode(), pages=pages)


def pdf_of(stream: bytes, told: bytes = b"", *besides: bytes, pages: int = 1) -> bytes:
    """A PDF whose pages have one stream, of which `told` is said, and `besides` objects, which are 6 and more."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join([b"3 0 R"] * pages), pages),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>%s>>>>"
        % (b"/XObject<</X 6 0 R>>" if besides else b""),
        b"<</Length %d%s>>stream\n%s\nendstream" % (len(stream), told, stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *besides,
    ]
    out, places = bytearray(b"%PDF-1.4\n"), list[int]()
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def mail(subject: str, text: str, *, to: str = "bob@acme.example", cc: str = "", page: str = "") -> bytes:
    """A mail."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <ann@acme.example>", to, subject
    if cc:
        message["Cc"] = cc
    message.set_content(text)
    if page:
        message.add_alternative(page, subtype="html")
    message.add_attachment(b"attached words", maintype="text", subtype="plain", filename="notes.txt")
    return message.as_bytes()


def bomb() -> bytes:
    """A Word document whose text is a gigabyte of nothing, packed."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as parts,
        parts.open("word/document.xml", "w", force_zip64=True) as part,
    ):
        for _ in range(1024):
            part.write(b" " * (1 << 20))
    return file.getvalue()


def laughs(external: str = "") -> bytes:
    """A Word document whose XML has entities in entities, or one from elsewhere."""
    told = f'<!ENTITY x SYSTEM "{external}">' if external else ""
    ten = [f"&l{n - 1};" * 10 for n in range(1, 12)]
    lines = "".join(f'<!ENTITY l{n} "{each}">' for n, each in enumerate(ten, 1))
    document = (
        f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY l0 "ha">{lines}{told}]>'
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>'
        f"before &{'x' if external else 'l11'}; after</w:t></w:r></w:p></w:body></w:document>"
    )
    return word_of(document.encode())


def word_of(document: bytes, **besides: bytes) -> bytes:
    """A Word document whose text is this XML; `besides` are other parts of it, by their names in `word/`."""
    parts = {f"word/{name}.xml": content for name, content in besides.items()} | {"word/document.xml": document}
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(word("x"))) as good,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in good.namelist():
            packed.writestr(name, parts.get(name) or good.read(name))
    return file.getvalue()


def body(inner: str) -> bytes:
    """The XML of a Word document's text."""
    said = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    return f"<w:document {said}><w:body>{inner}</w:body></w:document>".encode()


def quine() -> bytes:
    """A Word document whose parts say that they are small, and are not."""
    packed = bytearray(word_of(body("<w:p/>" + " " * (64 << 20))))
    at = packed.rfind(b"word/document.xml") - 46  # its entry in the directory, at whose 24 is how large it says to be
    packed[at + 24 : at + 28] = (1_000).to_bytes(4, "little")
    return bytes(packed)
