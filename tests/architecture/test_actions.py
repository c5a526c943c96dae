"""The query language knows every word that a record can have for its action, so it can refuse the others."""

import re

from nomoat.audit.query import FORMER_ACTIONS, SYSTEM_ACTIONS, parse_query
from nomoat.core.operation import OPERATIONS
from tests.architecture.tree import ROOT, SOURCE

WRITTEN = re.compile(r"""(?:_record\(\s*|if known else |what=|ADVANCED: Final = )"([A-Za-z]+)\"""")


def test_what_the_gateway_itself_records_can_be_searched_for() -> None:
    written = {word for path in SOURCE.rglob("*.py") for word in WRITTEN.findall(path.read_text())}
    assert written == SYSTEM_ACTIONS
    for action in {*OPERATIONS, *SYSTEM_ACTIONS, *FORMER_ACTIONS}:
        assert parse_query(f"what {action}", 0.0).what == (action,)


def test_each_of_them_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "records.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == SYSTEM_ACTIONS
