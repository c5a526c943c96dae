"""What an administrator's session registers to be found in prompts."""

from collections.abc import Sequence
from urllib.parse import quote

from nomoat.client.errors import Unintelligible
from nomoat.client.gateway import Gateway
from nomoat.client.transport import Answer


def register_values(gateway: Gateway, name: str, values: Sequence[str], label: str, classification: str) -> int:
    """Have prompts looked through for values; return how many different ones there are."""
    body = {"label": label, "classification": classification, "values": list(values)}
    count = gateway.call("PUT", f"{_path(name)}/values", body).get("values")
    if not isinstance(count, int):
        raise Unintelligible("its answer has no proper 'values'")
    return count


def plant_canary(gateway: Gateway, name: str) -> str:
    """Have a canary made; return it."""
    canary = gateway.call("POST", f"{_path(name)}/canary", {}).get("canary")
    if not isinstance(canary, str):
        raise Unintelligible("its answer has no proper 'canary'")
    return canary


def list_registrations(gateway: Gateway) -> Answer:
    """Return what is registered."""
    return gateway.call("GET", "/v1/registrations")


def remove_registration(gateway: Gateway, name: str) -> Answer:
    """Have prompts looked through for it no more."""
    return gateway.call("DELETE", _path(name))


def _path(name: str) -> str:
    return f"/v1/registrations/{quote(name, safe='')}"
