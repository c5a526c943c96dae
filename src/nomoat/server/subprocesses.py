"""Processes of the gateway's own: how one is started and ended, and how it opens the data directory.

Rules: started by the gateway and by nothing else, one ends when its standard input closes, so it never outlives
the gateway. Each does what would take time of the event loop's, and gives way to it.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nomoat.audit.checkpoint import VerifierKey
from nomoat.audit.entries import Pseudonyms
from nomoat.server.configuration import load_configuration
from nomoat.server.keeping import open_keyring
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys

GRACE_S: Final = 5.0


async def start(module: str, directory: Path, log: VerifierKey, *, stderr: int | None = None) -> Process:
    """Start `python -m MODULE DIRECTORY LOG`, which is told the log's public key; raises `OSError`."""
    # -P: a module of that name in whatever directory the gateway was started from is not run.
    command = [sys.executable, "-P", "-m", module, str(directory), str(log)]
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=stderr)


async def end(process: Process) -> None:
    """Close its standard input, and end it where that is not enough."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(GRACE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Opened:
    """What such a process has of a data directory: enough to read the log, and no key to sign with."""

    kek: KeyEncryptionKey
    pseudonyms: Pseudonyms
    subject_keys: StoredSubjectKeys


@contextmanager
def opened(directory: Path, niceness: int) -> Generator[Opened]:
    """Open a data directory in such a process, which has `niceness` from here on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway ends it, orderly
    os.nice(niceness)
    configuration = load_configuration(directory)
    kek = open_keyring(configuration).load()
    state = State.open(directory / "state.db", kek.derive("state"))
    try:
        pseudonyms = Pseudonyms(KeyStore(directory / "keys", kek).load("pseudonyms"))
        yield Opened(kek, pseudonyms, StoredSubjectKeys(state, kek))
    finally:
        state.close()
