"""A live gateway with a dataset of people, views of it, and who may query what."""

import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from tests.cli.live import Caller, Live, Said

DATASET = "acme/customers"
SECRET = "anna.anders@example.org"  # is in no view
PEOPLE = 40
DECLARED = f"""
[[group]]
name = "data-scientists"
[[group]]
name = "data-engineers"

[[dataset]]
name = "{DATASET}"
classification = "confidential"
owner = "group:data-engineers"
  [[dataset.views]]
  name = "masked"
  classification = "internal"
  labels = ["masked"]
  files = ["data/*.parquet"]
  project = "churn"
  columns = [
    {{ name = "customer", mask = "pseudonym" }},
    {{ name = "email", mask = "redact" }},
    {{ name = "born", mask = "truncate", to = "year" }},
    {{ name = "zip", mask = "truncate", keep = 2 }},
    {{ name = "income", mask = "bucket", width = 10000 }},
    {{ name = "phone", mask = "drop" }},
    "plan",
  ]
  rows = [{{ column = "country", is = "in", value = ["DE", "FR"] }}, {{ column = "income", is = ">", value = 0 }}]
  k = 3
  quasi_identifiers = ["born", "zip"]
  [[dataset.views]]
  name = "marketing"
  classification = "internal"
  labels = ["masked"]
  files = ["data/*.parquet"]
  project = "marketing"
  columns = [{{ name = "customer", mask = "pseudonym" }}, "plan"]
  [[dataset.views]]
  name = "broken"
  classification = "internal"
  labels = ["masked"]
  files = ["data/*.parquet"]
  columns = ["plan", "shoe_size"]
  [[dataset.views]]
  name = "unlabelled"
  classification = "internal"
  files = ["data/*.parquet"]
  columns = ["plan"]
  [[dataset.views]]
  name = "high"
  classification = "confidential"
  labels = ["masked"]
  files = ["data/*.parquet"]
  columns = ["plan"]
"""
PUBLISH = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo(sys.argv[1], repo_type="dataset", exist_ok=True)
api.upload_file(path_or_fileobj=sys.argv[2], path_in_repo=sys.argv[3], repo_id=sys.argv[1], repo_type="dataset")
"""


def people() -> bytes:
    """Parquet of people: number 0 is alone in her year, the last four live outside of what the views keep."""
    rows = range(PEOPLE)
    table = pa.table(
        {
            "customer": pa.array(rows, pa.int64()),
            "email": [SECRET if row == 0 else f"p{row}@example.org" for row in rows],
            "phone": [f"+49 30 {row:06d}" for row in rows],
            "born": ["1911-05-05" if row == 0 else f"{1970 + row % 3}-0{1 + row % 9}-11" for row in rows],
            "zip": [f"{10 + row % 2}{row:03d}" for row in rows],
            "income": pa.array([30_000 + 777 * row for row in rows], pa.int64()),
            "plan": [("basic", "plus")[row % 2] for row in rows],
            "country": ["US" if row >= PEOPLE - 4 else ("DE", "FR")[row % 2] for row in rows],
        }
    )
    table = table.set_column(3, "born", table["born"].cast(pa.date32()))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@dataclass
class Desk:
    """Who is there: an engineer who owns the dataset, a scientist, a stranger, and who reads the log."""

    live: Live
    admin: Caller
    ingest: Caller
    engineer: Caller
    scientist: Caller
    stranger: Caller

    def query(self, sql: str, view: str = "masked", by: Caller | None = None) -> Said:
        return (by or self.scientist).nomoat("query", DATASET, sql, "--view", view, "--json")

    def rows(self, sql: str, view: str = "masked", by: Caller | None = None) -> list[list[object]]:
        said = self.query(sql, view, by)
        assert said.code == 0, said.err
        return cast("list[list[object]]", said.json()["rows"])

    def newest(self) -> list[Mapping[str, object]]:
        """The newest query in the log: its decision and how it ended."""
        found = self.admin.nomoat("audit", "search", "what QueryView", "--limit", "1", "--json").json()
        (opening,) = cast("list[Mapping[str, object]]", found["records"])
        shown = self.admin.nomoat("audit", "show", str(opening["n"]), "--json").json()
        return [opening, shown]


def publish(who: Caller, folder: Path, content: bytes, path: str = "data/people.parquet") -> None:
    file = folder / "published"
    file.write_bytes(content)
    said = who.nomoat("exec", "--", sys.executable, "-c", PUBLISH, DATASET, str(file), path)
    assert said.code == 0, said.err


def furnish(live: Live, folder: Path) -> Desk:
    admin = live.admin()
    live.declare(admin, DECLARED)
    desk = Desk(
        live,
        admin,
        live.workload(admin, "ingest", 'segment = "ingestion"\nclearance = "confidential"'),
        live.person(admin, "engineer", 'groups = ["data-engineers"]\nclearance = "confidential"'),
        live.person(admin, "scientist", 'groups = ["data-scientists"]\nclearance = "internal"'),
        live.person(admin, "stranger", 'clearance = "restricted"'),
    )
    publish(desk.ingest, folder, people())
    return desk


def text_of(said: Said) -> str:
    return json.dumps([said.out, said.err])
