"""Measure everything in one run, print one table and write the same to `bench/latest.json`."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import (
    blobs,
    bound,
    content,
    decision,
    documents,
    evidence,
    fingerprints,
    inference,
    listing,
    mails,
    metrics,
    postgres,
    quality,
    records,
    retrieval,
    scanning,
    service,
    signing,
    streams,
    timing,
    views,
)
from bench.measure import Figure, require


def main() -> int:
    """Print the table, of the rooms that the command line names or of all; a missed target is printed as missed."""
    require("wrk", "curl", "nginx")  # before minutes are spent on what needs neither
    console = Console()
    figures: list[Figure] = []
    rooms = {
        "decision": decision,
        "blobs": blobs,
        "records": records,
        "evidence": evidence,
        "service": service,
        "bound": bound,
        "listing": listing,
        "content": content,
        "inference": inference,
        "streams": streams,
        "fingerprints": fingerprints,
        "documents": documents,
        "retrieval": retrieval,
        "postgres": postgres,
        "quality": quality,
        "mails": mails,
        "timing": timing,
        "scanning": scanning,
        "signing": signing,
        "views": views,
        "metrics": metrics,
    }
    asked = sys.argv[1:]
    for name, room in rooms.items():
        if asked and name not in asked:
            continue
        console.print(f"measuring {name} …", style="dim")
        figures.extend(room.measure())
    table = Table("name", "figure", "target", "holds", "remark", title="NoMoat")
    for figure in figures:
        shown = f"{figure.value:,.2f}" if figure.value < 100 else f"{figure.value:,.0f}"
        target = f"{figure.direction} {figure.target:,g}"
        table.add_row(
            figure.name, f"{shown} {figure.unit}", target, "holds" if figure.holds else "MISSED", figure.remark
        )
    console.print(table)
    rows = [figure.as_json() for figure in figures]
    if not asked:
        Path(__file__).with_name("latest.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
