"""A token file is fresh for as long as a program runs, and nothing that is wrong with it is silent."""

import threading
from collections.abc import Callable, Generator
from pathlib import Path
from time import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from nomoat.client.errors import LogContradicted, NotLoggedIn
from nomoat.client.login import log_in
from nomoat.client.profiles import Profile
from nomoat.client.session import Session
from nomoat.client.tokens import Refresher, write_token
from nomoat.core.errors import NoMoatError, Unauthenticated, Unavailable
from tests.client.impostor import Answer, Authority, Impostor, Request, SignedLog, code_for, gateway

LOG = SignedLog()


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


class Tokens:
    """Answers `/v1/token`; `reached(n)` waits until the n-th was asked for."""

    def __init__(self, life: int, size: Callable[[int], int] = lambda _: 5) -> None:
        self.issued = 0
        self.failing: Answer | None = None
        self._life = life
        self._size = size
        self._moved = threading.Condition()

    def __call__(self, _: Request) -> Answer:
        with self._moved:
            self.issued += 1
            self._moved.notify_all()
            if self.failing is not None:
                return self.failing
            checkpoint = LOG.checkpoint(self._size(self.issued))
            answer = {"access_token": f"token-{self.issued}", "token_type": "Bearer", "expires_in": self._life}
            return 200, {**answer, "checkpoint": checkpoint}

    def reached(self, number: int) -> None:
        with self._moved:
            assert self._moved.wait_for(lambda: self.issued >= number, timeout=10), f"only {self.issued} tokens"


class Warnings:
    def __init__(self) -> None:
        self.told: list[NoMoatError] = []
        self._told = threading.Condition()

    def __call__(self, error: NoMoatError) -> None:
        with self._told:
            self.told.append(error)
            self._told.notify_all()

    def wait(self) -> NoMoatError:
        with self._told:
            assert self._told.wait_for(lambda: bool(self.told), timeout=10)
            return self.told[0]


def test_the_token_file_is_private_and_expires_when_the_token_does(server: Impostor, profile: Profile) -> None:
    server.answers["/v1/token"] = Tokens(900)
    with Session(profile, lambda: 1000.0) as session:
        written = write_token(session, lambda: 1000.0)
    assert profile.read("hub/token") == b"token-1"
    assert (written.renew_at, written.expires_at) == (1450.0, 1900.0)


def test_a_running_program_always_finds_a_fresh_token(server: Impostor, profile: Profile) -> None:
    server.answers["/v1/token"] = tokens = Tokens(1, size=lambda number: 5 + number)
    warnings = Warnings()
    with Session(profile, time) as session, Refresher(session, time, warnings):
        assert profile.read("hub/token") == b"token-1"
        tokens.reached(3)
    assert warnings.told == []
    asked = tokens.issued
    assert profile.read("hub/token") == f"token-{asked}".encode()


def test_an_absent_gateway_is_tried_again_and_told_once(server: Impostor, profile: Profile) -> None:
    server.answers["/v1/token"] = tokens = Tokens(1)
    warnings = Warnings()
    with Session(profile, time) as session, Refresher(session, time, warnings):
        tokens.failing = (503, {"error": "log: no space left"})
        tokens.reached(4)
        tokens.failing = None
        before = tokens.issued
        tokens.reached(before + 2)
    assert isinstance(warnings.wait(), Unavailable)
    assert len(warnings.told) == 1
    assert profile.read("hub/token") != b"token-1"


def test_a_refusal_ends_the_refreshing(server: Impostor, profile: Profile) -> None:
    server.answers["/v1/token"] = tokens = Tokens(1)
    warnings = Warnings()
    with Session(profile, time) as session, Refresher(session, time, warnings) as refresher:
        tokens.failing = (401, {"error": "the session was revoked", "record": 7})
        error = warnings.wait()
        assert refresher.join(5), "it goes on"
        asked = tokens.issued
    assert isinstance(error, Unauthenticated)
    assert error.record == 7
    assert tokens.issued == asked


def test_a_log_that_is_rolled_back_while_a_program_runs_ends_the_refreshing(server: Impostor, profile: Profile) -> None:
    server.answers["/v1/token"] = Tokens(1, size=lambda number: 9 if number == 1 else 4)
    warnings = Warnings()
    with Session(profile, time) as session, Refresher(session, time, warnings):
        error = warnings.wait()
    assert isinstance(error, LogContradicted)
    assert profile.read("hub/token") == b"token-1", "a token of a gateway that lies about its log was used"


def in_middle_age(profile: Profile, *, half: float) -> float:
    """Return a time when `half` of the profile's certificate's life is over (1.0: half of it)."""
    with Session(profile, time) as session:
        begin = session.renewal_due - 1800
    return begin + 1800 * half


@pytest.mark.parametrize(("half", "renewed"), [(0.9, False), (1.1, True), (2.5, True)])
def test_a_person_s_certificate_is_renewed_by_its_device(
    server: Impostor, profile: Profile, half: float, renewed: bool
) -> None:
    now = in_middle_age(profile, half=half)
    server.answers["/v1/token"] = Tokens(900)
    with Session(profile, lambda: now) as session:
        session.token()
    assert ("/v1/certificate" in server.paths()) is renewed
    if renewed:
        request = server.requests[-2]
        assert request.body["restart"] is False
        assert request.authorization.startswith("NoMoat-Device ")


def test_a_certificate_that_still_holds_outlives_an_absent_gateway(server: Impostor, profile: Profile) -> None:
    now = in_middle_age(profile, half=1.5)
    server.answers["/v1/certificate"] = lambda _: (503, {"error": "state: busy"})
    server.answers["/v1/token"] = Tokens(900)
    with Session(profile, lambda: now) as session:
        assert session.token().access_token == "token-1"
    with Session(profile, lambda: now + 1800) as session, pytest.raises(Unavailable):
        session.token()


def as_workload(server: Impostor, profile: Profile) -> None:
    """Make the profile a workload's."""

    def issue(request: Request) -> Answer:
        csr = x509.load_pem_x509_csr(str(request.body["csr"]).encode())
        public = csr.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        spiffe_id = "spiffe://acme.example/train"
        answer: dict[str, object] = {
            "certificate": server.authority.issue(public, x509.UniformResourceIdentifier(spiffe_id)),
            "ca": server.authority.pem,
            "subject": "workload:train",
            "session": "s1",
            "spiffe_id": spiffe_id,
            "trust_domain": "acme.example",
            "log_key": LOG.key,
            "checkpoint": LOG.checkpoint(5),
        }
        return 200, answer

    server.answers["/v1/workload"] = server.answers["/v1/certificate"] = issue
    log_in(profile, server.url, code_for(server.authority, "nmw"))


def test_a_workload_renews_over_the_certificate_that_it_has(server: Impostor, tmp_path: Path) -> None:
    profile = Profile.named("w", {"NOMOAT_HOME": str(tmp_path / "home")})
    as_workload(server, profile)
    before = profile.certificate_path.read_bytes()
    now = in_middle_age(profile, half=1.5)
    server.answers["/v1/token"] = Tokens(900)
    with Session(profile, lambda: now) as session:
        session.token()
    assert server.requests[-2].path == "/v1/certificate"
    assert server.requests[-2].authorization == ""
    assert profile.certificate_path.read_bytes() != before


def test_a_workload_with_an_expired_certificate_needs_a_code(server: Impostor, tmp_path: Path) -> None:
    profile = Profile.named("w", {"NOMOAT_HOME": str(tmp_path / "home")})
    as_workload(server, profile)
    now = in_middle_age(profile, half=2.1)
    with Session(profile, lambda: now) as session, pytest.raises(NotLoggedIn) as caught:
        session.token()
    assert "nomoat enroll train --workload, and then: nomoat login" in caught.value.advice
    assert "/v1/certificate" not in server.paths()
