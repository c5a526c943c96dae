"""Access tokens: each attack by name, and that the cache remembers signatures only."""

import json
from dataclasses import astuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.errors import Misuse, Unauthenticated
from nomoat.core.principal import Binding, PrincipalKind
from nomoat.identity import TrustDomain, create_key, tokens
from nomoat.identity.keys import load_private_key
from nomoat.identity.tokens import Claims, TokenAuthority
from nomoat.identity.trust_domain import Subject
from tests.identity.forgery import b64, es256, forge, hs256, parts, unb64
from tests.identity.world import NOW

DOMAIN = TrustDomain("acme.example")
SECRET = create_key()
KEY = load_private_key(SECRET)
TRAIN = Subject(PrincipalKind.WORKLOAD, "train")
SESSION = "s-abcdefghijklmnop"
THUMBPRINT = "x" * 43


@pytest.fixture
def authority() -> TokenAuthority:
    return TokenAuthority(DOMAIN, SECRET)


def issue(authority: TokenAuthority, bound: str | None = None) -> str:
    return authority.issue(TRAIN, session=SESSION, obtained=Binding.MTLS, bound=bound, now=NOW).text


def refusal(authority: TokenAuthority, token: str, now: float = NOW) -> str:
    with pytest.raises(Unauthenticated) as refused:
        authority.verify(token, now)
    assert len(token) < 40 or token not in f"{refused.value.reason} {refused.value.detail}"
    return refused.value.kind


def altered(authority: TokenAuthority, **changes: object) -> str:
    """A token with other claims, signed by the right key: what only a bug of ours could make."""
    header, claims = parts(issue(authority))
    claims |= changes
    return forge(header, {name: value for name, value in claims.items() if value is not None}, KEY)


def with_header(authority: TokenAuthority, **changes: object) -> str:
    header, claims = parts(issue(authority))
    header |= changes
    return forge({name: value for name, value in header.items() if value is not None}, claims, KEY)


def test_a_token_says_who_and_nothing_about_rights(authority: TokenAuthority) -> None:
    made = authority.issue(TRAIN, session=SESSION, obtained=Binding.MTLS, bound=THUMBPRINT, now=NOW)
    assert made.expires_at == NOW + 900
    assert made.text not in repr(made)
    header, claims = parts(made.text)
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": header["kid"]}
    assert claims.pop("jti")
    assert claims == {
        "iss": "spiffe://acme.example",
        "aud": "spiffe://acme.example",
        "sub": "spiffe://acme.example/train",
        "client_id": "spiffe://acme.example/train",
        "sid": SESSION,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 900,
        "obtained": "mtls",
        "cnf": {"x5t#S256": THUMBPRINT},
    }
    evidence = authority.verify(made.text, NOW)
    expected = Claims(
        TRAIN, "spiffe://acme.example/train", SESSION, Binding.MTLS, THUMBPRINT, "", int(NOW), int(NOW) + 900
    )
    assert astuple(evidence) == astuple(expected)
    assert authority.verify(issue(authority), NOW).bound == ""


def test_no_token_lives_longer_than_fifteen_minutes(authority: TokenAuthority) -> None:
    with pytest.raises(Misuse):
        authority.issue(TRAIN, session=SESSION, obtained=Binding.MTLS, bound=None, now=NOW, lifetime=901)
    assert refusal(authority, altered(authority, exp=int(NOW) + 901)) == "malformed"


def test_alg_none(authority: TokenAuthority) -> None:
    header, claims = parts(issue(authority))
    body = f"{b64(json.dumps(header | {'alg': 'none'}).encode())}.{b64(json.dumps(claims).encode())}."
    assert refusal(authority, body) == "bad-algorithm"
    assert refusal(authority, body + issue(authority).rsplit(".", 1)[1]) == "bad-algorithm"


@pytest.mark.parametrize("form", ["pem", "der", "point"])
def test_alg_hs256_with_the_public_key_as_secret(authority: TokenAuthority, form: str) -> None:
    public = KEY.public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "point": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    }[form]
    header, claims = parts(issue(authority))
    assert refusal(authority, hs256(header | {"alg": "HS256"}, claims, secret)) == "bad-algorithm"
    assert refusal(authority, hs256(header, claims, secret)) == "malformed"  # a MAC is not 64 bytes


def test_wrong_key(authority: TokenAuthority) -> None:
    header, claims = parts(issue(authority))
    mallory = ec.generate_private_key(ec.SECP256R1())
    assert refusal(authority, forge(header, claims, mallory)) == "bad-signature"
    assert refusal(authority, forge(header | {"kid": "mallory"}, claims, mallory)) == "unknown-key"


def test_token_of_another_trust_domain(authority: TokenAuthority) -> None:
    other = TokenAuthority(TrustDomain("evil.example"), create_key())
    assert refusal(authority, issue(other)) == "unknown-key"
    same_key = TokenAuthority(TrustDomain("evil.example"), SECRET)
    assert refusal(authority, issue(same_key)) == "wrong-issuer"
    assert refusal(authority, altered(authority, sub="spiffe://evil.example/train")) == "wrong-trust-domain"


def test_wrong_audience(authority: TokenAuthority) -> None:
    for audience in ("spiffe://other.example", ["spiffe://acme.example"], "spiffe://acme.example/", "", None):
        assert refusal(authority, altered(authority, aud=audience)) == "wrong-audience"


def test_wrong_issuer(authority: TokenAuthority) -> None:
    for issuer in ("spiffe://other.example", "https://acme.example", None):
        assert refusal(authority, altered(authority, iss=issuer)) == "wrong-issuer"


def test_expired_to_the_second_even_when_cached(authority: TokenAuthority) -> None:
    token = issue(authority)
    for _ in range(2):
        assert authority.verify(token, NOW + 899.9).subject == TRAIN
    assert refusal(authority, token, NOW + 900) == "expired"
    assert refusal(TokenAuthority(DOMAIN, SECRET), token, NOW + 900) == "expired"


@pytest.mark.parametrize("confirmed", ["bound", "key"])
def test_attack_an_expired_bound_token_puts_nobody_on_record(authority: TokenAuthority, confirmed: str) -> None:
    """Whoever found it proved neither certificate nor key: the refusal must not be recorded as its holder's."""
    made = authority.issue(TRAIN, session=SESSION, obtained=Binding.MTLS, now=NOW, **{confirmed: THUMBPRINT})  # type: ignore[arg-type]
    with pytest.raises(Unauthenticated) as refused:
        authority.verify(made.text, NOW + 900)
    assert (refused.value.kind, refused.value.holder) == ("expired", None)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_not_yet_valid_beyond_five_seconds_of_clock_skew(authority: TokenAuthority, claim: str) -> None:
    assert authority.verify(altered(authority, **{claim: int(NOW) + 5}), NOW).subject == TRAIN
    assert refusal(authority, altered(authority, **{claim: int(NOW) + 6}), NOW) == "not-yet-valid"
    token = issue(authority)
    authority.verify(token, NOW)
    assert refusal(authority, token, NOW - 6) == "not-yet-valid"  # cached, and the clock was set back


def test_oversized(authority: TokenAuthority) -> None:
    assert refusal(authority, "a" * 4097) == "oversized"
    assert refusal(authority, issue(authority) + "A" * 4096) == "oversized"
    assert refusal(authority, altered(authority, padding="x" * 4000)) == "oversized"


def test_malformed_base64_and_other_spellings_of_the_same_token(authority: TokenAuthority) -> None:
    token = issue(authority)
    header, claims, signature = token.split(".")
    spellings = [
        f"{header}.{claims}.{signature}=",
        f"{header}=.{claims}.{signature}",
        f"{header}.{claims}.{signature}==",
        f" {token}",
        f"{token}\n",
        f"{header}.{claims}\n.{signature}",
        f"{header}.{claims}.{signature}.",
        f".{claims}.{signature}",
        f"{header}.{claims}.",
        f"{header}..{signature}",
        f"{header}.{claims}",
        "..",
        "",
        "é" + token,
        "\ud800" + token,
        token.replace(".", "．"),  # noqa: RUF001 # a full-width stop
        f"{header}.+/+/.{signature}",
    ]
    authority.verify(token, NOW)  # the canonical one is cached; no other spelling may find it
    for spelling in spellings:
        assert refusal(authority, spelling) in {"malformed", "bad-signature"}, spelling


def test_bits_that_no_byte_uses_are_zero(authority: TokenAuthority) -> None:
    """Otherwise one signed token would have several spellings, each with its own SHA-256."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    header, claims, signature = issue(authority).split(".")
    also_valid = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
    assert unb64(also_valid) == unb64(signature)
    assert refusal(authority, f"{header}.{claims}.{also_valid}") == "malformed"


def test_duplicate_json_members(authority: TokenAuthority) -> None:
    header, claims = (json.dumps(part).encode() for part in parts(issue(authority)))
    twice = claims.replace(b'{"iss"', b'{"sub": "spiffe://acme.example/admin", "iss"')
    assert refusal(authority, forge(header, twice, KEY)) == "malformed"
    assert refusal(authority, forge(header.replace(b'{"alg"', b'{"alg": "ES256", "alg"'), claims, KEY)) == "malformed"
    nested = json.dumps({"a": 1}).encode().replace(b'"a": 1', b'"a": 1, "a": 2')
    assert refusal(authority, forge(header, claims[:-1] + b', "cnf": ' + nested + b"}", KEY)) == "malformed"


@pytest.mark.parametrize(
    "claims", [b"[]", b'"x"', b"1", b"null", b"{", b"{}x", b"\xff", b"[" * 2000, b'{"exp": NaN}', b'{"exp": 1e9}']
)
def test_json_that_is_no_plain_object(authority: TokenAuthority, claims: bytes) -> None:
    header, good = (json.dumps(part).encode() for part in parts(issue(authority)))
    assert refusal(authority, forge(header, claims, KEY)) == "malformed"
    assert refusal(authority, forge(claims, good, KEY)) in {"malformed", "bad-algorithm"}


@pytest.mark.parametrize(
    "parameter",
    [
        {"jku": "https://evil.example/keys"},
        {"jwk": {"kty": "EC"}},
        {"x5u": "https://evil.example/key"},
        {"x5c": ["AAAA"]},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
)
def test_a_header_that_brings_its_own_key_or_rules(authority: TokenAuthority, parameter: dict[str, object]) -> None:
    assert refusal(authority, with_header(authority, **parameter)) == "malformed"


@pytest.mark.parametrize("kind", ["JWT", "AT+JWT", "application/at+jwt", None, 1])
def test_another_type_of_token(authority: TokenAuthority, kind: object) -> None:
    assert refusal(authority, with_header(authority, typ=kind)) == "wrong-type"


@pytest.mark.parametrize("algorithm", ["es256", "ES384", "RS256", "EdDSA", "", None, ["ES256"]])
def test_another_algorithm(authority: TokenAuthority, algorithm: object) -> None:
    assert refusal(authority, with_header(authority, alg=algorithm)) == "bad-algorithm"


@pytest.mark.parametrize(
    "changes",
    [
        {"sid": None},
        {"jti": None},
        {"client_id": None},
        {"obtained": None},
        {"scope": "admin"},
        {"act": {"sub": "x"}},
        {"exp": None},
        {"exp": "1800000900"},
        {"exp": True},
        {"exp": -1},
        {"exp": 10**40},
        {"iat": None},
        {"nbf": None},
        {"sid": ""},
        {"sid": 7},
        {"sub": 7},
        {"sub": ""},
        {"sub": "train"},
        {"obtained": "magic"},
        {"cnf": {}},
        {"cnf": []},
        {"cnf": ""},
        {"cnf": {"jkt": ""}},
        {"cnf": {"jkt": [THUMBPRINT]}},
        {"cnf": {"kid": THUMBPRINT}},
        {"cnf": {"x5t#S256": ""}},
        {"cnf": {"x5t#S256": None}},
        {"cnf": {"x5t#S256": THUMBPRINT, "jkt": THUMBPRINT}},
    ],
)
def test_claims_that_are_never_issued(authority: TokenAuthority, changes: dict[str, object]) -> None:
    assert refusal(authority, altered(authority, **changes)) == "malformed"


def test_a_null_confirmation_does_not_make_a_token_unbound(authority: TokenAuthority) -> None:
    header, claims = parts(issue(authority))
    assert refusal(authority, forge(header, claims | {"cnf": None}, KEY)) == "malformed"


def test_the_cache_holds_nothing_that_did_not_verify(authority: TokenAuthority) -> None:
    token = issue(authority)
    authority.verify(token, NOW)
    header, claims, signature = token.split(".")
    for _ in range(2):
        assert refusal(authority, f"{header}.{claims}.{b64(bytes(64))}") == "bad-signature"
        stolen = b64(unb64(claims).replace(b"/train", b"/admin"))
        assert refusal(authority, f"{header}.{stolen}.{signature}") == "bad-signature"


def test_the_cache_is_bounded(authority: TokenAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "CACHED", 3)
    issued = [issue(authority) for _ in range(6)]
    for token in issued * 2:
        authority.verify(token, NOW)
    assert len(authority._verified) == 3


@settings(max_examples=200)
@given(st.data())
def test_no_change_of_a_single_character_verifies(data: st.DataObject) -> None:
    authority = TokenAuthority(DOMAIN, SECRET)
    token = issue(authority)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[at]))
    refusal(authority, token[:at] + other + token[at + 1 :])


@settings(max_examples=200)
@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{86}"))
def test_arbitrary_text_is_refused_and_never_crashes(text: str) -> None:
    refusal(TokenAuthority(DOMAIN, SECRET), text)


def test_the_forger_can_sign_what_is_accepted(authority: TokenAuthority) -> None:
    """The other tests mean something only if the same forgery without a lie is accepted."""
    header, claims = parts(issue(authority))
    assert authority.verify(forge(header, claims, KEY), NOW).subject == TRAIN
    body = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    assert authority.verify(f"{body}.{b64(es256(body.encode(), KEY))}", NOW).subject == TRAIN
