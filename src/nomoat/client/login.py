"""Logging in with a one-time code: from a code to a profile, trusting nothing but the code.

The steps, in this order:
    1  the code names the SHA-256 fingerprint of the trust domain's CA
    2  the CA is fetched over a connection that proves nothing, and its fingerprint compared
    3  the device key is made and written, so that a full disk cannot waste the code
    4  over TLS verified with that CA, and only there, the code is sent, with a signing request
    5  the certificate, the log's key and its checkpoint are checked, then the profile is finished

Rules: the code is never sent before step 4. A profile in use is replaced only when that was asked for,
and never by one of another trust domain or log: what it knows of its log must not be lost.
"""

import hmac
from dataclasses import dataclass
from typing import NoReturn

from nomoat.client import credentials
from nomoat.client.checkpoints import Keeper, Prove
from nomoat.client.errors import BadProfile, LogContradicted, Untrusted
from nomoat.client.gateway import Gateway, Issued
from nomoat.client.profiles import Identity, Profile
from nomoat.client.session import Clock, Session
from nomoat.client.transport import Transport, UnsafeUnverified, parse_url, pinned_context
from nomoat.core.enrolment import parse_enrolment_code
from nomoat.core.principal import PrincipalKind

_ROUTES = {PrincipalKind.PERSON: "device", PrincipalKind.WORKLOAD: "workload"}


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The outcome of a log-in: who, and until when the certificate holds (Unix seconds)."""

    identity: Identity
    expires_at: float


def log_in(profile: Profile, url: str, code: str, *, replace: bool = False) -> LoggedIn:
    """Turn a one-time code into a profile; `replace` one that is in use.

    Raises `Malformed` (the address or the code does not parse), `Untrusted` (the server is not the
    one that the code names, or it issued something else), `Unauthenticated` (the code is spent,
    expired or unknown), `BadProfile` (the profile is in use) and `Unavailable`.
    """
    if profile.exists and not replace:
        _refuse_replacing(profile)
    address, parsed = parse_url(url), parse_enrolment_code(code)
    ca = UnsafeUnverified(address).fetch_ca()
    if not hmac.compare_digest(credentials.fingerprint(ca), parsed.fingerprint):
        raise Untrusted(
            f"the server at {address} is not the gateway that made this code (its CA has another fingerprint), or "
            "the code was mistyped",
            advice="check the address and the code; the code was not sent",
        )
    begun = profile.directory.exists()
    profile.create()
    key = credentials.create_key()
    try:
        profile.write("device.key.new", credentials.write_key(key))
        with Transport(address, pinned_context(ca)) as transport:
            gateway = Gateway(transport)
            issued = gateway.register(_ROUTES[parsed.kind], code, credentials.signing_request(key))
            identity = _check(issued, address, ca, key)
            _finish(profile, identity, issued, key, gateway.consistency)
    finally:
        (profile.directory / "device.key.new").unlink(missing_ok=True)
        if not begun and not profile.exists:
            profile.discard()
    _, end = credentials.validity(issued.certificate.encode())
    return LoggedIn(identity, end)


def log_in_again(profile: Profile, clock: Clock) -> LoggedIn:
    """Start a new session for a person's registered device; raises as `Session.restart` does."""
    with Session(profile, clock) as session:
        session.restart()
        _, end = credentials.validity(profile.require("certificate.pem"))
        return LoggedIn(session.identity, end)


def _check(issued: Issued, address: str, ca: str, key: credentials.DeviceKey) -> Identity:
    """Check what the gateway issued for the code; raises `Untrusted`."""
    prefix = f"spiffe://{issued.trust_domain}/"
    if issued.ca.strip() != ca.strip() or not issued.spiffe_id.startswith(prefix):
        raise Untrusted("the gateway issued a certificate of another trust domain")
    credentials.verify_issued(issued.certificate, ca=ca, key=key, spiffe_id=issued.spiffe_id)
    return Identity(
        url=address,
        trust_domain=issued.trust_domain,
        subject=issued.subject,
        spiffe_id=issued.spiffe_id,
        device=issued.device,
        session=issued.session,
        log_key=issued.log_key,
    )


def _refuse_replacing(profile: Profile) -> NoReturn:
    before = profile.identity()
    raise BadProfile(
        profile.name,
        f"it is in use by {before.subject} of {before.trust_domain}",
        advice="nomoat login URL --code CODE --profile NAME, or --replace (the code was not sent)",
    )


def _finish(profile: Profile, identity: Identity, issued: Issued, key: credentials.DeviceKey, prove: Prove) -> None:
    """Write the profile, its identity last; a checkpoint that it already keeps must not be contradicted."""
    if profile.exists:
        before = profile.identity()
        if before.trust_domain != identity.trust_domain:
            raise BadProfile(
                profile.name,
                f"it belongs to {before.subject} of {before.trust_domain}",
                advice="choose another one: nomoat login URL --code CODE --profile NAME (with a new code)",
            )
        if before.log_key != identity.log_key:
            raise LogContradicted("the gateway now signs its log with another key")
    Keeper(profile, identity).watch().keep(issued.checkpoint, prove)
    profile.write("ca.pem", issued.ca.encode())
    profile.write("certificate.pem", issued.certificate.encode())
    profile.write("device.key", credentials.write_key(key))
    profile.keep_identity(identity)
