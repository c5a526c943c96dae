"""The lock of a data directory: one process at a time, and the kernel lets go when that one dies."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nomoat.core.errors import Unavailable

LOCK: Final = "lock"


@contextmanager
def undisturbed(directory: Path) -> Generator[None]:
    """Keep every gateway out of `directory` without changing anything in it. Raises `Unavailable` as `locked` does."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:  # a copy: nobody ever served it
        yield
        return
    except OSError as error:
        raise Unavailable("data directory", f"its lock cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable("data directory", "a gateway is using it; stop that one, or look at a copy") from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path) -> Generator[None]:
    """Hold `directory` alone. Raises `Unavailable` when another process holds it."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable("data directory", f"its lock cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable("data directory", "another gateway is using it; stop that one first") from None
        yield
    finally:
        os.close(descriptor)


def is_locked(directory: Path) -> bool:
    """Whether a process holds `directory` now; nothing is made to find out."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
