"""Identities as a resource: enrolment, certificates, tokens, revocation.

Rules: what is issued is issued to the principal of the permit and to nobody else; names and session
ids come from it, never from the request. Every answer to somebody who just became or stayed someone
carries the log's newest checkpoint, so that every profile keeps one.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import final

from nomoat.core.errors import Malformed
from nomoat.core.lineage import NOTHING, Label
from nomoat.core.names import parse_subject_name
from nomoat.core.operation import (
    Enroll,
    IssueToken,
    JoinWorkload,
    Operation,
    OpT,
    RegisterDevice,
    RenewCertificate,
    Resolved,
    Revoke,
    Target,
    Whoami,
)
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.identity import Identity, Issued
from nomoat.identity.registry import parse_revocable

Answer = dict[str, object]


@dataclass(frozen=True, slots=True)
class Anchor:
    """What every new profile is told: how to verify the log, and how far it is.

    `log_key` is the log's verifier key (C2SP signed note), `checkpoint` returns its newest checkpoint.
    """

    log_key: str
    checkpoint: Callable[[], bytes]


@final
class Identities:
    """Issues and ends identities, each for a permit."""

    def __init__(
        self, identity: Identity, anchor: Anchor, carried: Callable[[str], Label], clock: Callable[[], float]
    ) -> None:
        """`carried` tells the label that a session carries."""
        self._identity = identity
        self._anchor = anchor
        self._carried = carried
        self._clock = clock

    # -- Resolving ----------------------------------------------------------------------------------

    def resolve_self(self, principal: Principal, operation: OpT) -> Resolved[OpT]:
        """Resolve what a caller does for itself: the target is the caller."""
        return Resolved(operation, (target_of(principal),))

    def resolve_enroll(self, principal: Principal, operation: Enroll) -> Resolved[Enroll]:
        """Resolve whom a code is for. Raises `Malformed`."""
        del principal
        kind, name = _parse_subject(operation.subject)
        return Resolved(operation, (_target(kind.value, name, operation.subject),))

    def resolve_revoke(self, principal: Principal, operation: Revoke) -> Resolved[Revoke]:
        """Resolve what is to end, and whose it is. Raises `Malformed` for what cannot be revoked."""
        del principal
        kind = parse_revocable(operation.kind)
        subject = self._identity.sessions.registry.subject_of(kind, operation.name)
        return Resolved(operation, (_target(kind.value, operation.name, subject),))

    # -- Becoming and staying someone ---------------------------------------------------------------

    async def register_device(self, permit: Permit[RegisterDevice]) -> Answer:
        """Spend a person's code: register the device key, start the session, issue the certificate."""
        request = permit.claim(RegisterDevice).operation.request
        return self._certified(permit, await self._identity.register_device(permit.principal, request))

    async def join_workload(self, permit: Permit[JoinWorkload]) -> Answer:
        """Spend a workload's code: start the session, issue the X.509-SVID."""
        request = permit.claim(JoinWorkload).operation.request
        return self._certified(permit, await self._identity.join_workload(permit.principal, request))

    async def renew_certificate(self, permit: Permit[RenewCertificate]) -> Answer:
        """Issue the next certificate in the same session, or in a new one on an explicit restart."""
        operation = permit.claim(RenewCertificate).operation
        issued = await self._identity.renew(permit.principal, operation.request, restart=operation.restart)
        return self._certified(permit, issued)

    async def issue_token(self, permit: Permit[IssueToken]) -> Answer:
        """Issue an access token: bound to the key of a DPoP proof (RFC 9449), to the certificate (RFC 8705), or a bearer."""
        bound = permit.claim(IssueToken).operation.bound
        token = self._identity.issue_token(permit.principal, bound=bound)
        by_key = bool(permit.principal.key)
        permit.note(bound="dpop" if by_key else str(bound).lower())
        return {
            "access_token": token.text,
            "token_type": "DPoP" if by_key else "Bearer",
            "expires_in": token.expires_at - int(self._clock()),
            "checkpoint": self._anchor.checkpoint().decode(),
        }

    async def whoami(self, permit: Permit[Whoami]) -> Answer:
        """Describe the caller as the gateway knows it."""
        permit.claim(Whoami)
        who = permit.principal
        carried = self._carried(who.session)
        return {
            "subject": who.subject,
            "spiffe_id": who.identifier,
            "groups": sorted(who.groups),
            "clearance": who.clearance.name.lower(),
            "binding": who.binding.value,
            "certificate": who.certificate,
            "key": who.key,
            "session": who.session,
            "carries": list(carried.told) if carried != NOTHING else [],
            "device": who.device,
            "expires_at": who.expires_at,
        }

    # -- Administering ------------------------------------------------------------------------------

    async def enroll(self, permit: Permit[Enroll]) -> Answer:
        """Make a one-time code for a declared identity. Raises `NotFound` for an undeclared one."""
        kind, name = _parse_subject(permit.claim(Enroll).operation.subject)
        code, life = await self._identity.enroll(kind, name)
        return {"code": code, "expires_in": life}

    async def revoke(self, permit: Permit[Revoke]) -> Answer:
        """End a person, workload, device or session, everywhere, now."""
        operation = permit.claim(Revoke).operation
        ended = await self._identity.revoke(operation.kind, operation.name)
        sessions, devices = ended.sessions & ended.anew, ended.devices & ended.anew
        codes = len(ended.anew) - len(sessions) - len(devices)
        permit.note(ended=str(len(sessions)), devices=str(len(devices)), codes=str(codes))
        return {"ended": sorted(sessions), "devices": sorted(devices), "codes": codes}

    def _certified(self, permit: Permit[Operation], issued: Issued) -> Answer:
        permit.check()
        permit.note(session=issued.session, device=issued.device)
        checkpoint = self._anchor.checkpoint().decode()
        return {**asdict(issued), "log_key": self._anchor.log_key, "checkpoint": checkpoint}


def target_of(principal: Principal) -> Target:
    """The target of what somebody does for themselves."""
    return _target(principal.kind.value, principal.name, principal.subject)


def _target(kind: str, name: str, subject: str) -> Target:
    facts = (("subject_kind", kind), ("subject", subject))
    return Target("Identity", f"{kind}:{name}", f"{kind}:{name}", facts=facts)


def _parse_subject(text: str) -> tuple[PrincipalKind, str]:
    kind, _, name = text.partition(":")
    try:
        return PrincipalKind(kind), parse_subject_name(name)
    except ValueError:
        raise Malformed("an identity is written person:NAME or workload:NAME") from None
