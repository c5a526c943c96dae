"""Signing a statement: envelope and bundle around it, naming the key or carrying its certificates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nomoat.attestation import dsse
from nomoat.attestation.bundle import Bundle
from nomoat.attestation.keys import PrivateKey, key_id, require_public_key
from nomoat.attestation.statement import Statement, parse_statement
from nomoat.core.errors import Malformed


def sign_statement(statement: Statement, key: PrivateKey, certificates: Sequence[x509.Certificate] = ()) -> bytes:
    """Sign a statement and return the bundle.

    `certificates` are the signer's and those that lead to an authority, in order (none: the bundle names the
    key). Raises `Malformed` for a key of another kind, or one that the first certificate is not about; `Malformed`
    and `TooLarge` for a statement that nobody could read again.
    """
    public = require_public_key(key.public_key())
    if certificates and certificates[0].public_key() != public:
        raise Malformed("the first certificate is not that of the signing key")
    payload = statement.encode()
    parse_statement(payload)
    chain = tuple(each.public_bytes(Encoding.DER) for each in certificates)
    return Bundle(dsse.sign(payload, key), "" if chain else key_id(public), chain).encode()


@final
@dataclass(frozen=True, slots=True)
class StatementSigner:
    """Who signs statements: a key, and the certificates that say whose it is, its own first."""

    key: PrivateKey = field(repr=False)
    certificates: tuple[x509.Certificate, ...] = ()

    def sign(self, statement: Statement) -> bytes:
        """Sign a statement and return the bundle. Raises as `sign_statement`."""
        return sign_statement(statement, self.key, self.certificates)
