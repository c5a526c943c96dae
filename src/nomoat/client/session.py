"""A profile in use: its certificate kept fresh, its requests made, every checkpoint kept.

Rules: before anything else, the gateway's log is compared with what the profile knows of it: a gateway
that was put back to an older copy may not even know who is asking. Then requests go over mutual TLS
with the profile's certificate, renewed once half of its life is over. A person's device renews with an assertion signed by its key, at any time while its session
lives; a workload renews over the certificate that it still has, and needs a new code after that.
"""

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from nomoat.attestation.signer import parse_certificates
from nomoat.attestation.signing import StatementSigner
from nomoat.audit.checkpoint import parse_verifier_key, verify_checkpoint
from nomoat.audit.receipt import parse_opening, verify_opening, verify_receipt
from nomoat.client import credentials
from nomoat.client.checkpoints import Keeper
from nomoat.client.errors import LogContradicted, NotLoggedIn, Untrusted
from nomoat.client.gateway import Gateway, Issued, Records, Token
from nomoat.client.profiles import Identity, Profile
from nomoat.client.proofs import ProofKey
from nomoat.client.tiles import LaidOut, Told, lay_out
from nomoat.client.transport import Transport, pinned_context
from nomoat.core.errors import Corrupt, Malformed, Unavailable

Clock = Callable[[], float]


class Session:
    """One profile's requests to its gateway. Close it, or use it as a context manager."""

    def __init__(self, profile: Profile, clock: Clock) -> None:
        """Open a logged-in profile; raises `NotLoggedIn` or `BadProfile`, and makes no request yet."""
        self.profile = profile
        self.identity: Identity = profile.identity()
        self._clock = clock
        self._ca = _read_ca(profile)
        try:
            self._key = credentials.parse_key(profile.require("device.key"))
        except ValueError:
            raise profile.damaged("device.key", "holds no key of a device") from None
        self._keeper = Keeper(profile, self.identity)
        self._transport: Transport | None = None
        self._compared = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    @property
    def gateway(self) -> Gateway:
        """The gateway's routes over mutual TLS, with a certificate that is not about to expire."""
        self._compare()
        if self.renewal_due <= self._clock():
            self._renew_in_time()
        if self._transport is None:
            context = pinned_context(self._ca)
            self._present(context)
            self._transport = Transport(self.identity.url, context)
        return Gateway(self._transport)

    def signer(self) -> StatementSigner:
        """Who signs as this profile: its key, with a certificate that is not about to expire."""
        self._compare()
        if self.renewal_due <= self._clock():
            self._renew_in_time()
        return StatementSigner(self._key, parse_certificates(self.profile.require("certificate.pem"))[:1])

    @property
    def renewal_due(self) -> float:
        """When half of the certificate's life is over (Unix seconds)."""
        begin, end = self._validity()
        return begin + (end - begin) / 2

    def token(self, *, bound: bool = False, key: ProofKey | None = None) -> Token:
        """Issue an access token, which the gateway lets live for at most 15 minutes; arguments as for `Gateway.token`."""
        gateway = self.gateway
        watch = self._keeper.watch()
        token = gateway.token(bound=bound, key=key)
        watch.keep(token.checkpoint, gateway.consistency)
        return token

    def records(self, query: str, *, after: int = -1, limit: int, scan: bool = False) -> Records:
        """Read records from the gateway, and keep the checkpoint of the log that it read them from."""
        gateway = self.gateway
        watch = self._keeper.watch()
        records = gateway.log(query, after=after, limit=limit, scan=scan)
        watch.keep(gateway.checkpoint(), gateway.consistency)
        return records

    def receipt(self, number: int, *, disclose: bool) -> tuple[bytes, bytes]:
        """Return a record's receipt, verified with the pinned key, and with `disclose` its opening, verified too.

        Raises `LogContradicted` when what the gateway gives does not verify.
        """
        receipt, opening = self.gateway.receipt(number, disclose=disclose)
        self._verify_receipt(number, receipt, opening if disclose else None)
        return receipt, opening

    def own_receipt(self, number: int) -> bytes:
        """Return the receipt of a record of an access of one's own, verified as by `receipt`."""
        receipt = self.gateway.own_receipt(number)
        self._verify_receipt(number, receipt, None)
        return receipt

    def _verify_receipt(self, number: int, receipt: bytes, opening: bytes | None) -> None:
        """Raise `LogContradicted` unless a receipt is of this record, and of the log that this profile knows."""
        try:
            proven = verify_receipt(receipt, parse_verifier_key(self.identity.log_key))
            if proven.leaf.number != number:
                raise Corrupt("a receipt of another record")
            if opening is not None:
                verify_opening(parse_opening(opening), proven)
        except (Malformed, Corrupt) as error:
            raise LogContradicted(f"the gateway's receipt of record {number} does not verify ({error})") from None
        self._keeper.require_one_log(proven.checkpoint, self.gateway.consistency)

    def tiles(self, directory: Path, *, entries: bool, told: Told) -> LaidOut:
        """Lay the log out as tiles in a directory (see `nomoat.client.tiles`), up to the checkpoint that others are shown.

        Raises `LogContradicted` when what the gateway gives does not verify, or is of another history than what
        this profile or the directory knows.
        """
        gateway, key = self.gateway, parse_verifier_key(self.identity.log_key)
        try:
            checkpoint = verify_checkpoint(gateway.shown_checkpoint().encode(), key)
            self._keeper.require_one_log(checkpoint, gateway.consistency)
            return lay_out(directory, checkpoint, key, _Tiles(self), entries=entries, told=told)
        except (Malformed, Corrupt) as error:
            raise LogContradicted(f"the gateway's tiles do not verify ({error})") from None

    def export(self, form: str, query: str, *, after: int) -> Iterator[bytes]:
        """Take away every record that matches, and keep the checkpoint of the log that they came from."""
        gateway = self.gateway
        watch = self._keeper.watch()
        yield from gateway.export(form, query, after=after)
        watch.keep(gateway.checkpoint(), gateway.consistency)

    def restart(self) -> None:
        """Start a new session for a person's device whose last one ended (an explicit log-in)."""
        if not self.identity.is_person:
            raise NotLoggedIn(
                self.profile.name, "a workload's session starts with a code only", advice=self._with_new_code()
            )
        self._renew(restart=True)

    def renew(self) -> None:
        """Replace the certificate now; raises `NotLoggedIn` if only a new code can help."""
        self._renew(restart=False)

    def _validity(self) -> tuple[float, float]:
        """From when and until when the certificate is valid (Unix seconds); raises `BadProfile`."""
        try:
            return credentials.validity(self.profile.require("certificate.pem"))
        except Untrusted:
            raise self.profile.damaged("certificate.pem", "holds no certificate") from None

    def _present(self, context: ssl.SSLContext) -> None:
        """Have the profile's certificate presented on connections of `context`; raises `BadProfile`."""
        try:
            context.load_cert_chain(self.profile.certificate_path, self.profile.key_path)
        except (OSError, ssl.SSLError):
            raise self.profile.damaged("certificate.pem", "is not for the key in device.key") from None

    def _compare(self) -> None:
        """Have the log proven to extend the kept checkpoint, once; needs no identity, so it works before any other request."""
        if self._compared:
            return
        watch = self._keeper.watch()
        with Transport(self.identity.url, pinned_context(self._ca)) as transport:
            gateway = Gateway(transport)
            watch.keep(gateway.checkpoint(), gateway.consistency)
        self._compared = True

    def _renew_in_time(self) -> None:
        """Renew; while the old certificate is still good, a gateway that is unavailable does not matter."""
        _, end = self._validity()
        try:
            self._renew(restart=False)
        except Unavailable:
            if end <= self._clock():
                raise

    def _renew(self, *, restart: bool) -> None:
        self._compare()
        identity, request = self.identity, credentials.signing_request(self._key)
        watch = self._keeper.watch()
        context = pinned_context(self._ca)
        assertion = ""
        if identity.is_person:
            # Without the certificate: an expired one would end the handshake before the assertion is read.
            assertion = credentials.device_assertion(
                self._key, device=identity.device, trust_domain=identity.trust_domain, now=self._clock()
            )
        else:
            self._require_unexpired()
            self._present(context)
        with Transport(identity.url, context) as transport:
            gateway = Gateway(transport)
            issued = gateway.renew(request, assertion=assertion, restart=restart)
            self._check(issued)
            watch.keep(issued.checkpoint, gateway.consistency)
        self._replace(issued)

    def _require_unexpired(self) -> None:
        _, end = self._validity()
        if end <= self._clock():
            raise NotLoggedIn(
                self.profile.name,
                f"the certificate of {self.identity.subject} has expired, and a workload renews before that",
                advice=self._with_new_code(),
            )

    def _with_new_code(self) -> str:
        """How a workload gets in again."""
        name, again = self.identity.subject.removeprefix("workload:"), self.profile.login(self.identity.url)
        return f"have an administrator run: nomoat enroll {name} --workload, and then: {again}"

    def _check(self, issued: Issued) -> None:
        """Check a renewed certificate against what this profile pinned."""
        if issued.ca.strip() != self._ca.strip():
            raise Untrusted("the gateway now names another CA", advice="if it was set up anew, log in with a new code")
        if issued.log_key != self.identity.log_key:
            raise LogContradicted("the gateway now signs its log with another key")
        if (issued.spiffe_id, issued.subject) != (self.identity.spiffe_id, self.identity.subject):
            raise Untrusted("the renewed certificate is for somebody else")
        credentials.verify_issued(issued.certificate, ca=self._ca, key=self._key, spiffe_id=self.identity.spiffe_id)

    def _replace(self, issued: Issued) -> None:
        """Keep a checked certificate; the next request uses it."""
        self.profile.write("certificate.pem", issued.certificate.encode())
        if issued.session != self.identity.session:
            self.identity = replace(self.identity, session=issued.session)
            self.profile.keep_identity(self.identity)
        self.close()


class _Tiles:
    """The gateway's tiles, however long it takes: each request with a certificate that is not about to expire."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def tile(self, path: str) -> bytes:
        return self._session.gateway.tile(path)

    def consistency(self, old: int, new: int) -> Sequence[bytes]:
        return self._session.gateway.consistency(old, new)


def _read_ca(profile: Profile) -> str:
    """Return the pinned CA's certificate (PEM); raises `BadProfile`."""
    try:
        text = profile.require("ca.pem").decode()
        credentials.fingerprint(text)
    except (UnicodeDecodeError, Untrusted):
        raise profile.damaged("ca.pem", "holds no certificate") from None
    return text
