"""Forms that are no proper ones, as somebody may send them."""

import pytest

from nomoat.core.errors import Malformed
from nomoat.protocols.retrieval.forms import MOST_PARTS, parse_form

KIND = "multipart/form-data; boundary=x"


def part(disposition: str, content: bytes = b"a", more: str = "") -> bytes:
    return f"--x\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n".encode() + content + b"\r\n"


def test_a_form_is_taken_byte_by_byte() -> None:
    content = bytes(range(256)) + b"\r\n--y\r\n--"
    file = part('name="file"; filename="a/é.eml"', content, "Content-Type: message/rfc822\r\n")
    body = part('name="purpose"', b"assistants") + file + b"--x--\r\n"
    form = parse_form(KIND, body)
    assert form.fields == {"purpose": "assistants"}
    assert form.files["file"] == ("a/é.eml", content)


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("application/json", b"{}", "uploaded as a form"),
        ("multipart/form-data", part('name="a"') + b"--x--\r\n", "with a boundary"),
        (f"{KIND}{'x' * 300}", b"", "not well formed"),
        (KIND, b"", "no end"),
        (KIND, b"nothing of a form", "not well formed"),
        (KIND, part('name="a"; filename="b"'), "no end"),
        (KIND, part('filename="b"') + b"--x--\r\n", "not well formed"),
        (KIND, part('name="a"') * 2 + b"--x--\r\n", "twice"),
        (KIND, part('name="a"; filename="b"') + part('name="a"') + b"--x--\r\n", "twice"),
        (KIND, part('name="a"', b"\xff") + b"--x--\r\n", "not UTF-8"),
        (KIND, part('name="a"', b"a" * 5000) + b"--x--\r\n", "too long"),
        (KIND, b"".join(part(f'name="a{each}"') for each in range(MOST_PARTS + 1)) + b"--x--\r\n", "more than 8"),
        (KIND, part('name="a"', b"a", "X: y\r\n" * 100) + b"--x--\r\n", "not well formed"),
    ],
)
def test_what_is_no_form_is_refused(kind: str, body: bytes, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        parse_form(kind, body)
