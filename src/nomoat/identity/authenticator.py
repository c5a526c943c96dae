"""Presented → Principal: step 1 of the path, on headers and connection alone.

Rules: synchronous, without I/O. Cached are signatures only; on every request this compares the
clock with the credential and the session, the binding with this connection's certificate, and the
name with the newest directory, from which groups, clearance and segment come. What a credential is
not made for, its principal is confined from. Every failure is `Unauthenticated` with a stable `kind`
and a reason that says what to do and no more.
"""

import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Final, assert_never, final

from nomoat.core._seal import SEAL
from nomoat.core.connection import (
    Bearer,
    Capability,
    DeviceAssertion,
    OneTimeCode,
    Presented,
    Proof,
    Proven,
    Verified,
)
from nomoat.core.directory import Directory, Person, Workload
from nomoat.core.errors import CHALLENGE, Holder, Unauthenticated
from nomoat.core.operation import JoinWorkload, Operation, RegisterDevice, RenewCertificate
from nomoat.core.principal import Binding, Principal, PrincipalKind
from nomoat.identity.assertions import Assertions
from nomoat.identity.capabilities import Capabilities
from nomoat.identity.codes import Codes
from nomoat.identity.peers import Peer, Peers
from nomoat.identity.proofs import Proofs
from nomoat.identity.registry import Registry, Session, with_new_code
from nomoat.identity.tokens import Claims, TokenAuthority
from nomoat.identity.trust_domain import Subject, TrustDomain

KEPT: Final = 16_384  # principals of bearers, about 1 KiB each

_CODE_FOR: Final = {
    PrincipalKind.PERSON: frozenset({RegisterDevice.action}),
    PrincipalKind.WORKLOAD: frozenset({JoinWorkload.action}),
}
_ASSERTION_FOR: Final = frozenset({RenewCertificate.action})


@final
class Authenticator:
    """Turns what a request presents into a `Principal`. `directory` returns the newest snapshot."""

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        registry: Registry,
        peers: Peers,
        tokens: TokenAuthority,
        codes: Codes,
        assertions: Assertions,
        capabilities: Capabilities,
        proofs: Proofs,
        directory: Callable[[], Directory],
        clock: Callable[[], float],
    ) -> None:
        self._trust_domain = trust_domain
        self._registry = registry
        self._peers = peers
        self._tokens = tokens
        self._codes = codes
        self._assertions = assertions
        self._capabilities = capabilities
        self._proofs = proofs
        self._directory = directory
        self._clock = clock
        self._bearers: dict[Claims, tuple[Session, Person | Workload, Principal]] = {}

    def authenticate(self, presented: Presented) -> Principal:
        """Return who presents this, verified now; raise `Unauthenticated` otherwise."""
        now = self._clock()
        credential = presented.credential
        match credential:
            case Bearer():
                return self._by_bearer(credential.token, presented.connection.certificate, now)
            case Proven():
                return self._by_proven(credential, presented.method, now)
            case None | Proof():
                return self._by_certificate(presented.connection.certificate, credential, presented.method, now)
            case Capability():
                return self._by_capability(credential.secret, now)
            case OneTimeCode():
                found = self._by_code(credential.code, now)
            case DeviceAssertion():
                found = self._by_assertion(credential.token, now)
            case Verified():
                found = self.refresh(credential.principal)
            case _:
                assert_never(credential)
        return found

    async def stored(self) -> None:
        """Return when what a replayed code ended is stored, if `authenticate` ended anything."""
        await self._codes.stored()

    def refresh(self, principal: Principal) -> Principal:
        """Return `principal` as it is now, without looking at its credential again.

        For an access in flight when something changed: one-time credentials are not spent twice.
        Raises `Unauthenticated` when its time is over, its session ended or its name is gone.
        """
        now = self._clock()
        if now >= principal.expires_at:
            raise Unauthenticated("the credential has expired", kind="expired")
        holder = Subject(principal.kind, principal.name, principal.device)
        if principal.binding is Binding.CODE:
            self._codes.still_good(principal.session, now)
        elif principal.session == principal.device:  # a device key without a live session
            self._require_device(principal.device)
        else:
            self._registry.live(principal.session, holder, now)
        declared = self._declared(holder)
        segment = declared.segment if isinstance(declared, Workload) else ""
        return replace(principal, groups=declared.groups, clearance=declared.clearance, segment=segment)

    # -- One way in for each kind of credential -----------------------------------------------------

    def _by_bearer(self, token: str, certificate: bytes | None, now: float) -> Principal:
        claims = self._tokens.verify(token, now)
        binding, thumbprint = Binding.NONE, ""
        if claims.key:  # RFC 9449, section 7.1: never as a bearer
            raise Unauthenticated("the access token is bound to a key; prove it: nomoat proxy", kind="unbound")
        if claims.bound:  # RFC 8705, section 3
            if certificate is None:
                raise Unauthenticated("the access token is bound to a certificate that is not here", kind="unbound")
            peer = self._current(certificate, now)
            if not hmac.compare_digest(peer.thumbprint, claims.bound):
                raise Unauthenticated("the access token is bound to another key", kind="wrong-binding")
            binding, thumbprint = Binding.MTLS, peer.thumbprint
        return self._by_claims(claims, binding, thumbprint, now)

    def _by_proven(self, credential: Proven, method: str, now: float) -> Principal:
        """RFC 9449, section 7: a token with the proof of its key, made for this request."""
        claims = self._tokens.verify(credential.token, now)
        if not claims.key:
            raise Unauthenticated("the access token is bound to no key; send it as a Bearer", kind="unbound")
        if credential.proof is None:
            raise Unauthenticated("the access token came without a DPoP proof of its key", kind="no-proof")
        try:
            self._proofs.verify(credential.proof, method=method, now=now, token=credential.token, key=claims.key)
        except Unauthenticated as refusal:
            if refusal.kind == CHALLENGE:  # only when nothing else is wrong: who is refused for good is told so
                self._by_claims(claims, Binding.DPOP, "", now)
            raise
        return self._by_claims(claims, Binding.DPOP, "", now)

    def _by_claims(self, claims: Claims, binding: Binding, thumbprint: str, now: float) -> Principal:
        session = self._registry.live(claims.session, claims.subject, now)
        expires_at = min(claims.expires_at, session.expires_at)
        kept = self._bearers.get(claims)
        # INVARIANT (same): what a kept principal was made of is what it would be made of now.
        if (
            kept
            and kept[0] is session
            and kept[1] is self._declared(claims.subject)
            and kept[2].expires_at == expires_at
        ):
            return kept[2]
        principal = self._principal(
            claims.subject,
            claims.spiffe_id,
            session,
            binding,
            claims.obtained,
            expires_at,
            None,
            thumbprint,
            claims.key,
        )
        if len(self._bearers) >= KEPT:
            self._bearers.clear()
        self._bearers[claims] = session, self._declared(claims.subject), principal
        return principal

    def _by_certificate(self, certificate: bytes | None, proof: Proof | None, method: str, now: float) -> Principal:
        """A certificate; with the proof of a key as well, to have a token bound to it (RFC 9449, section 5)."""
        if certificate is None:
            raise Unauthenticated("no credential was presented; run: nomoat login", kind="missing")
        peer = self._current(certificate, now)
        session = self._registry.live(peer.session, peer.subject, now)
        expires_at = min(peer.not_after, session.expires_at)
        key = "" if proof is None else self._proofs.verify(proof, method=method, now=now)
        return self._principal(
            peer.subject, peer.spiffe_id, session, Binding.MTLS, Binding.MTLS, expires_at, None, peer.thumbprint, key
        )

    def _by_capability(self, secret: str, now: float) -> Principal:
        grant = self._capabilities.authenticate(secret, now)
        session = self._registry.live(grant.session, grant.holder, now)
        expires_at = min(grant.expires_at, session.expires_at)
        return self._principal(
            grant.holder, grant.spiffe_id, session, Binding.CAPABILITY, grant.obtained, expires_at, grant.operation
        )

    def _by_code(self, text: str, now: float) -> Principal:
        code = self._codes.authenticate(text, now)
        subject = Subject(code.kind, code.subject)
        # There is no session yet: the code stands for it, so that a revocation finds the access.
        standing = Session(code.handle, code.kind, code.subject, "", int(now), code.expires_at)
        spiffe_id = self._trust_domain.spiffe_id(subject)
        confined = _CODE_FOR[code.kind]
        return self._principal(subject, spiffe_id, standing, Binding.CODE, Binding.CODE, code.expires_at, confined)

    def _by_assertion(self, token: str, now: float) -> Principal:
        device, expires_at = self._assertions.verify(token, now)
        self._require_device(device.id)
        subject = Subject(PrincipalKind.PERSON, device.person, device.id)
        # Proving the device key is a log-in of its own; without a live session the device stands for it.
        session = self._registry.newest_session(device, now)
        name = device.id if session is None else session.id
        standing = Session(name, subject.kind, subject.name, device.id, int(now), expires_at)
        spiffe_id = self._trust_domain.spiffe_id(subject)
        key = Binding.DEVICE_KEY
        return self._principal(subject, spiffe_id, standing, key, key, expires_at, _ASSERTION_FOR)

    # -- What they share ----------------------------------------------------------------------------

    def _current(self, certificate: bytes, now: float) -> Peer:
        """Return the evidence of a certificate that is valid now: a live connection may outlast it."""
        peer = self._peers.verify(certificate)
        if now >= peer.not_after:
            raise Unauthenticated("the certificate has expired; renew it and connect again", kind="expired")
        if now < peer.not_before:
            raise Unauthenticated("the certificate is not valid yet; is a clock wrong?", kind="not-yet-valid")
        return peer

    def _require_device(self, name: str) -> None:
        device = self._registry.device(name)
        if device is None or device.revoked:
            holder = None if device is None else Holder(f"{PrincipalKind.PERSON}:{device.person}", "", device.id)
            raise Unauthenticated(f"the device was revoked; {with_new_code()}", kind="revoked", holder=holder)

    def _declared(self, subject: Subject) -> Person | Workload:
        directory = self._directory()
        people = subject.kind is PrincipalKind.PERSON
        declared = (directory.people if people else directory.workloads).get(subject.name)
        if declared is None:
            raise Unauthenticated(
                f"no {subject.kind} of this name is declared here (any more)",
                kind="undeclared",
                holder=Holder(str(subject), "", subject.device),
            )
        return declared

    def _principal(
        self,
        subject: Subject,
        spiffe_id: str,
        session: Session,
        binding: Binding,
        obtained: Binding,
        expires_at: int,
        confined_to: frozenset[str] | Operation | None,
        certificate: str = "",
        key: str = "",
    ) -> Principal:
        declared = self._declared(subject)
        return Principal(
            kind=subject.kind,
            name=subject.name,
            identifier=spiffe_id,
            groups=declared.groups,
            clearance=declared.clearance,
            segment=declared.segment if isinstance(declared, Workload) else "",
            session=session.id,
            device=subject.device,
            binding=binding,
            obtained=obtained,
            authenticated_at=session.authenticated_at,
            expires_at=expires_at,
            confined_to=confined_to,
            certificate=certificate,
            key=key,
            seal=SEAL,
        )
