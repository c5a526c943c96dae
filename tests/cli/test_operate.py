"""Making a data directory, failing to, and the way back in."""

from pathlib import Path

import pytest

from nomoat.core.errors import Unavailable
from nomoat.server import initialize
from tests.cli.live import Caller, Live


def _left(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in root.rglob("*"))


def _fail(*_: object) -> None:
    raise Unavailable("keys", "the disk is full")


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_init_leaves_what_was_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    caller, data = Caller(tmp_path / "home"), tmp_path / "above" / "data"
    if there:
        data.mkdir(parents=True)
    before = _left(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(initialize, "starter_policies", _fail)
        said = caller.nomoat("init", str(data), "--admin", "ann")
    assert (said.code, "the disk is full" in said.err) == (3, True)
    assert _left(tmp_path) == before
    assert caller.nomoat("init", str(data), "--admin", "ann").code == 0


def test_a_key_that_is_there_is_named_and_kept_and_nothing_is_made(tmp_path: Path) -> None:
    caller, kek = Caller(tmp_path / "home"), tmp_path / "old.kek"
    kek.write_text("precious")
    said = caller.nomoat("init", str(tmp_path / "data"), "--kek", str(kek))
    assert said.code == 1
    assert str(kek) in said.err
    assert "--kek FILE" in said.err
    assert kek.read_text() == "precious"
    assert not (tmp_path / "data").exists()


def test_what_a_killed_init_left_is_called_that(tmp_path: Path) -> None:
    caller, data = Caller(tmp_path / "home"), tmp_path / "data"
    (data / "keys").mkdir(parents=True)
    for command, code in (("serve", 3), ("init", 1)):
        said = caller.nomoat(command, str(data))
        assert (said.code, "init that did not finish" in said.err) == (code, True)
    assert _left(data) == [Path("keys")]


def test_the_way_back_in_is_recorded(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        ann = live.admin()
        said = live.operator.nomoat("recover", str(live.data), "ann")
        assert (said.code, "another gateway is using it" in said.err) == (3, True)
        asked = ann.nomoat("revoke", "person", "ann")
        assert (asked.code, "--yes" in asked.err) == (2, True)
        assert ann.nomoat("revoke", "person", "ann", "--yes").code == 0
        live.stop()
        said = live.operator.nomoat("recover", str(live.data), "zed")
        assert (said.code, "the administrators are: ann" in said.err) == (1, True)
        done = live.operator.nomoat("recover", str(live.data), "ann", "--json").json()
        live.start()
        again = ann.nomoat("login", live.url, "--code", str(done["code"]), "--replace")
        assert again.code == 0, again.err
        found = ann.nomoat("audit", "search", "on person:ann what Recover")
        assert str(done["record"]) in found.out
        assert "Recover" in found.out


def test_without_the_key_nobody_comes_back(tmp_path: Path) -> None:
    live = Live(tmp_path / "gateway")
    Path(str(live.made["kek"])).rename(tmp_path / "elsewhere")
    said = live.operator.nomoat("recover", str(live.data), "ann")
    assert (said.code, "no key-encryption key" in said.err) == (3, True)
