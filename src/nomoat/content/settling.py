"""How far a text that goes on can leave: what could still be the beginning of a match stays.

Rules: a run without a space stays until it ends, up to `LONGEST_RUN`: nothing that is found but what is named here has a
space in it. So do groups of digits, as numbers of cards, accounts and telephones are written, and a key or certificate from
its header to its footer. Writing other than ASCII ends a run: no secret is written in it.
"""

import re
import string
from typing import Final

LONGEST_RUN: Final = 4096  # characters
LONGEST_KEY: Final = 16_384
LONGEST_GROUPS: Final = 48

_VISIBLE: Final = string.ascii_letters + string.digits + string.punctuation
_KEY: Final = "-----BEGIN"
_KEY_ENDS: Final = re.compile(r"-----END[^\n]{0,64}?-----")
_GROUP: Final = re.compile(r"[0-9A-Z.()/+-]*\Z")
_GROUPS: Final = re.compile(r"(?<![!-~])(?:[0-9A-Z.()/+-]{1,24}[ \u00a0]{1,2})+\Z")
_DIGIT: Final = re.compile(r"\d")


def settled(text: str) -> int:
    """How many characters of a text may leave, while it goes on."""
    run = len(text.rstrip(_VISIBLE))
    end = max(run, len(text) - LONGEST_RUN)
    key = _open_key(text)
    if key >= 0 and len(text) - key <= LONGEST_KEY:
        end = min(end, key)
    return _before_groups(text, end) if end == run else end


def _open_key(text: str) -> int:
    """Where a key begins whose end has not come; -1 for nowhere."""
    begin = text.find(_KEY)
    while begin >= 0:
        ends = _KEY_ENDS.search(text, begin)
        if ends is None:
            return begin
        begin = text.find(_KEY, ends.end())
    return -1


def _before_groups(text: str, end: int) -> int:
    """Where the groups of digits begin that a text has up to `end`, if they can go on; `end` where there are none."""
    if end == 0 or text[end - 1] not in " \u00a0" or not _GROUP.match(text, end):
        return end
    found = _GROUPS.search(text, max(0, end - LONGEST_GROUPS), end)
    return found.start() if found is not None and _DIGIT.search(found.group()) else end
