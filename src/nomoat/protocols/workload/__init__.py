"""Becoming and staying someone: one-time codes, certificates, access tokens, who one is."""

from nomoat.protocols.workload.routes import IdentityEndpoints

__all__ = ["IdentityEndpoints"]
