"""The query protocol: SQL in, an Arrow stream out."""

from nomoat.protocols.query.routes import QueryEndpoint

__all__ = ["QueryEndpoint"]
