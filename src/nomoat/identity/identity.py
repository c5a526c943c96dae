"""The room as a whole: its parts wired together, and what a permitted operation may ask of them.

Rules: every method that takes a `Principal` is called by a resource that holds a permit for exactly
that operation; policy has spoken. What is checked here all the same is what no policy may allow: a
certificate or a token is never issued over a credential that anybody could have copied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed, Misuse, NotFound, NotPermitted, Revoked
from nomoat.core.names import parse_subject_name
from nomoat.core.operation import UploadBlob
from nomoat.core.principal import Binding, Principal, PrincipalKind
from nomoat.identity.assertions import Assertions
from nomoat.identity.authenticator import Authenticator
from nomoat.identity.authority import SVID_LIFE, CertificateAuthority, parse_request
from nomoat.identity.capabilities import Capabilities
from nomoat.identity.codes import CODE_LIFE, Codes
from nomoat.identity.peers import Peers
from nomoat.identity.proofs import Proofs
from nomoat.identity.registry import Ended, Revocable, Session, parse_revocable
from nomoat.identity.sessions import Sessions
from nomoat.identity.tokens import TOKEN_LIFE, AccessToken, TokenAuthority
from nomoat.identity.trust_domain import Subject
from nomoat.stores.state import State

_HOLDS_A_KEY: Final = frozenset({Binding.MTLS, Binding.DEVICE_KEY})


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate (PEM) with the CA's, and whom it is for. `device` is '' for a workload."""

    certificate: str
    ca: str
    subject: str
    device: str
    session: str
    spiffe_id: str
    trust_domain: str
    expires_at: int


@final
class Identity:
    """Everything about who is who, for one trust domain.

    `token_key` signs access tokens (P-256, PKCS #8, DER), which live `token_life` seconds;
    `directory` returns the newest snapshot.
    Construct it once, before the first request.
    """

    def __init__(
        self,
        *,
        authority: CertificateAuthority,
        token_key: bytes,
        state: State,
        directory: Callable[[], Directory],
        clock: Callable[[], float],
        token_life: float = TOKEN_LIFE,
    ) -> None:
        now = clock()
        self.authority = authority
        self.trust_domain = authority.trust_domain
        self.sessions = Sessions(state, now)
        self.codes = Codes(self.sessions, authority.fingerprint)
        self.tokens = TokenAuthority(self.trust_domain, token_key)
        self.capabilities = Capabilities()
        self.proofs = Proofs(now)
        self.sessions.listen(self.capabilities.end)
        self.authenticator = Authenticator(
            trust_domain=self.trust_domain,
            registry=self.sessions.registry,
            peers=Peers(self.trust_domain, authority.certificate),
            tokens=self.tokens,
            codes=self.codes,
            assertions=Assertions(self.trust_domain, self.sessions.registry.device, now),
            capabilities=self.capabilities,
            proofs=self.proofs,
            directory=directory,
            clock=clock,
        )
        self._directory = directory
        self._clock = clock
        self._token_life = token_life

    # -- Coming in ----------------------------------------------------------------------------------

    async def enroll(self, kind: PrincipalKind, name: str) -> tuple[str, int]:
        """Make a one-time code for a declared person or workload; return its text and its life in seconds.

        Raises `NotFound` when nobody of this name is declared, else as `Codes.create`.
        """
        if not self._is_declared(kind, name):
            if kind is PrincipalKind.PERSON and self._is_declared(PrincipalKind.WORKLOAD, name):
                raise NotFound(f"{name:.128} is a workload: add --workload", kind="entry")
            if kind is PrincipalKind.WORKLOAD and self._is_declared(PrincipalKind.PERSON, name):
                raise NotFound(f"{name:.128} is a person: leave out --workload", kind="entry")
            raise NotFound(f"no {kind} {name:.128} is declared; declare it and run: nomoat apply FILE", kind="entry")
        return await self.codes.create(kind, name, self._clock()), CODE_LIFE

    async def register_device(self, who: Principal, request: bytes) -> Issued:
        """Spend a person's code: register the device whose key signed `request` (PEM), start its session.

        Raises `Malformed` or `TooLarge` for the request (the code stays unspent), else as `Codes.redeem`.
        """
        return await self._redeem(who, PrincipalKind.PERSON, request)

    async def join_workload(self, who: Principal, request: bytes) -> Issued:
        """Spend a workload's code: start its session with an SVID for the key that signed `request` (PEM)."""
        return await self._redeem(who, PrincipalKind.WORKLOAD, request)

    async def _redeem(self, who: Principal, kind: PrincipalKind, request: bytes) -> Issued:
        if who.binding is not Binding.CODE or who.kind is not kind:
            raise NotPermitted(f"this needs a one-time code for a {kind}")
        key, now = parse_request(request), self._clock()
        return self._certify(await self.codes.redeem(who.session, key, now), request, now)

    # -- Staying in ---------------------------------------------------------------------------------

    async def renew(self, who: Principal, request: bytes, *, restart: bool = False) -> Issued:
        """Issue the next certificate of `who`'s session, for the key that signed `request` (PEM).

        A device keeps the key that it registered; a workload may bring a new one, and its session
        lives an hour from now. `restart` starts a new session of a device by its key. Raises
        `NotPermitted` over a credential that proves no key, `Unauthenticated` when the session ended,
        `Revoked`, `Malformed`, `TooLarge`, `Unavailable`.
        """
        if who.binding not in _HOLDS_A_KEY:
            raise NotPermitted("a certificate is renewed over a certificate or with the device's key")
        now, key = self._clock(), parse_request(request)
        registry, holder = self.sessions.registry, Subject(who.kind, who.name, who.device)
        if who.kind is PrincipalKind.WORKLOAD:
            if restart:
                raise NotPermitted("a workload starts a new session with a new code; run: nomoat enroll")
            session = registry.live(who.session, holder, now)
            await self.sessions.extend(session, now)
            return self._certify(session, request, now)
        device = registry.device(who.device)
        if device is None or device.revoked:
            raise Revoked("the device was revoked; ask an administrator for a new code")
        if key != device.public_key:
            raise Malformed("a device renews with the key that it registered")
        if not restart:
            return self._certify(registry.live(who.session, holder, now), request, now)
        if who.binding is not Binding.DEVICE_KEY:
            raise NotPermitted("a new session needs the device's key itself; run: nomoat login")
        return self._certify(await self.sessions.restart(device, now), request, now)

    def issue_token(self, who: Principal, *, bound: bool) -> AccessToken:
        """Issue an access token for `who`'s session, bound to the key that it proved, to its certificate, or to nothing.

        Raises `NotPermitted` over anything but a certificate, so that no token can prolong itself, and
        `Malformed` for both bindings at once.
        """
        if bound and who.key:
            raise Malformed(
                "a token is bound to the certificate or, with a DPoP proof, to its key: ask for one of both"
            )
        if who.binding is not Binding.MTLS or not who.certificate:
            raise NotPermitted("an access token is issued over a certificate only")
        now, holder = self._clock(), Subject(who.kind, who.name, who.device)
        session = self.sessions.registry.live(who.session, holder, now)
        return self.tokens.issue(
            holder,
            session=session.id,
            obtained=who.binding,
            bound=who.certificate if bound else None,
            key=who.key or None,
            now=now,
            lifetime=min(self._token_life, session.expires_at - now),
        )

    # -- Uploading ----------------------------------------------------------------------------------

    def grant_upload(self, who: Principal, operation: UploadBlob) -> str:
        """Return the secret of a one-use upload URL for exactly `operation`; raise as `Capabilities.issue`."""
        return self.capabilities.issue(who, operation, self._clock())

    def consume_upload(self, who: Principal) -> None:
        """Spend the upload URL that `who` came with, after its content is stored. Raises `Conflict`."""
        self.capabilities.consume(who)

    # -- Ending -------------------------------------------------------------------------------------

    async def revoke(self, kind: str, name: str) -> Ended:
        """End a `person`, `workload`, `device` or `session` everywhere, now; return what that ended.

        Raises as `Sessions.revoke`, and `NotFound` for a person or workload that is neither declared
        nor has anything left to end: a misspelt name must not look like a revocation.
        """
        revocable = parse_revocable(kind)
        if revocable in {Revocable.PERSON, Revocable.WORKLOAD}:
            self._require_known(PrincipalKind(revocable.value), parse_subject_name(name))
        return await self.sessions.revoke(revocable, name, self._clock())

    async def retain(self) -> frozenset[str]:
        """End everything of whoever the directory no longer declares; call it after each change of it."""
        return await self.sessions.retain(self._directory(), self._clock())

    def _is_declared(self, kind: PrincipalKind, name: str) -> bool:
        directory = self._directory()
        return name in (directory.people if kind is PrincipalKind.PERSON else directory.workloads)

    def _require_known(self, kind: PrincipalKind, name: str) -> None:
        held = self.sessions.registry.subjects()
        if self._is_declared(kind, name) or (kind, name) in held:
            return
        for other in PrincipalKind:
            if self._is_declared(other, name) or (other, name) in held:
                raise NotFound(f"{name} is a {other}, not a {kind}; run: nomoat revoke {other} {name}", kind="entry")
        raise NotFound(f"no {kind} {name} is declared or has a session; nothing was ended", kind="entry")

    def _certify(self, session: Session, request: bytes, now: float) -> Issued:
        if session.revoked:
            raise Misuse("a certificate was about to be issued for a revoked session")
        spiffe_id = self.trust_domain.spiffe_id(session.holder)
        made = self.authority.issue(
            request,
            spiffe_id=spiffe_id,
            session=session.id,
            lifetime=min(SVID_LIFE, session.expires_at - now),
            now=now,
        )
        return Issued(
            certificate=made.pem,
            ca=self.authority.certificate,
            subject=str(session.holder),
            device=session.device,
            session=session.id,
            spiffe_id=spiffe_id,
            trust_domain=self.trust_domain.name,
            expires_at=made.not_after,
        )
