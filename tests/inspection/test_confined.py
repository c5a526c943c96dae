"""After its import, an inspection opens no file, imports nothing, starts nothing, connects nowhere, runs nothing."""

import pickle
import subprocess
import sys

from tests.architecture.tree import SOURCE
from tests.inspection.benign import BENIGN, FALSE_ALARMS
from tests.inspection.hostile import HOSTILE

PROGRAM = """
import io, pickle, sys
from nomoat.inspection.inspect import inspect
from nomoat.inspection.naming import worse_by_name
contents = pickle.load(sys.stdin.buffer)
FORBIDDEN = {"open", "import", "exec", "pickle.find_class", "marshal.loads", "ctypes.dlopen", "mmap.__new__"}
seen = set()
def hook(event, arguments):
    if event == "open" and arguments[0] == "\\ud800":
        return  # by its name, no file: the system is not asked
    if event in FORBIDDEN or event.startswith(("os.", "socket.", "subprocess.", "shutil.", "tempfile.")):
        seen.add((event, str(arguments[0])[:80]))
        raise RuntimeError(event)
sys.addaudithook(hook)
verdicts = []
for data in contents:
    report = inspect(io.BytesIO(data), len(data))
    verdicts.append(worse_by_name("model.bin", report).verdict.value)
print(sorted(seen))
print(*verdicts)
"""


def test_nothing_is_reached_for_after_the_import() -> None:
    contents = [each.data for each in HOSTILE.values()]
    contents += [each.data for each in BENIGN.values()]
    contents += [each.data for each in FALSE_ALARMS.values()]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=pickle.dumps(contents),
        env={"PYTHONPATH": str(SOURCE), "PATH": ""},
        check=True,
        capture_output=True,
    )
    seen, verdicts = done.stdout.decode().splitlines()
    assert seen == "[]"
    assert done.stderr == b""
    told = verdicts.split()
    assert len(told) == len(contents)
    assert "clean" not in told[: len(HOSTILE)]
    assert set(told[len(HOSTILE) : len(HOSTILE) + len(BENIGN)]) == {"clean"}
