"""What a view shows, to whom, and what the log says of it."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.views.world import DATASET, PEOPLE, SECRET, Desk, people, publish

KEPT = PEOPLE - 5  # four of another country, one alone in her group


def test_the_masks_rows_and_groups_are_those_that_were_declared(desk: Desk) -> None:
    said = desk.query("SELECT * FROM masked ORDER BY income, customer")
    assert said.code == 0, said.err
    answer = said.json()
    assert answer["columns"] == ["customer", "email", "born", "zip", "income", "plan"]  # no phone, no country
    rows = desk.rows("SELECT * FROM masked")
    assert len(rows) == KEPT
    customers, emails, born, zips, incomes, plans = zip(*rows, strict=True)
    assert all(re.fullmatch(r"[\w-]{12}", str(each)) for each in customers)
    assert len(set(customers)) == KEPT
    assert set(emails) == {"[redacted]"}
    assert set(born) == {"1970-01-01", "1971-01-01", "1972-01-01"}  # 1911 is alone
    assert set(zips) == {"10", "11"}
    assert set(incomes) <= set(range(30_000, 70_000, 10_000))
    assert set(plans) == {"basic", "plus"}
    assert min(Counter(zip(born, zips, strict=True)).values()) >= 3
    assert SECRET not in said.out


def test_pseudonyms_are_stable_in_a_project_and_of_no_use_in_another(desk: Desk) -> None:
    of_churn = {row[0] for row in desk.rows("SELECT customer FROM masked")}
    again = {row[0] for row in desk.rows("SELECT DISTINCT customer FROM masked")}
    of_marketing = {row[0] for row in desk.rows("SELECT customer FROM marketing", "marketing")}
    assert of_churn == again
    assert len(of_marketing) == PEOPLE
    assert not of_churn & of_marketing


def test_the_order_of_rows_does_not_tell_which_row_it_was(desk: Desk) -> None:
    """Else two views of the same rows could be laid side by side, and their pseudonyms with them."""
    plans = [row[0] for row in desk.rows("SELECT plan FROM marketing", "marketing")]
    assert plans != [("basic", "plus")[row % 2] for row in range(PEOPLE)]


def test_a_scientist_queries_the_view_and_does_not_read_the_file(desk: Desk) -> None:
    script = f"import huggingface_hub as h; h.hf_hub_download('{DATASET}', 'data/people.parquet', repo_type='dataset')"
    with desk.scientist.running("exec", "--", sys.executable, "-c", script) as reading:
        _, refused = reading.communicate(timeout=60)
    assert reading.returncode != 0
    assert "403" in refused
    assert desk.query("SELECT count(*) FROM masked").code == 0


@pytest.mark.parametrize(
    ("view", "by", "why"),
    [
        ("unlabelled", "scientist", "no policy permits"),
        ("high", "scientist", "nobody-queries-above-clearance"),
        ("nothing", "scientist", "nobody-queries-above-clearance"),  # undeclared: as confidential as the whole
        ("masked", "stranger", "not found"),
        ("masked", "ingest", "no policy permits"),
    ],
)
def test_who_may_not_is_refused_and_the_sql_is_recorded(desk: Desk, view: str, by: str, why: str) -> None:
    said = desk.query("SELECT 'marked' FROM masked", view, getattr(desk, by))
    assert said.code == 1
    opening, _ = desk.newest()
    assert opening["decision"] == "deny"
    assert opening["asked"] == {"sql": "SELECT 'marked' FROM masked"}
    assert why in said.err, said.err
    assert "marked" not in said.out


def test_the_record_says_who_which_version_what_and_how_much(desk: Desk) -> None:
    assert desk.rows("SELECT plan FROM masked LIMIT 7")
    opening, shown = desk.newest()
    assert opening["asked"] == {"sql": "SELECT plan FROM masked LIMIT 7"}
    on = opening["on"]
    assert isinstance(on, dict)
    assert re.fullmatch(rf"{DATASET}@[0-9a-f]{{8}}:masked", str(on["name"]))
    assert (on["kind"], on["labels"]) == ("View", ["masked"])
    told = json.dumps(shown)
    assert '"rows": "7"' in told
    assert '"complete"' in told


def test_erasing_who_asked_erases_what_they_asked(desk: Desk) -> None:
    passer_by = desk.live.person(desk.admin, "passer-by", 'groups = ["data-scientists"]\nclearance = "internal"')
    assert desk.rows("SELECT 'a phrase of theirs' FROM masked LIMIT 1", by=passer_by)
    desk.live.declare(desk.admin, '[[group]]\nname = "privacy-officers"')
    officer = desk.live.person(desk.admin, "officer", 'groups = ["privacy-officers"]')
    assert officer.nomoat("audit", "erase", "person:passer-by", "--yes").code == 0
    found = desk.admin.nomoat("audit", "search", "what QueryView", "--limit", "20", "--json")
    assert found.code == 0
    assert "a phrase of theirs" not in found.out


def test_a_view_that_cannot_be_made_shows_nothing_and_only_the_log_says_why(desk: Desk) -> None:
    said = desk.query("SELECT * FROM broken", "broken")
    assert said.code == 1
    assert "cannot be made" in said.err
    assert "shoe_size" not in said.err
    _, shown = desk.newest()
    assert "shoe_size" in json.dumps(shown)


def test_a_new_version_is_queried_at_once_and_the_old_one_by_its_commit(desk: Desk, tmp_path: Path) -> None:
    before = desk.newest() if desk.rows("SELECT count(*) FROM marketing", "marketing") else []
    on = before[0]["on"]
    assert isinstance(on, dict)
    publish(desk.ingest, tmp_path, people(), "data/more.parquet")
    assert desk.rows("SELECT count(*) FROM marketing", "marketing") == [[2 * PEOPLE]]
    arguments = ("query", DATASET, "SELECT count(*) FROM marketing", "--view", "marketing", "--json")
    old = desk.scientist.nomoat(*arguments, "--revision", str(on["version"]))
    assert old.json()["rows"] == [[PEOPLE]]


def test_what_the_gateway_says_of_wrong_sql_helps(desk: Desk) -> None:
    said = desk.query("SELECT nothing FROM masked")
    assert said.code == 1
    assert 'column "nothing"' in said.err.lower() or "nothing" in said.err


def test_a_program_gets_a_table(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import nomoat

    monkeypatch.setenv("NOMOAT_HOME", str(desk.scientist.home))
    with nomoat.connect() as connection:
        table = connection.query("SELECT plan, count(*) AS n FROM masked GROUP BY plan", dataset=DATASET, view="masked")
    assert table.column_names == ["plan", "n"]
    assert sum(table["n"].to_pylist()) >= KEPT
