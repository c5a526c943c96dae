"""A disk that is really full: refusals, the reserve, and going on when there is room again."""

import json
import os
import subprocess
import sys
from pathlib import Path

from nomoat.audit.verification import verify_directory
from tests.audit.world import kept_records, shared_world

CHECKOUT = Path(__file__).parents[2]


def test_a_disk_that_runs_full(tmp_path: Path) -> None:
    mount, copy = tmp_path / "mount", tmp_path / "copy"
    mount.mkdir()
    # Without root, a user namespace lends the right to mount.
    own_namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    command = [*own_namespace, sys.executable, "-m", "tests.audit.full_disk", str(mount), str(copy)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["mode"] == "RESERVED"
    world = shared_world(copy)
    report = verify_directory(copy, world.key)
    assert report.consistent, report.problems
    assert report.records > result["acknowledged"] * 2
    records = kept_records(world)
    assert records[result["revoked"]][0].fields["what"] == "Revoke"
    refused = [int(str(c["refused"])) for leaf, c in records if leaf.fields["what"] == "LogOutage"]
    assert sum(refused) == result["refused"]
    opened = {leaf.number for leaf, _ in records if leaf.opens}
    assert opened - {leaf.of for leaf, _ in records} == {result["last"]}
