"""The Hugging Face Hub API, as far as its unmodified client needs it for datasets and models."""

from nomoat.protocols.hub.errors import error_headers
from nomoat.protocols.hub.routes import DatasetEndpoints, HubEndpoints, ModelEndpoints

__all__ = ["DatasetEndpoints", "HubEndpoints", "ModelEndpoints", "error_headers"]
