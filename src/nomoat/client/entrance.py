"""Where a profile's proxy is, and the key that it wants: what a client on this machine must know of it."""

import fcntl
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nomoat.client.errors import NotLoggedIn, Unwritable
from nomoat.client.profiles import Profile
from nomoat.core.errors import Conflict

PROXIES = "hub/proxies"
STANDING = f"{PROXIES}/standing"  # the folder of the proxy that `nomoat proxy` runs
LOCK = f"{PROXIES}/standing.lock"  # that proxy holds it while it runs; the kernel lets go when it dies


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


@contextmanager
def standing_alone(profile: Profile) -> Generator[None]:
    """Be the one proxy that stands for this profile: a second would take its key from the clients that hold it.

    Raises `Conflict` if there is one, also one that begins right now, and as `Profile.identity` does.
    """
    profile.identity()
    path = profile.directory / LOCK
    try:
        profile.create_folder(PROXIES)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unwritable(profile.name, path, error.strerror or type(error).__name__) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(_runs_already(profile)) from None
        yield
    finally:
        os.close(descriptor)


def _runs_already(profile: Profile) -> str:
    try:
        where = f" at {find_standing(profile).url}"
    except NotLoggedIn:  # it has not got so far
        where = ""
    use = 'in another terminal: eval "$(nomoat env hub --proxy)"'
    return f"a proxy of the profile {profile.name!r} runs already{where}; stop it, or use it: {use}"
