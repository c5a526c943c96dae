"""A name makes a verdict worse, and never better."""

import pytest

from nomoat.core.verdict import Finding, Report, Verdict
from nomoat.inspection.naming import worse_by_name

CLEAN = "clean"
CODE = "contains-code"
QUARANTINED = "quarantined"


@pytest.mark.parametrize(
    ("path", "form", "verdict"),
    [
        ("model.safetensors", "safetensors", CLEAN),
        ("model.safetensors", "pickle", QUARANTINED),
        ("model.safetensors", "unknown", QUARANTINED),
        ("a/b/config.json", "json", CLEAN),
        ("rows.json", "text", CLEAN),
        ("config.json", "pickle", QUARANTINED),
        ("weights.bin", "torch-zip", CLEAN),
        ("model.pt", "safetensors", CLEAN),
        ("train.csv", "text", CLEAN),
        ("train.csv", "pickle", QUARANTINED),
        ("train.csv.gz", "gzip", CLEAN),
        ("README.md", "markup", CLEAN),
        ("page.html", "markup", CLEAN),
        ("page.html", "text", QUARANTINED),
        ("modeling.py", "text", CODE),
        ("modeling.PY", "text", CODE),
        ("modeling.py.", "text", CODE),
        ("modeling.py ", "text", CODE),
        ("modeling.\uff50\uff59", "text", CODE),
        ("a\\b\\conftest.py", "text", CODE),
        ("Makefile", "text", CODE),
        ("run.sh", "text", CODE),
        ("cached.pyc", "text", QUARANTINED),
        ("libevil.so", "text", QUARANTINED),
        ("libevil.so.1.2", "unknown", QUARANTINED),
        ("noextension", "text", CLEAN),
        ("", "text", CLEAN),
    ],
)
def test_a_name_counts(path: str, form: str, verdict: str) -> None:
    assert worse_by_name(path, Report(Verdict.CLEAN, form)).verdict.value == verdict


@pytest.mark.parametrize("path", ["model.safetensors", "x.py", "x.so", "config.json", "x"])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_no_name_makes_it_better(path: str, verdict: Verdict) -> None:
    report = Report.of("safetensors", [Finding(verdict, "x.y", "", "")])
    named = worse_by_name(path, report)
    assert named.verdict.severity >= verdict.severity
    assert named.findings[0].verdict is named.verdict
