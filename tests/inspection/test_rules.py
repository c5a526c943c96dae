"""The rules in the code, in the document, and in the tests are the same."""

import re

from nomoat.core.verdict import LONGEST_WHAT, MOST_FINDINGS, Finding, Report, Verdict, printable
from nomoat.inspection.rules import RULES
from tests.architecture.tree import ROOT, SOURCE
from tests.inspection.evasions import EVASIONS
from tests.inspection.hostile import HOSTILE

DOCUMENT = ROOT / "docs" / "reference" / "scanning.md"


def test_the_document_lists_every_rule() -> None:
    rows = re.findall(r"^\| `([a-z0-9]+\.[a-z-]+)` \| ([a-z-]+) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert rows == [(name, rule.verdict.value, rule.means) for name, rule in sorted(RULES.items())]


def test_every_rule_that_the_code_names_exists_and_every_rule_is_named() -> None:
    named: set[str] = set()
    for path in (SOURCE / "nomoat" / "inspection").glob("*.py"):
        if path.name != "rules.py":
            named |= set(re.findall(r'"((?:[a-z0-9]+)\.(?:[a-z]+(?:-[a-z]+)*))"', path.read_text()))
    malformed = {rule for rule in RULES if rule.endswith(".malformed")}  # named by their format
    assert RULES.keys() - malformed <= named
    families = {rule.partition(".")[0] for rule in RULES}
    assert {name for name in named if name.partition(".")[0] in families - {"keras", "torch"}} <= RULES.keys()


def test_most_rules_have_an_artifact() -> None:
    shown = {each.rule for each in HOSTILE.values()} | {each.rule for each in EVASIONS.values()}
    assert RULES.keys() - shown - {rule for rule in RULES if rule.startswith(("name.", "content."))} == WITHOUT


# Shown by other tests, or too dull to be made.
WITHOUT = {
    "bzip2.malformed",
    "parquet.encrypted",
    "parquet.layout",
    "pickle.second-opinion",
    "xz.malformed",
    "zip.malformed",
    "zlib.malformed",
}


def test_the_worst_verdict_counts() -> None:
    order = [Verdict.CLEAN, Verdict.CONTAINS_CODE, Verdict.QUARANTINED, Verdict.UNSCANNABLE, Verdict.REFUSED]
    assert sorted(Verdict, key=lambda verdict: verdict.severity) == order
    assert Verdict.worst([]) is Verdict.CLEAN
    assert Verdict.worst(reversed(order)) is Verdict.REFUSED
    many = [Finding(Verdict.QUARANTINED, "a.b", "", str(number)) for number in range(100)]
    report = Report.of("x", [*many, Finding(Verdict.REFUSED, "c.d", "", "")])
    assert report.verdict is Verdict.REFUSED
    assert len(report.findings) == MOST_FINDINGS
    assert report.findings[0].rule == "c.d"


def test_what_is_shown_is_safe_to_print() -> None:
    assert printable("a\x1b[31m\n\u202eb") == "a\\x1b[31m\\n\\u202eb"
    assert len(printable("\x00" * 1000)) == LONGEST_WHAT
