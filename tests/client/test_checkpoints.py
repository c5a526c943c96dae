"""The kept checkpoint only ever moves forward, and whoever takes it back is caught."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.client.checkpoints import Keeper
from nomoat.client.errors import BadProfile, LogContradicted
from nomoat.client.profiles import Identity, Profile
from nomoat.core.errors import Unavailable
from tests.client.impostor import SignedLog

LOG = SignedLog()


def keeper(directory: Path) -> Keeper:
    identity = Identity("https://x", "acme.example", "person:a", "spiffe://acme.example/a", "d", "s", LOG.key)
    return Keeper(Profile("p", directory), identity)


def test_the_newest_is_kept(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    assert kept.kept() is None
    for size in (0, 3, 3, 9):
        kept.watch().keep(LOG.checkpoint(size))
    newest = kept.kept()
    assert newest is not None
    assert newest.size == 9


def test_a_rolled_back_log_is_refused_and_the_evidence_stays(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(9))
    with pytest.raises(LogContradicted, match="rolled back: this profile saw 9 records") as caught:
        kept.watch().keep(LOG.checkpoint(8))
    assert (caught.value.kept, caught.value.offered) == (9, 8)
    assert (tmp_path / "checkpoint").read_text() == LOG.checkpoint(9)


def test_a_forked_log_is_refused(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(9))
    with pytest.raises(LogContradicted, match="forked"):
        kept.watch().keep(LOG.checkpoint(9, history="another"))


def test_answers_that_overtake_each_other_are_no_rollback(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(5))
    slow, quick = kept.watch(), kept.watch()
    quick.keep(LOG.checkpoint(9))
    slow.keep(LOG.checkpoint(7))  # signed before the other one, arrived after it
    newest = kept.kept()
    assert newest is not None
    assert newest.size == 9
    with pytest.raises(LogContradicted):
        slow.keep(LOG.checkpoint(4))  # smaller than what was known when it was asked for


def test_a_fork_that_overtakes_is_still_a_fork(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    slow, quick = kept.watch(), kept.watch()
    quick.keep(LOG.checkpoint(9))
    with pytest.raises(LogContradicted, match="forked"):
        slow.keep(LOG.checkpoint(9, history="another"))


def test_another_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogContradicted, match="not signed by the key"):
        keeper(tmp_path).watch().keep(SignedLog("evil.example").checkpoint(9))


def test_a_changed_number_is_refused(tmp_path: Path) -> None:
    note = LOG.checkpoint(9).replace("\n9\n", "\n99\n")
    with pytest.raises(LogContradicted):
        keeper(tmp_path).watch().keep(note)
    assert not (tmp_path / "checkpoint").exists()


@given(st.text(max_size=200))
def test_no_text_is_taken_for_a_checkpoint(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.mktemp("profile")
    with pytest.raises((Unavailable, LogContradicted)):
        keeper(directory).watch().keep(text)
    assert not (directory / "checkpoint").exists()


def test_a_kept_checkpoint_that_was_edited_is_noticed(tmp_path: Path) -> None:
    Profile("p", tmp_path).write("checkpoint", LOG.checkpoint(9).replace("\n9\n", "\n1\n").encode())
    with pytest.raises(BadProfile, match="kept checkpoint does not verify"):
        keeper(tmp_path).watch()
