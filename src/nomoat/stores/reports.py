"""Reports of scans as columns of the state, and back."""

import json

from sqlalchemy import Row

from nomoat.core.verdict import Finding, Report, Verdict


def described(report: Report) -> dict[str, str]:
    """A report as the columns of a blob."""
    findings = json.dumps([list(finding) for finding in report.findings])
    return {"verdict": report.verdict.value, "format": report.format, "findings": findings}


def report_of(row: "Row[tuple[object, ...]]") -> Report:
    """The inverse of `described`."""
    findings = [Finding(Verdict(verdict), *rest) for verdict, *rest in json.loads(row.findings)]
    return Report(Verdict(row.verdict), row.format, tuple(findings))
