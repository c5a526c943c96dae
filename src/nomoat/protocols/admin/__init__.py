"""Administration over JSON: the directory, the policies, enrolment, revocation, the log."""

from nomoat.protocols.admin.routes import Administration

__all__ = ["Administration"]
