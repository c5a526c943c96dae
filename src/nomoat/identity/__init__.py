"""Presented → Principal: who is asking, verified for this very request; and everything that makes identities."""

from nomoat.identity.authenticator import Authenticator
from nomoat.identity.authority import CertificateAuthority
from nomoat.identity.identity import Identity, Issued
from nomoat.identity.keys import create_key, public_key
from nomoat.identity.trust_domain import TrustDomain

__all__ = ["Authenticator", "CertificateAuthority", "Identity", "Issued", "TrustDomain", "create_key", "public_key"]
