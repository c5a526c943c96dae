"""Administration over JSON: the directory, the policies, enrolment, revocation, the log."""

from nomoat.protocols.admin.routes import admin_routes

__all__ = ["admin_routes"]
