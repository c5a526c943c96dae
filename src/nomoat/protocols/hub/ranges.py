"""The `Range` header → first and last byte (RFC 9110, section 14).

Rules: one range of bytes or none. What is not well formed, has another unit or asks for several
ranges is ignored, as the RFC allows: the answer is then the whole content.
"""

import re
import sys
from typing import Final

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
