"""The kept checkpoint only ever moves forward, only with a proof, and whoever takes it back is caught."""

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.client.checkpoints import Keeper
from nomoat.client.errors import BadProfile, LogContradicted, NoGateway
from nomoat.client.gateway import Gateway
from nomoat.client.login import log_in
from nomoat.client.profiles import Identity, Profile
from nomoat.client.session import Session
from nomoat.client.transport import Transport, pinned_context
from nomoat.core.errors import Malformed, NotFound, Unavailable
from tests.client.impostor import Answer, Authority, Impostor, Request, SignedLog, code_for, gateway

LOG = SignedLog()


def keeper(directory: Path) -> Keeper:
    identity = Identity("https://x", "acme.example", "person:a", "spiffe://acme.example/a", "d", "s", LOG.key)
    return Keeper(Profile("p", directory), identity)


def unasked(old: int, new: int) -> list[bytes]:
    raise AssertionError(f"a proof from {old} to {new} was asked for")


def another(old: int, new: int) -> list[bytes]:
    return LOG.prove(old, new, history="another")


def size(kept: Keeper) -> int:
    newest = kept.kept()
    assert newest is not None
    return newest.size


def test_the_newest_is_kept(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    assert kept.kept() is None
    for offered in (0, 3, 3, 9):
        kept.watch().keep(LOG.checkpoint(offered), LOG.prove)
    assert size(kept) == 9


def test_only_what_grew_needs_a_proof(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    for offered in (0, 5, 5):  # the first one that there is, one that extends nothing, the same again
        kept.watch().keep(LOG.checkpoint(offered), unasked)
    asked: list[tuple[int, int]] = []

    def prove(old: int, new: int) -> list[bytes]:
        asked.append((old, new))
        return LOG.prove(old, new)

    kept.watch().keep(LOG.checkpoint(9), prove)
    assert asked == [(5, 9)]


def test_a_rolled_back_log_is_refused_and_the_evidence_stays(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(9), unasked)
    with pytest.raises(LogContradicted, match="rolled back: this profile saw 9 records") as caught:
        kept.watch().keep(LOG.checkpoint(8), unasked)
    assert (caught.value.kept, caught.value.offered) == (9, 8)
    assert (tmp_path / "checkpoint").read_text() == LOG.checkpoint(9)
    assert (tmp_path / "checkpoint.contradicting").read_text() == LOG.checkpoint(8)
    assert f"keep {tmp_path / 'checkpoint'} and {tmp_path / 'checkpoint.contradicting'}" in caught.value.advice


@pytest.mark.parametrize("prove", [another, LOG.prove])
@pytest.mark.parametrize("grown", [10, 11, 16, 17, 40])
def test_a_log_that_was_rolled_back_and_regrew_is_refused(tmp_path: Path, prove: object, grown: int) -> None:
    """Its own tree proves nothing of what was kept, and neither does the one that it had."""
    assert callable(prove)
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(9), unasked)
    with pytest.raises(LogContradicted, match="rolled back or forked") as caught:
        kept.watch().keep(LOG.checkpoint(grown, history="another"), prove)
    assert (caught.value.kept, caught.value.offered) == (9, grown)
    assert (tmp_path / "checkpoint").read_text() == LOG.checkpoint(9)
    assert (tmp_path / "checkpoint.contradicting").read_text() == LOG.checkpoint(grown, history="another")
    kept.watch().keep(LOG.checkpoint(grown), LOG.prove)  # the true log is still accepted
    assert size(kept) == grown


def test_the_alarm_is_raised_though_its_evidence_cannot_be_written(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(9), unasked)
    (tmp_path / "checkpoint.contradicting").mkdir()
    with pytest.raises(LogContradicted, match="rolled back") as caught:
        kept.watch().keep(LOG.checkpoint(8), unasked)
    assert f"keep {tmp_path / 'checkpoint'}, tell" in caught.value.advice


def test_a_forked_log_is_refused(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(9), unasked)
    with pytest.raises(LogContradicted, match="forked"):
        kept.watch().keep(LOG.checkpoint(9, history="another"), unasked)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=6))
def test_no_other_hashes_prove_anything(tmp_path_factory: pytest.TempPathFactory, proof: list[bytes]) -> None:
    kept = keeper(tmp_path_factory.mktemp("profile"))
    kept.watch().keep(LOG.checkpoint(5), unasked)
    with pytest.raises(LogContradicted):
        kept.watch().keep(LOG.checkpoint(9), lambda _old, _new: proof)
    assert size(kept) == 5


@pytest.mark.parametrize("error", [Malformed("no such size"), NotFound("nothing here", kind="route")])
def test_a_refused_proof_is_a_missing_one(tmp_path: Path, error: Exception) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(5), unasked)

    def refuse(_old: int, _new: int) -> list[bytes]:
        raise error

    with pytest.raises(LogContradicted, match="gives no proof that joins them to the 5"):
        kept.watch().keep(LOG.checkpoint(9), refuse)
    assert size(kept) == 5


@pytest.mark.parametrize("error", [Unavailable("gateway", "it is busy"), NoGateway("it is away")])
def test_a_gateway_that_is_away_is_no_rollback_but_nothing_is_believed(tmp_path: Path, error: Exception) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(5), unasked)

    def fail(_old: int, _new: int) -> list[bytes]:
        raise error

    with pytest.raises(Unavailable):
        kept.watch().keep(LOG.checkpoint(9), fail)
    assert size(kept) == 5


def test_answers_that_overtake_each_other_are_no_rollback(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(5), unasked)
    slow, quick = kept.watch(), kept.watch()
    quick.keep(LOG.checkpoint(9), LOG.prove)
    slow.keep(LOG.checkpoint(7), LOG.prove)  # signed before the other one, arrived after it
    assert size(kept) == 9
    with pytest.raises(LogContradicted):
        slow.keep(LOG.checkpoint(4), LOG.prove)  # smaller than what was known when it was asked for


@pytest.mark.parametrize("offered", [7, 9])
def test_a_fork_that_overtakes_is_still_a_fork(tmp_path: Path, offered: int) -> None:
    kept = keeper(tmp_path)
    slow, quick = kept.watch(), kept.watch()
    quick.keep(LOG.checkpoint(9), unasked)
    with pytest.raises(LogContradicted, match="forked"):
        slow.keep(LOG.checkpoint(offered, history="another"), LOG.prove)


def test_what_another_process_kept_while_the_proof_was_fetched_is_joined_too(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(3), unasked)
    asked: list[tuple[int, int]] = []

    def overtaken(old: int, new: int) -> list[bytes]:
        asked.append((old, new))
        if len(asked) == 1:
            keeper(tmp_path).watch().keep(LOG.checkpoint(5), LOG.prove)
        return LOG.prove(old, new)

    kept.watch().keep(LOG.checkpoint(9), overtaken)
    assert asked == [(3, 9), (5, 9)]
    assert size(kept) == 9


def test_a_fork_that_another_process_kept_meanwhile_is_found(tmp_path: Path) -> None:
    """Each of the two extends what both knew; together they cannot be."""
    kept = keeper(tmp_path)
    kept.watch().keep(LOG.checkpoint(2), unasked)

    def overtaken(old: int, new: int) -> list[bytes]:
        keeper(tmp_path).watch().keep(LOG.checkpoint(5), LOG.prove)
        return another(old, new)

    with pytest.raises(LogContradicted, match="does not join them to the 5"):
        kept.watch().keep(LOG.checkpoint(9, history="another"), overtaken)
    assert size(kept) == 5


def test_another_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogContradicted, match="not signed by the key"):
        keeper(tmp_path).watch().keep(SignedLog("evil.example").checkpoint(9), unasked)


def test_a_changed_number_is_refused(tmp_path: Path) -> None:
    note = LOG.checkpoint(9).replace("\n9\n", "\n99\n")
    with pytest.raises(LogContradicted):
        keeper(tmp_path).watch().keep(note, unasked)
    assert not (tmp_path / "checkpoint").exists()


@given(st.text(max_size=200))
def test_no_text_is_taken_for_a_checkpoint(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.mktemp("profile")
    with pytest.raises((Unavailable, LogContradicted)):
        keeper(directory).watch().keep(text, unasked)
    assert not (directory / "checkpoint").exists()


def test_a_kept_checkpoint_that_was_edited_is_noticed(tmp_path: Path) -> None:
    Profile("p", tmp_path).write("checkpoint", LOG.checkpoint(9).replace("\n9\n", "\n1\n").encode())
    with pytest.raises(BadProfile, match="kept checkpoint does not verify"):
        keeper(tmp_path).watch()


# -- What a gateway answers that is no proof ---------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Generator[Impostor]:
    authority = Authority()
    with Impostor(tmp_path, authority) as running:
        gateway(running, LOG, size=5)
        yield running


@pytest.fixture
def profile(server: Impostor, tmp_path: Path) -> Profile:
    profile = Profile.named("p", {"NOMOAT_HOME": str(tmp_path / "home")})
    log_in(profile, server.url, code_for(server.authority))
    return profile


def ask(profile: Profile) -> None:
    with Session(profile, lambda: 0.0) as session:
        session._compare()


def test_a_session_compares_once_and_asks_for_one_proof(server: Impostor, profile: Profile) -> None:
    gateway(server, LOG, size=9)
    server.requests.clear()
    with Session(profile, lambda: 0.0) as session:
        session._compare()
        session._compare()
    assert server.paths() == ["/v1/checkpoint", "/v1/consistency"]
    assert server.requests[1].query == "old=5&new=9"
    assert profile.read("checkpoint") == LOG.checkpoint(9).encode()


GOOD: dict[str, object] = LOG.proves()(Request("GET", "", "", {}, "old=5&new=9"))[1]  # type: ignore[assignment]
NO_PROOFS: dict[str, Answer] = {
    "garbage": (200, "\x00\xff garbage"),
    "truncated": (200, '{"old": 5, "new": 9, "proof": ["'),
    "a list": (200, "[]"),
    "empty": (200, ""),
    "no proof": (200, {"old": 5, "new": 9}),
    "text for a list": (200, {**GOOD, "proof": "abc"}),
    "numbers": (200, {**GOOD, "proof": [1, 2]}),
    "short hashes": (200, {**GOOD, "proof": ["AAAA"]}),
    "nothing of it": (200, {**GOOD, "proof": []}),
    "other hashes": (200, {**GOOD, "proof": ["A" * 43 + "="] * 3}),
    "too many": (200, {**GOOD, "proof": ["A" * 43 + "="] * 1000}),
    "endless": (200, '{"old": 5, "new": 9, "proof": [' + " " * 100_000),
    "other sizes": LOG.proves()(Request("GET", "", "", {}, "old=4&new=9")),
    "a proof for others": (200, {**LOG.proves()(Request("GET", "", "", {}, "old=4&new=9"))[1], "old": 5}),  # type: ignore[dict-item]
    "old is true": (200, {**GOOD, "old": True}),
    "no such route": (404, {"error": "there is nothing at this address"}),
    "refused": (400, {"error": "refused: a proof leads from one size"}),
    "a bug": (500, {"error": "internal error; nothing was served"}),
    "another server": (404, "<html>"),
}


@pytest.mark.parametrize("answer", NO_PROOFS.values(), ids=NO_PROOFS.keys())
def test_what_is_no_proof_is_a_contradiction(server: Impostor, profile: Profile, answer: Answer) -> None:
    gateway(server, LOG, size=9)
    server.answers["/v1/consistency"] = lambda _: answer
    for _ in range(2):
        with pytest.raises(LogContradicted, match="rolled back or forked: the gateway signs 9 records") as caught:
            ask(profile)
    assert "tell your security team" in caught.value.advice
    assert profile.read("checkpoint") == LOG.checkpoint(5).encode()
    server.answers["/v1/consistency"] = LOG.proves()
    ask(profile)
    assert profile.read("checkpoint") == LOG.checkpoint(9).encode()


def test_a_busy_gateway_is_unavailable(server: Impostor, profile: Profile) -> None:
    gateway(server, LOG, size=9)
    server.answers["/v1/consistency"] = lambda _: (503, {"error": "unavailable: log: busy"})
    with pytest.raises(Unavailable, match="log: busy"):
        ask(profile)
    assert profile.read("checkpoint") == LOG.checkpoint(5).encode()


def test_a_renewal_and_a_second_log_in_move_on_with_a_proof_only(server: Impostor, profile: Profile) -> None:
    with Session(profile, lambda: 0.0) as session:
        session._compare()
        gateway(server, LOG, size=9)
        session.renew()
        assert profile.read("checkpoint") == LOG.checkpoint(9).encode()
        gateway(server, LOG, size=12)
        server.answers["/v1/consistency"] = LOG.proves("another")
        certificate = profile.read("certificate.pem")
        with pytest.raises(LogContradicted):
            session.renew()
        assert profile.read("certificate.pem") == certificate
    with pytest.raises(LogContradicted):
        log_in(profile, server.url, code_for(server.authority), replace=True)
    assert profile.read("checkpoint") == LOG.checkpoint(9).encode()


def test_the_client_reads_what_the_gateway_says(server: Impostor) -> None:
    with Transport(server.url, pinned_context(server.authority.pem)) as transport:
        assert Gateway(transport).consistency(5, 9) == LOG.prove(5, 9)
