"""Where a profile's proxy is, and the key that it wants: what a client on this machine must know of it."""

import socket
from dataclasses import dataclass
from pathlib import Path

from nomoat.client.errors import NotLoggedIn
from nomoat.client.profiles import Profile
from nomoat.core.errors import Conflict

STANDING = "hub/proxies/standing"  # the folder of the proxy that `nomoat proxy` runs


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a proxy is: `url` for clients, and the file with the key that they show as a bearer token."""

    url: str
    token_path: Path


def find_standing(profile: Profile) -> Entrance:
    """Return where the proxy of `nomoat proxy` is. Raises `NotLoggedIn` if none runs for this profile."""
    try:
        url = profile.read(f"{STANDING}/url").decode()
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2.0):
            return Entrance(url, profile.directory / STANDING / "token")
    except (OSError, ValueError):
        reason = f"no proxy runs for the profile {profile.name!r}"
        raise NotLoggedIn(profile.name, reason, advice="nomoat proxy, in another terminal") from None


def require_none_standing(profile: Profile) -> None:
    """Raise `Conflict` if one runs for this profile: a second would take its key from the clients that hold it."""
    try:
        entrance = find_standing(profile)
    except NotLoggedIn:
        return
    use = 'in another terminal: eval "$(nomoat env hub --proxy)"'
    raise Conflict(f"a proxy of the profile {profile.name!r} runs already at {entrance.url}; stop it, or use it: {use}")
