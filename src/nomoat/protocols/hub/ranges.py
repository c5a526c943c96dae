"""The `Range` and `If-Range` headers → first and last byte, and of what content (RFC 9110, sections 13.1.5 and 14).

Rules: one range of bytes or none. What is not well formed, has another unit or asks for several
ranges is ignored, as the RFC allows: the answer is then the whole content.
"""

import re
import sys
from typing import Final

OTHER: Final = "another content"  # no entity tag of ours: the range holds for none that there is
_TAG: Final = re.compile(r'"([0-9a-f]{40}|[0-9a-f]{64})"', re.ASCII)
_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


def parse_range(header: str | None) -> tuple[int | None, int | None]:
    """The (first, last) byte that the header asks for, inclusive; (None, None) for everything.

    A negative `first` asks for that many last bytes. No last bytes at all can never be satisfied.
    """
    form = _RANGE.fullmatch(header) if header is not None else None
    if form is None:
        return None, None
    first, last = form.groups()
    if first:
        backwards = bool(last) and int(last) < int(first)
        return (None, None) if backwards else (int(first), int(last) if last else None)
    if last:
        return (-int(last) if int(last) else sys.maxsize), None
    return None, None


def parse_if_range(header: str | None) -> str:
    """The entity tag that a range is meant for, '' for any content.

    Only a strong tag holds; with a weak one or a date the whole content is answered.
    """
    if header is None:
        return ""
    form = _TAG.fullmatch(header.strip())
    return form[1] if form else OTHER
