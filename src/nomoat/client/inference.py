"""What a session asks about the servers of models."""

from urllib.parse import quote

from nomoat.client.gateway import Gateway
from nomoat.client.transport import Answer


def seal_credential(gateway: Gateway, upstream: str, credential: str) -> Answer:
    """Give the gateway what it shows to an upstream; returns for which address."""
    return gateway.call("POST", f"/v1/upstreams/{quote(upstream, safe='')}/credential", {"credential": credential})


def read_quotas(gateway: Gateway, *, everybody: bool) -> Answer:
    """What is left of the quotas that count the caller's own requests, or of everybody's."""
    return gateway.call("GET", "/v1/quotas/all" if everybody else "/v1/quotas")


def read_contents(gateway: Gateway, record: int) -> Answer:
    """What was kept of a prompt and its answer, of the access that record number `record` opened."""
    return gateway.call("POST", "/v1/log/contents", {"record": record})
