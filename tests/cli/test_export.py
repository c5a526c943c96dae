"""`nomoat audit export` against a real gateway: recorded, streamed, whole or not at all, and not for everybody."""

import csv
import json
import stat
from pathlib import Path

import duckdb
import pytest

from nomoat.cli.report import coverage, say_coverage
from nomoat.client.gateway import Aggregate
from tests.cli.live import Caller, Live


def test_an_export_is_every_record_and_is_itself_one(admin: Caller, tmp_path: Path) -> None:
    file = tmp_path / "log.json"
    said = admin.nomoat("audit", "export", "--format", "json", "-o", str(file), "--json")
    assert said.code == 0, said.err
    assert said.json()["bytes"] == file.stat().st_size
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["n"] for record in exported] == list(range(len(exported)))
    assert (exported[-1]["what"], exported[-1]["decision"]) == ("ExportLog", "allow")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    shown = admin.nomoat("audit", "show", str(exported[-1]["n"]), "--json").json()["outcome"]
    assert isinstance(shown, dict)
    assert shown["facts"] == {"form": "json", "query": "", "after": "-1", "records": str(len(exported))}


def test_the_same_records_in_every_format(admin: Caller, tmp_path: Path) -> None:
    numbers = {}
    for form in ("json", "ocsf", "csv", "parquet"):
        said = admin.nomoat(
            "audit", "export", "what Enroll", "--after", "2", "--format", form, "-o", str(tmp_path / form)
        )
        assert said.code == 0, said.err
    numbers["json"] = [json.loads(line)["n"] for line in (tmp_path / "json").read_text().splitlines()]
    numbers["ocsf"] = [
        json.loads(line)["metadata"]["sequence"] for line in (tmp_path / "ocsf").read_text().splitlines()
    ]
    with (tmp_path / "csv").open(newline="") as stream:
        numbers["csv"] = [int(row["n"]) for row in csv.DictReader(stream)]
    numbers["parquet"] = [row[0] for row in duckdb.read_parquet(str(tmp_path / "parquet")).project("n").fetchall()]
    assert all(found == numbers["json"] for found in numbers.values())


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_that_exists_is_replaced_by_force_alone(admin: Caller, tmp_path: Path, form: str) -> None:
    evidence, link = tmp_path / "evidence", tmp_path / "link"
    evidence.write_text("what somebody kept")
    link.symlink_to(tmp_path / "nowhere")
    before = exports(admin)
    for file in (evidence, link):
        said = admin.nomoat("audit", "export", "--format", form, "-o", str(file))
        assert said.code == 1
        assert f"{file} exists already; name another file, or replace it with --force" in said.err
    assert evidence.read_text() == "what somebody kept"
    assert exports(admin) == before, "nothing was taken away"
    evidence.chmod(0o644)
    refused = admin.nomoat("audit", "export", "whence y", "--format", form, "-o", str(evidence), "--force")
    assert (refused.code, evidence.read_text()) == (1, "what somebody kept")
    said = admin.nomoat("audit", "export", "what Enroll", "--format", form, "-o", str(evidence), "--force")
    assert said.code == 0, said.err
    assert "what somebody kept" not in evidence.read_bytes().decode("latin-1")
    assert stat.S_IMODE(evidence.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [evidence, link]


def exports(admin: Caller) -> int:
    records = admin.nomoat("audit", "search", "what ExportLog", "--json", "--limit", "1000").json()["records"]
    assert isinstance(records, list)
    return len(records)


def test_an_export_can_be_printed(admin: Caller) -> None:
    said = admin.nomoat("audit", "export", "what RegisterDevice", "--format", "csv")
    assert said.code == 0, said.err
    heading, *rows = csv.reader(said.out.splitlines())
    assert heading[:3] == ["n", "at", "enforcer"]
    assert {row[heading.index("what")] for row in rows} == {"RegisterDevice"}


def test_who_may_not_export_gets_no_file_and_a_reason(live: Live, admin: Caller, tmp_path: Path) -> None:
    nosy = live.person(admin, "nosy-exporter")
    said = nosy.nomoat("audit", "export", "-o", str(tmp_path / "log"))
    assert said.code == 1
    assert "nosy-exporter may not ExportLog log\n  why    no policy permits it" in said.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_understood_is_refused_before_anything_is_sent(admin: Caller, tmp_path: Path) -> None:
    said = admin.nomoat("audit", "export", "whence y", "-o", str(tmp_path / "log"))
    assert (said.code, list(tmp_path.iterdir())) == (1, [])
    assert "at position 1: 'whence'" in said.err
    assert admin.nomoat("audit", "export", "--format", "parquet").code == 2
    assert admin.nomoat("audit", "export", "-o", str(tmp_path / "no" / "where")).code == 3


def test_a_report_counts_what_happened_and_is_itself_a_record(admin: Caller) -> None:
    assert admin.nomoat("whoami").code == 0
    found = admin.nomoat("audit", "search", "by ann what Whoami", "--limit", "1000", "--json").json()["records"]
    said = admin.nomoat("audit", "report", "by ann", "--by", "who,what", "--json")
    assert said.code == 0, said.err
    rows = said.json()["rows"]
    assert isinstance(rows, list)
    assert isinstance(found, list)
    (whoami,) = [row for row in rows if row["what"] == "Whoami"]
    counted = said.json()["counted"]
    assert isinstance(counted, int)
    assert counted >= found[-1]["n"] + 1
    assert (said.json()["size"], said.json()["complete"], said.json()["missing_since"]) == (counted, True, None)
    waited = admin.nomoat("audit", "who", "by ann", "--wait", "--json")
    assert (waited.code, waited.json()["complete"]) == (0, True)
    assert (whoami["who"], whoami["accesses"]) == ("person ann", len(found))
    shown = admin.nomoat("audit", "report", "--by", "what")
    assert shown.out.split()[:6] == ["what", "accesses", "refused", "bytes", "first", "last"]
    assert admin.nomoat("audit", "search", "what ReportLog", "--json").json()["records"] != []
    assert admin.nomoat("audit", "report", "--by", "password").code == 1


def test_a_count_that_lacks_records_says_which_in_words_and_in_fields(capsys: pytest.CaptureFixture[str]) -> None:
    since = "2026-11-26T17:03:12.412Z"
    say_coverage(Aggregate((), 4, 999_424, 1_070_124, since), "4 of 4 groups")
    told = capsys.readouterr().err
    assert "counted up to record 999423 of 1070124 records" in told
    assert "INCOMPLETE: the last 70700 records, since 2026-11-26" in told
    assert "--wait" in told
    assert coverage(Aggregate((), 4, 999_424, 1_070_124, since)) == {
        "counted": 999_424, "size": 1_070_124, "complete": False, "missing_since": since,
    }  # fmt: skip
    say_coverage(Aggregate((), 4, 12, 12, ""), "4 of 4 groups")
    assert capsys.readouterr().err == "4 of 4 groups, in the first 12 records\n"
