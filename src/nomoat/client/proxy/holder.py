"""The identity behind the door: a token that is always fresh, and a proof for each request.

Rules: the DPoP key is made here and lives in this process only. The token is renewed when half of its life is
over, and the certificate that it is obtained with likewise, also while nobody asks. When the session has ended,
everybody is told what to do; as soon as somebody has logged in again, the next request goes on.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from nomoat.client.errors import BadProfile, LogContradicted, NotLoggedIn, Untrusted
from nomoat.client.profiles import Identity, Profile
from nomoat.client.proofs import ProofKey
from nomoat.client.session import Clock, Session
from nomoat.client.transport import pinned_context
from nomoat.core.errors import NoMoatError, Refused, Unavailable

SHORTEST_WAIT: Final = 0.2  # seconds
LONGEST_WAIT: Final = 30.0
MARGIN: Final = 1.0  # seconds before a token's end in which it is not used any more
ASK_AGAIN: Final = 1.0  # seconds after a refusal before the gateway is asked again

Headers = list[tuple[bytes, bytes]]


class Holder:
    """One profile's identity, lent to requests. `tell` hears, once for each new cause, why it is not fresh.

    `by_certificate` lends the certificate of the TLS connection instead of a token with proofs; `renewed` is
    called with the context for new connections whenever it changed.
    """

    def __init__(
        self,
        profile: Profile,
        clock: Clock,
        tell: Callable[[NoMoatError], None],
        *,
        by_certificate: bool = False,
        renewed: Callable[[ssl.SSLContext], None] = lambda _: None,
    ) -> None:
        self.profile = profile
        identity = profile.identity()
        self.url, self.is_person = identity.url, identity.is_person
        self._whose = _whose(identity)
        self._clock = clock
        self._tell = tell
        self._told = ""
        self._by_certificate = by_certificate
        self._renewed = renewed
        self._session = Session(profile, clock)
        self._key = ProofKey(clock)
        self._token = ""
        self._good_until = 0.0
        self._renew_at = 0.0
        self._certificate: bytes = b""
        self._refused_until = 0.0
        self._refused: NoMoatError | None = None
        self._lock = asyncio.Lock()

    def context(self) -> ssl.SSLContext:
        """The TLS context for connections to the gateway; with the certificate if that is what is lent."""
        context = pinned_context(self.profile.read("ca.pem").decode())
        if self._by_certificate:
            context.load_cert_chain(self.profile.certificate_path, self.profile.key_path)
        return context

    async def prove(self, method: str, path: str) -> Headers:
        """Return the headers by which a request of `method` for `path` is this profile's.

        Raises `Refused` when the session has ended, and `Unavailable` when the gateway cannot be asked.
        """
        if self._clock() >= self._good_until:
            await self.refresh(self._token)
        if self._by_certificate:
            return []
        proof = self._key.prove(method, self.url + path, self._token)
        return [(b"authorization", b"DPoP " + self._token.encode()), (b"dpop", proof.encode())]

    def learn(self, nonce: bytes) -> None:
        """Take the nonce that an answer brought."""
        if nonce and nonce.isascii():
            self._key.nonce = nonce.decode()

    @property
    def token(self) -> str:
        """The token of the latest proof; '' where a certificate is lent."""
        return self._token

    @property
    def session(self) -> str:
        """The session that requests are made in."""
        return self._session.identity.session

    def session_at_hand(self) -> str:
        """The session that the profile has now: another one when somebody logged in again; '' if it has none."""
        try:
            return self.profile.identity().session
        except NoMoatError:
            return ""

    async def refresh(self, stale: str) -> None:
        """Have a token other than `stale`; raises as `prove`."""
        async with self._lock:
            moved = self.session_at_hand() not in {self.session, ""}  # somebody logged in again
            if self._clock() < self._good_until and self._token != stale and not moved:
                return  # somebody else asked meanwhile
            if self._refused is not None and self._clock() < self._refused_until and not moved:
                raise self._refused
            try:
                await asyncio.to_thread(self._renew)
            except NoMoatError as error:
                self._note(error)
                raise
            self._told, self._refused = "", None

    async def keep_fresh(self) -> None:
        """Renew in time until cancelled."""
        wait = SHORTEST_WAIT
        while True:
            await asyncio.sleep(max(self._renew_at - self._clock(), wait))
            try:
                await self.refresh(self._token)
                wait = SHORTEST_WAIT
            except NoMoatError:  # told already; a request asks as well
                wait = min(wait * 2, LONGEST_WAIT)

    def close(self) -> None:
        """Close the connections of the profile's own session."""
        self._session.close()

    def _renew(self) -> None:
        """Renew what is lent. In a thread of its own, one at a time."""
        if self._refused is not None or self.session_at_hand() != self.session:
            self._reopen()
        now = self._clock()
        if self._by_certificate:
            self._session.token(bound=True)  # as good a question as any whether the session lives
            good_until = renew_at = self._session.renewal_due
        else:
            token = self._session.token(key=self._key)
            good_until = now + token.expires_in - min(MARGIN, token.expires_in / 4)
            renew_at = min(now + token.expires_in / 2, self._session.renewal_due)
            self._token = token.access_token
        certificate = self.profile.read("certificate.pem")
        if self._by_certificate and certificate != self._certificate:
            self._renewed(self.context())
        self._certificate, self._good_until, self._renew_at = certificate, good_until, renew_at

    def _reopen(self) -> None:
        """Read the profile anew: somebody may have logged in again, but it has to be who this proxy was started for."""
        identity = self.profile.identity()
        if _whose(identity) != self._whose:
            raise BadProfile(
                self.profile.name,
                f"it is {identity.subject}'s now, and this proxy was started for {self._whose[0]}",
                advice="stop the proxy and start it again",
            )
        self._session.close()
        self._session = Session(self.profile, self._clock)

    def _note(self, error: NoMoatError) -> None:
        if isinstance(error, (Refused, LogContradicted)):
            self._refused, self._refused_until = error, self._clock() + ASK_AGAIN
        if str(error) != self._told:
            self._told = str(error)
            self._tell(error)


def _whose(identity: Identity) -> tuple[str, str, str]:
    return identity.subject, identity.spiffe_id.partition("/device/")[0], identity.url


def advice_of(error: NoMoatError, profile: Profile) -> str:
    """What somebody whose request cannot be made any more has to do, in one sentence."""
    if isinstance(error, Unavailable):
        return "try again; nothing was done"
    if isinstance(error, (NotLoggedIn, BadProfile, Untrusted, LogContradicted)) and error.advice:
        return f"run: {error.advice}" if error.advice.startswith("nomoat ") else error.advice
    if not profile.identity().is_person:
        return "ask for a new code, and run: nomoat login URL --code CODE --replace"
    return f"run: nomoat login --profile {profile.name} (this program need not be started anew)"
