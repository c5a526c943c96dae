"""The one path to every resource: authenticate, resolve, decide, record, recheck, permit, serve, close."""

from nomoat.guard.guard import Guard

__all__ = ["Guard"]
