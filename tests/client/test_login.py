"""A one-time code is sent to the gateway that it names, or to nobody."""

import contextlib
import http.server
import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nomoat.client.errors import BadProfile, LogContradicted, NoGateway, Untrusted
from nomoat.client.login import log_in, log_in_again
from nomoat.client.profiles import Profile
from nomoat.core.errors import Malformed, Unauthenticated, Unavailable
from tests.client.impostor import Authority, Impostor, SignedLog, code_for, gateway

LOG = SignedLog()
ME = "spiffe://acme.example/person/ann/device/d1"


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile.named("p", {"NOMOAT_HOME": str(tmp_path / "home")})


def test_a_code_becomes_a_profile(profile: Profile, tmp_path: Path) -> None:
    authority = Authority()
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG)
        code = code_for(authority)
        done = log_in(profile, server.url, code)
    assert done.identity.spiffe_id == ME
    assert profile.identity() == done.identity
    assert server.paths() == ["/v1/ca", "/v1/device"]
    assert [request.authorization for request in server.requests] == ["", f"NoMoat-Code {code}"]
    assert "PRIVATE" not in str(server.requests[1].body), "the key left the machine"
    assert sorted(path.name for path in profile.directory.iterdir()) == sorted(
        [".lock", "ca.pem", "certificate.pem", "checkpoint", "device.key", "hub", "profile.toml"]
    )


def test_a_gateway_with_another_ca_never_sees_the_code(profile: Profile, tmp_path: Path) -> None:
    with Impostor(tmp_path, Authority()) as server:
        gateway(server, LOG)
        with pytest.raises(Untrusted, match="or the code was mistyped"):
            log_in(profile, server.url, code_for(Authority()))
        assert server.paths() == ["/v1/ca"]
    assert not profile.exists


@contextlib.contextmanager
def plain_server() -> Generator[str]:
    """A server that speaks HTTP where TLS is expected."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_where_no_gateway_is_the_advice_is_to_check_the_address(profile: Profile, tmp_path: Path) -> None:
    code = code_for(Authority())
    with Impostor(tmp_path, Authority()) as server, plain_server() as plain:
        server.answers["/v1/ca"] = lambda _: (404, "<html>")
        for url in (server.url, plain, "https://127.0.0.1:1", "https://misspelt.invalid"):
            with pytest.raises(NoGateway) as caught:
                log_in(profile, url, code)
            assert caught.value.advice == "check the address and port, and that nomoat serve DIR runs there"


def test_a_certificate_from_the_future_is_about_clocks(profile: Profile, tmp_path: Path) -> None:
    authority = Authority()
    begin = datetime.now(UTC) + timedelta(hours=2)
    with Impostor(tmp_path, authority, begin=begin) as server:
        gateway(server, LOG)
        with pytest.raises(Untrusted, match="not valid yet") as caught:
            log_in(profile, server.url, code_for(authority))
    assert "clocks" in caught.value.advice


def test_the_right_ca_behind_the_wrong_certificate_never_sees_the_code(profile: Profile, tmp_path: Path) -> None:
    # A relay in the middle can pass on the public CA, but it has no certificate by it.
    authority = Authority()
    with Impostor(tmp_path, authority, presented=Authority()) as server:
        gateway(server, LOG)
        with pytest.raises(Untrusted, match="not the gateway of this trust domain"):
            log_in(profile, server.url, code_for(authority))
        assert server.paths() == ["/v1/ca"]
    assert not profile.exists


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"ca": Authority().pem}, "another trust domain"),
        ({"named": "spiffe://acme.example/person/eve/device/d1"}, "somebody else"),
        ({"spiffe_id": "spiffe://evil.example/person/ann"}, "another trust domain"),
        ({"certificate": "not a certificate"}, "not one"),
    ],
)
def test_what_was_issued_is_checked(
    profile: Profile, tmp_path: Path, changed: dict[str, object], complaint: str
) -> None:
    authority = Authority()
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG, changed=changed)
        with pytest.raises(Untrusted, match=complaint):
            log_in(profile, server.url, code_for(authority))
    assert not profile.exists


def test_a_certificate_for_another_key_is_refused(profile: Profile, tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = Authority()
    other = authority.issue(ec.generate_private_key(ec.SECP256R1()).public_key(), x509.UniformResourceIdentifier(ME))
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG, changed={"certificate": other})
        with pytest.raises(Untrusted, match="another key"):
            log_in(profile, server.url, code_for(authority))


def test_a_new_log_in_keeps_what_the_profile_knows_of_the_log(profile: Profile, tmp_path: Path) -> None:
    authority = Authority()
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG, size=9)
        log_in(profile, server.url, code_for(authority))
        gateway(server, LOG, size=4)
        with pytest.raises(LogContradicted, match="rolled back"):
            log_in(profile, server.url, code_for(authority), replace=True)
        gateway(server, SignedLog("other.example"), size=90)
        with pytest.raises(LogContradicted, match="another key"):
            log_in(profile, server.url, code_for(authority), replace=True)


def test_a_profile_of_another_trust_domain_is_not_overwritten(profile: Profile, tmp_path: Path) -> None:
    authority = Authority()
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG)
        log_in(profile, server.url, code_for(authority))
        elsewhere = "spiffe://other.example/person/ann/device/d1"
        gateway(server, LOG, changed={"trust_domain": "other.example", "spiffe_id": elsewhere, "named": elsewhere})
        with pytest.raises(BadProfile, match=r"belongs to person:ann of acme\.example"):
            log_in(profile, server.url, code_for(authority), replace=True)
    assert profile.identity().trust_domain == "acme.example"


def test_a_profile_in_use_is_replaced_only_when_asked_for(profile: Profile, tmp_path: Path) -> None:
    authority = Authority()
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG)
        log_in(profile, server.url, code_for(authority))
        key = profile.key_path.read_bytes()
        with pytest.raises(BadProfile, match=r"in use by person:ann of acme\.example"):
            log_in(profile, server.url, code_for(authority))
        assert server.paths() == ["/v1/ca", "/v1/device"], "the code was sent all the same"
        assert profile.key_path.read_bytes() == key
        log_in(profile, server.url, code_for(authority), replace=True)
    assert profile.key_path.read_bytes() != key


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (401, {"error": "the code was used before", "record": None}, Unauthenticated),
        (503, {"error": "unavailable: log: no space"}, Unavailable),
        (500, "<html>", Unavailable),
        (200, {"certificate": 7}, Unavailable),
        (200, "[]", Unavailable),
    ],
)
def test_a_failed_log_in_leaves_no_profile(
    profile: Profile, tmp_path: Path, status: int, answer: dict[str, object] | str, error: type[Exception]
) -> None:
    authority = Authority()
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG)
        server.answers["/v1/device"] = lambda _: (status, answer)
        with pytest.raises(error):
            log_in(profile, server.url, code_for(authority))
    assert not profile.exists


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1", "https://user:x@h", "https://h/path", "https://h?x", "ftp://h", "https://", "https://h:x"],
)
def test_an_address_is_https_and_nothing_else(profile: Profile, url: str) -> None:
    with pytest.raises(Malformed, match="a gateway's address is"):
        log_in(profile, url, code_for(Authority()))


def test_a_device_starts_a_new_session_with_its_key_alone(profile: Profile, tmp_path: Path) -> None:
    authority = Authority()
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG)
        log_in(profile, server.url, code_for(authority))
        gateway(server, LOG, changed={"session": "s2"})
        log_in_again(profile, lambda: 1_800_000_000.0)
        last = server.requests[-1]
    assert (last.path, last.body["restart"]) == ("/v1/certificate", True)
    assert last.authorization.startswith("NoMoat-Device ey")
    assert profile.identity().session == "s2"


def test_a_renewed_certificate_is_checked_before_it_is_kept(profile: Profile, tmp_path: Path) -> None:
    authority = Authority()
    with Impostor(tmp_path, authority) as server:
        gateway(server, LOG, size=9)
        log_in(profile, server.url, code_for(authority))
        before = profile.certificate_path.read_bytes()
        cases: list[tuple[dict[str, object], type[Exception]]] = [
            ({"ca": Authority().pem}, Untrusted),
            ({"subject": "person:eve"}, Untrusted),
            ({"log_key": SignedLog("evil.example").key}, LogContradicted),
            ({"checkpoint": LOG.checkpoint(2)}, LogContradicted),
        ]
        for changed, error in cases:
            gateway(server, LOG, size=9, changed=changed)
            with pytest.raises(error):
                log_in_again(profile, lambda: 1_800_000_000.0)
    assert profile.certificate_path.read_bytes() == before
