"""Tokens made by hand, so that a test can lie in any part of one."""

import base64
import hmac
import json
import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def parts(token: str) -> tuple[dict[str, object], dict[str, object]]:
    """The header and claims of a token."""
    header, claims, _ = token.split(".")
    return json.loads(unb64(header)), json.loads(unb64(claims))


def es256(data: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def forge(header: object, claims: object, key: ec.EllipticCurvePrivateKey) -> str:
    """Sign any header and claims (objects, or raw JSON as bytes) with ES256."""
    body = ".".join(b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims))
    return f"{body}.{b64(es256(body.encode(), key))}"


def hs256(header: object, claims: object, secret: bytes) -> str:
    body = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{body}.{b64(hmac.digest(secret, body.encode(), 'sha256'))}"


def assertion(key: ec.EllipticCurvePrivateKey, device: str, audience: str, now: float, **changes: object) -> str:
    """A device assertion; `changes` replace claims (None removes one), `header` replaces header parameters."""
    claims: dict[str, object] = {
        "iss": device,
        "sub": device,
        "aud": audience,
        "iat": int(now),
        "exp": int(now) + 60,
        "jti": secrets.token_urlsafe(16),
    }
    header: dict[str, object] = {"alg": "ES256", "kid": device, "typ": "JWT"}
    extra = changes.pop("header", {})
    assert isinstance(extra, dict)
    claims |= changes
    header |= extra
    return forge(
        {name: value for name, value in header.items() if value is not None},
        {name: value for name, value in claims.items() if value is not None},
        key,
    )
