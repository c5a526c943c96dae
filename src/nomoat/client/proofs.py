"""DPoP proofs at the caller's side (RFC 9449, section 4): a key of this process's own, and what it signs.

Rules: the key exists in memory only, so a token that is bound to it is worth nothing after the process, and
nothing to whoever reads the profile's files. Each proof is for one request.
"""

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

from joserfc import jws
from joserfc.jwk import ECKey

ALGORITHM = "ES256"
_write = json.JSONEncoder(separators=(",", ":")).encode


class ProofKey:
    """A P-256 key and the newest nonce of the gateway that its proofs are for."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.nonce = ""
        self._clock = clock
        self._key = ECKey.generate_key("P-256", private=True, auto_kid=False)
        public = self._key.as_dict(private=False)
        jwk = {name: public[name] for name in ("kty", "crv", "x", "y")}
        self._header = {"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": jwk}

    def prove(self, method: str, url: str, token: str = "") -> str:
        """Return a proof for one request of `method` to `url` (without query), which carries `token` if it has one."""
        claims: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url,
            "iat": int(self._clock()),
        }
        if token:
            claims["ath"] = urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()
        if self.nonce:
            claims["nonce"] = self.nonce
        return jws.serialize_compact(dict(self._header), _write(claims), self._key, [ALGORITHM])
