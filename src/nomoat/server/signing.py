"""The gateway as a signer: a key that exists in this process alone, certified by the trust domain's authority.

Rules: the key is made at every start and written nowhere, so nobody takes it away, and what it signed verifies by its
certificate for as long as there is the authority.
"""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from nomoat.attestation.signer import gateway_signer
from nomoat.attestation.signing import StatementSigner
from nomoat.identity import CertificateAuthority
from nomoat.resources.repositories.signatures import Signatory


def signatory_of(authority: CertificateAuthority, now: float) -> Signatory:
    """Make a key for this process, and have the authority say that it is the gateway's."""
    key, trust_domain = ec.generate_private_key(ec.SECP256R1()), authority.trust_domain.name
    certificate = authority.signer_certificate(key.public_key(), gateway_signer(trust_domain), now)
    root = x509.load_pem_x509_certificate(authority.certificate.encode())
    return Signatory(StatementSigner(key, (certificate,)), trust_domain, root)
