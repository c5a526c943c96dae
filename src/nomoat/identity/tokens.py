"""Access tokens: ES256-signed JWTs of at most 15 minutes, by the gateway for the gateway (RFC 9068).

Rules: a token says who, in which session, for whom, until when, and to which certificate (RFC 8705,
section 3.1) or key (RFC 9449, section 6.1) it is bound; never what its bearer may do. It is accepted only in exactly the form that
`issue` makes. A verified signature is cached by the SHA-256 of the whole token, and nothing else is:
times are compared on every request here, binding, session and directory by the authenticator.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, cast, final

from joserfc.jwk import ECKey

from nomoat.core.errors import Holder, Misuse, Unauthenticated
from nomoat.core.principal import Binding
from nomoat.identity import jws
from nomoat.identity.keys import load_private_key, thumbprint, write_public_key
from nomoat.identity.trust_domain import Subject, TrustDomain

TOKEN_LIFE: Final = 900  # seconds
SKEW: Final = 5  # seconds that the issuer's clock may be ahead; none is granted at the end
CACHED: Final = 16_384  # verified tokens; about 1 KiB each

_WHAT: Final = "access token"
_TYPE: Final = "at+jwt"  # RFC 9068, section 2.1
_CLAIMS: Final = frozenset({"iss", "aud", "sub", "client_id", "sid", "jti", "iat", "nbf", "exp", "obtained"})
_CERTIFICATE: Final = "x5t#S256"
_KEY: Final = "jkt"
_THUMBPRINT: Final = 43  # characters of a base64url SHA-256


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token's text and its end in Unix seconds."""

    text: str
    expires_at: int

    def __repr__(self) -> str:
        return f"AccessToken(expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token with a good signature says: one object for a token, as long as it is cached.

    `bound` is the thumbprint of a certificate, `key` of a DPoP key; '' for none.

    Not evidence by itself: whether the session lives and the binding holds is still to be checked.
    """

    subject: Subject
    spiffe_id: str
    session: str
    obtained: Binding
    bound: str
    key: str
    not_before: int
    expires_at: int

    __hash__ = object.__hash__  # found by the very object, which costs nothing


@final
class TokenAuthority:
    """Issues and verifies the access tokens of one trust domain with one P-256 key (PKCS #8, DER)."""

    def __init__(self, trust_domain: TrustDomain, private_key: bytes) -> None:
        key = load_private_key(private_key)
        self._trust_domain = trust_domain
        self._signing = ECKey.import_key(key)
        self._verifying = ECKey.import_key(key.public_key())
        self._header = {"alg": jws.ALGORITHM, "typ": _TYPE, "kid": thumbprint(write_public_key(key.public_key()))}
        self._verified: dict[bytes, Claims] = {}

    def issue(
        self,
        subject: Subject,
        *,
        session: str,
        obtained: Binding,
        bound: str | None = None,
        key: str | None = None,
        now: float,
        lifetime: float = TOKEN_LIFE,
    ) -> AccessToken:
        """Issue a token for `subject` in `session`.

        `obtained` is the binding of the credential it is issued over, `bound` the thumbprint of the
        certificate that must accompany it, or `key` of the key that must prove it each time (neither: a
        plain bearer), `lifetime` at most `TOKEN_LIFE`.
        """
        if bound and key:
            raise Misuse("an access token is bound to a certificate or to a key")
        if not 0 < lifetime <= TOKEN_LIFE:
            raise Misuse(f"an access token lives at most {TOKEN_LIFE} s, not {lifetime:g} s")
        at, expires_at = int(now), int(now + lifetime)
        spiffe_id = self._trust_domain.spiffe_id(subject)
        claims: dict[str, object] = {
            "iss": self._trust_domain.id,
            "aud": self._trust_domain.id,
            "sub": spiffe_id,
            "client_id": spiffe_id,  # RFC 9068, section 2.2 requires one; here the client is the subject
            "sid": session,
            "jti": secrets.token_urlsafe(16),
            "iat": at,
            "nbf": at,
            "exp": expires_at,
            "obtained": obtained.value,
        }
        if bound is not None:
            claims["cnf"] = {_CERTIFICATE: bound}
        if key is not None:
            claims["cnf"] = {_KEY: key}
        return AccessToken(jws.sign(self._header, claims, self._signing), expires_at)

    def verify(self, token: str, now: float) -> Claims:
        """Return the claims of a token that this authority signed and whose time it is.

        Raises `Unauthenticated`. A warm call costs one SHA-256.
        """
        if len(token) > jws.LONGEST_TOKEN:
            raise Unauthenticated(f"the {_WHAT} is longer than {jws.LONGEST_TOKEN} characters", kind="oversized")
        # INVARIANT (cache): the key is the whole token, and only verified signatures are ever inserted.
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verify(token)
            while len(self._verified) >= CACHED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = claims
        if now >= claims.expires_at:
            self._verified.pop(digest, None)
            # Of one that is bound (to a certificate or a key), the signature alone does not prove that its holder presents it.
            subject = claims.subject
            holder = None if claims.bound or claims.key else Holder(str(subject), claims.session, subject.device)
            raise Unauthenticated("the access token has expired; run: nomoat token", kind="expired", holder=holder)
        if now + SKEW < claims.not_before:
            raise Unauthenticated("the access token is not valid yet; is a clock wrong?", kind="not-yet-valid")
        return claims

    def _verify(self, token: str) -> Claims:
        """Check form, header, signature, issuer and audience; not the time."""
        parsed = jws.parse(token, _WHAT)
        if parsed.header.get("typ") != _TYPE:
            raise Unauthenticated("the token is not an access token", kind="wrong-type")
        if parsed.header.get("kid") != self._header["kid"]:
            raise Unauthenticated("the access token is signed by another key", kind="unknown-key")
        if parsed.header != self._header:  # jku, jwk, x5u, x5c, crit and anything else: RFC 8725, section 3.10
            parsed.malformed("a header parameter that is never issued")
        parsed.verify(self._verifying)
        if parsed.claims.get("iss") != self._trust_domain.id:
            raise Unauthenticated("the access token is by another issuer", kind="wrong-issuer")
        if parsed.claims.get("aud") != self._trust_domain.id:
            raise Unauthenticated("the access token is for another service", kind="wrong-audience")
        if frozenset(parsed.claims) - {"cnf"} != _CLAIMS:
            parsed.malformed("other claims than are ever issued")
        issued_at, expires_at = parsed.claim_time("iat"), parsed.claim_time("exp")
        if expires_at - issued_at > TOKEN_LIFE:
            parsed.malformed("a longer life than is ever issued")
        spiffe_id = parsed.claim_text("sub")
        try:
            obtained = Binding(parsed.claim_text("obtained"))
        except ValueError:
            parsed.malformed("an unknown binding")
        kind, confirmed = _confirmation(parsed)
        return Claims(
            subject=self._trust_domain.parse(spiffe_id),
            spiffe_id=spiffe_id,
            session=parsed.claim_text("sid"),
            obtained=obtained,
            bound=confirmed if kind == _CERTIFICATE else "",
            key=confirmed if kind == _KEY else "",
            not_before=max(issued_at, parsed.claim_time("nbf")),
            expires_at=expires_at,
        )


def _confirmation(parsed: jws.Unverified) -> tuple[str, str]:
    """Return the kind and thumbprint of the confirmation claim (RFC 7800, section 3.1); twice '' without the claim."""
    if "cnf" not in parsed.claims:
        return "", ""
    confirmation = parsed.claims["cnf"]
    # An unknown, double or empty confirmation must never count as "not bound".
    if not isinstance(confirmation, dict) or len(cast("dict[str, object]", confirmation)) != 1:
        parsed.malformed("a confirmation that is never issued")
    ((kind, thumbprint),) = cast("dict[str, object]", confirmation).items()
    if kind not in {_CERTIFICATE, _KEY} or not isinstance(thumbprint, str) or len(thumbprint) != _THUMBPRINT:
        parsed.malformed("a confirmation that is never issued")
    return kind, thumbprint
