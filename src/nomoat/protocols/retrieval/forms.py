"""Forms with files (multipart/form-data, RFC 7578), parsed by python-multipart and held to what is asked for here.

Rules: a form is in memory, whole, and nothing of it is written to a disk. A field or a file that comes twice is refused.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from nomoat.core.errors import Malformed, Unavailable

if TYPE_CHECKING:
    from python_multipart.multipart import Field, File

MOST_PARTS: Final = 8
LONGEST_FIELD: Final = 4_096  # bytes
KIND: Final = "multipart/form-data"


class Named(NamedTuple):
    """A file of a form, by the name that it has at its sender's."""

    name: str
    content: bytes


class Form(NamedTuple):
    """The fields and the files of a form, by their names in it."""

    fields: dict[str, str]
    files: dict[str, Named]


def parse_form(kind: str, body: bytes) -> Form:
    """A form, of a Content-Type and a body. Raises `Malformed`, and `Unavailable` where no parser is installed."""
    try:
        from python_multipart.exceptions import FormParserError  # noqa: PLC0415 - for whom files are uploaded to
        from python_multipart.multipart import FormParser, parse_options_header  # noqa: PLC0415 - as above
    except ImportError:
        raise Unavailable("uploads", "the gateway needs pip install 'nomoat[retrieval]'") from None
    form, ended = Form({}, {}), list[bool]()

    def take_field(field: "Field") -> None:
        name = _text(field.field_name)
        _require_room(form, name)
        if len(field.value or b"") > LONGEST_FIELD:
            raise Malformed(f"the field {name!r:.80} of the form is too long")
        form.fields[name] = _text(field.value)

    def take_file(file: "File") -> None:
        name = _text(file.field_name)
        _require_room(form, name)
        content = file.file_object
        content.seek(0)
        form.files[name] = Named(_text(file.file_name), content.read())

    of, options = parse_options_header(kind)
    boundary = options.get(b"boundary")
    if of.decode("latin-1") != KIND or not boundary:
        raise Malformed(f"a file is uploaded as a form: {KIND} with a boundary")
    try:
        config = {"MAX_BODY_SIZE": len(body) + 1, "MAX_MEMORY_FILE_SIZE": len(body) + 1}
        parser = FormParser(KIND, take_field, take_file, lambda: ended.append(True), boundary, config=config)
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Malformed("the form is not well formed (RFC 7578)") from None
    if not ended:
        raise Malformed("the form has no end")
    return form


def _require_room(form: Form, name: str) -> None:
    if name in form.fields or name in form.files:
        raise Malformed(f"the form has {name!r:.80} twice")
    if len(form.fields) + len(form.files) >= MOST_PARTS:
        raise Malformed(f"the form has more than {MOST_PARTS} parts")


def _text(said: bytes | None) -> str:
    try:
        return (said or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a name or a field of the form is not UTF-8") from None
