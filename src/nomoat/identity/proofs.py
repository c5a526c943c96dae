"""DPoP proofs (RFC 9449): whoever holds the key made this for this very request, a moment ago.

Rules: everything of section 4.3 is checked, on every request; the algorithm is ES256 and never the proof's
choice, and the address is compared with where this gateway knows it is reached, never with what a header
says. Parsed keys are kept, because they are what was sent; a verified proof is not, because it works once.
A proof is remembered only after all else of it holds, so that no stranger fills the memory; one that lacks
nothing but the nonce as well, so that each challenge (section 8) costs a new proof by the key.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final, cast, final
from urllib.parse import unquote_to_bytes, urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from nomoat.core.connection import Proof
from nomoat.core.errors import CHALLENGE, Unauthenticated
from nomoat.identity import jws
from nomoat.identity.nonces import Nonces
from nomoat.identity.replays import Replays

KEPT: Final = 8192  # keys; about 2 KiB each
LONGEST_JTI: Final = 256  # characters

_WHAT: Final = "DPoP proof"
_TYPE: Final = "dpop+jwt"
_HEADER: Final = frozenset({"typ", "alg", "jwk"})
_REQUIRED: Final = frozenset({"kty", "crv", "x", "y"})  # RFC 7638, section 3.2; exactly these are the key
_TOLERATED: Final = frozenset({"kid", "use", "alg", "key_ops", "ext"})  # public descriptions of it
_HTTPS: Final = 443

Origin = tuple[str, int]


def parse_origin(url: str) -> Origin:
    """Return the host and port of an `https://HOST[:PORT]` address; raise `ValueError` for any other."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an https address")
    return parts.hostname, parts.port or _HTTPS


@final
class Proofs:
    """Verifies DPoP proofs. Nobody's are accepted before `reached_at` said where this gateway is."""

    def __init__(self, now: float, replays: Replays | None = None) -> None:
        self.nonces = Nonces(now)
        self.replays = replays or Replays()
        self._origins: frozenset[Origin] = frozenset()
        self._spelled: tuple[str, ...] = ()
        self._keys: dict[tuple[str, str], tuple[ECKey, str]] = {}

    def reached_at(self, urls: Iterable[str]) -> None:
        """Say by which addresses (`https://HOST[:PORT]`) clients reach this gateway; raises `ValueError`."""
        self._spelled = tuple(urls)
        self._origins = frozenset(parse_origin(url) for url in self._spelled)

    def verify(self, proof: Proof, *, method: str, now: float, token: str = "", key: str = "") -> str:
        """Return the thumbprint of the key that made `proof` for this request, spending the proof.

        With `token`, the proof must be for it (section 4.3, check 11) and by the key with the thumbprint
        `key`. Raises `Unauthenticated` for anything else, of the kind `CHALLENGE` when only the nonce is missing, `Unavailable` when too many were made to remember.
        """
        parsed = jws.parse(proof.text, _WHAT)
        if parsed.header.get("typ") != _TYPE:
            raise Unauthenticated("the DPoP proof is of another type", kind="wrong-type")
        if frozenset(parsed.header) != _HEADER:  # crit, jku, x5c and what else would choose how to verify
            parsed.malformed("a header parameter that is not expected")
        public, thumbprint = self._key(parsed)
        if key and not hmac.compare_digest(thumbprint, key):
            raise Unauthenticated("the access token is bound to another key", kind="wrong-binding")
        parsed.verify(public)
        self._require_this_request(parsed, proof, method)
        if token:
            ath = urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()
            if parsed.claim_text("ath") != ath:  # no secret: who sent the token can make it
                raise Unauthenticated("the DPoP proof is for another access token", kind="wrong-token")
        issued_at, jti = parsed.claim_time("iat"), parsed.claim_text("jti")
        if len(jti) > LONGEST_JTI:
            parsed.malformed(f"a jti of more than {LONGEST_JTI} characters")
        self.replays.require_fresh(issued_at, now)
        self.replays.spend(thumbprint, jti, issued_at)
        nonce = parsed.claims.get("nonce", "")
        if not isinstance(nonce, str) or not self.nonces.knows(nonce, now):
            raise Unauthenticated("the DPoP proof lacks the nonce of this answer; send it again", kind=CHALLENGE)
        return thumbprint

    def _key(self, parsed: jws.Unverified) -> tuple[ECKey, str]:
        """The key in the header, with its thumbprint (RFC 7638): public, P-256 and nothing else."""
        given = parsed.header["jwk"]
        jwk: Mapping[str, object] = cast("dict[str, object]", given) if isinstance(given, dict) else {}
        members = frozenset(jwk)
        if "d" in members:
            raise Unauthenticated("the DPoP proof holds a private key, which is spoilt now", kind="private-key")
        if not members >= _REQUIRED or members - _REQUIRED - _TOLERATED:
            parsed.malformed("a key that is no public P-256 key")
        x, y = jwk["x"], jwk["y"]
        if jwk["kty"] != "EC" or jwk["crv"] != "P-256" or not isinstance(x, str) or not isinstance(y, str):
            parsed.malformed("a key that is no public P-256 key")
        kept = self._keys.get((x, y))
        if kept is None:
            try:
                imported = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            except (JoseError, ValueError):  # no point of the curve, no base64url
                parsed.malformed("a key that is no public P-256 key")
            canonical = imported.as_dict(private=False)
            if (canonical["x"], canonical["y"]) != (x, y):  # one key has one spelling, and so one thumbprint
                parsed.malformed("a key in another spelling")
            kept = imported, imported.thumbprint()
            while len(self._keys) >= KEPT:
                del self._keys[next(iter(self._keys))]
            self._keys[x, y] = kept
        return kept

    def _require_this_request(self, parsed: jws.Unverified, proof: Proof, method: str) -> None:
        if parsed.claim_text("htm") != method:
            raise Unauthenticated("the DPoP proof is for another method", kind="wrong-method")
        url = parsed.claim_text("htu")
        if any(url == origin + proof.path for origin in self._spelled):
            return
        try:
            parts = urlsplit(url)
            here = parse_origin(url) in self._origins and _segments(parts.path) == _segments(proof.path)
        except ValueError:
            here = False
        if not here:
            raise Unauthenticated("the DPoP proof is for another address", kind="wrong-address", detail=_shown(url))


def _segments(path: str) -> list[bytes]:
    """A path as routes read it: split first, each segment decoded once (RFC 3986, sections 2.4 and 6.2.2)."""
    return [unquote_to_bytes(segment) for segment in (path or "/").split("/")]


def _shown(url: str) -> str:
    """An address for the log: the host alone, because a path may hold what is secret."""
    try:
        return json.dumps(urlsplit(url).netloc[:80]) if url.isprintable() else "not shown"
    except ValueError:  # brackets that hold no address, characters that would turn into others (RFC 3986, 3.2.2)
        return "not shown"
