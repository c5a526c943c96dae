"""What decisions about inference are about, as policies see it."""

from nomoat.core.inference import Endpoint
from nomoat.core.operation import Target


def endpoint_target(endpoint: Endpoint) -> Target:
    """An endpoint."""
    return Target(
        kind="Endpoint",
        id=endpoint.name,
        name=endpoint.name,
        classification=endpoint.classification,
        labels=endpoint.labels,
        owner_group=endpoint.owner_group,
        owner_person=endpoint.owner_person,
    )
