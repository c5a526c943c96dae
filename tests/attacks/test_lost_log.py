"""A log that is gone is not begun anew under the same key: it would be a second history, and nothing would miss the first."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nomoat.audit.segments import FrameKind, iterate_frames, read_header
from tests.cli.live import Live


def remove(log: Path) -> None:
    shutil.rmtree(log)


def empty(log: Path) -> None:
    shutil.rmtree(log)
    log.mkdir(mode=0o700)


def cut(log: Path) -> None:
    empty(log)
    (log / "0000000001.segment").write_bytes(b"")


@pytest.mark.parametrize("lose", [remove, empty, cut])
def test_attack_a_lost_log_begins_anew(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    live = Live(tmp_path / "gateway")
    with live:
        live.admin()
    kept = live.copy("kept")
    lose(live.data / "log")
    for command in (("serve",), ("recover",)):
        said = live.operator.nomoat(*command, str(live.data), *(["ann"] if command == ("recover",) else []))
        assert (said.code, said.out) == (3, "")
        assert "log: it is gone" in said.err
        assert "nomoat restore" in said.err
    assert not list((live.data / "log").glob("*.segment")) or lose is cut
    assert live.operator.nomoat("fsck", str(live.data)).code == 4
    shutil.rmtree(live.data / "log", ignore_errors=True)
    shutil.copytree(kept / "log", live.data / "log")
    with live:
        pass
    assert live.operator.nomoat("fsck", str(live.data)).code == 0


def test_attack_the_newest_records_are_cut_off_together_with_what_tells_of_them(tmp_path: Path) -> None:
    live = Live(tmp_path / "gateway")
    with live:
        live.admin()
    (segment,) = (live.data / "log").glob("*.segment")
    data = segment.read_bytes()
    frames = list(iterate_frames(data, read_header(data)[1]))
    signed = [frame.end for frame in frames if frame.kind == FrameKind.CHECKPOINT]
    segment.write_bytes(data[: signed[len(signed) // 2]])
    (live.data / "log" / "checkpoint").unlink()
    for command in ("fsck", "doctor", "status"):
        said = live.operator.nomoat(command, str(live.data))
        assert said.code == 4, said.out
        assert command == "status" or "log/checkpoint is missing" in said.out
