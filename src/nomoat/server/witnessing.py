"""A witness as a process of its own: its directory, its key, its listener.

Rules: it runs under another user and key than any gateway, and on another machine if it can. It needs
no secret of a gateway and no TLS: what it is sent and what it answers is public, and signed. Its key is
made once; its state, what it has cosigned, is never made anew. Anybody may connect, so connections are
few of one source, and each exchange on one is over in a few seconds.
"""

import asyncio
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast, final

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nomoat.audit.checkpoint import WITNESS_KEY, NoteSigner, VerifierKey
from nomoat.audit.witness import Witness, WitnessApplication, WitnessState
from nomoat.core.errors import Conflict, Corrupt, Malformed, Unavailable
from nomoat.server.admission import Admission, Limits
from nomoat.server.listening import Server, listen, url_of
from nomoat.server.lock import locked

Clock = Callable[[], float]

KEY_FILE: Final = "witness.key"
PUBLIC_FILE: Final = "witness.vkey"
STATE_FILE: Final = "state"
GRACE_S: Final = 5
EXCHANGE_S: Final = 6.0  # from the connection, or the answer before, to an answer: no gateway waits longer
LIMITS: Final = Limits(connections=512, connections_per_source=32)


@final
class _WitnessConnection(HttpToolsProtocol):
    """One client connection of a witness."""

    def __init__(self, admission: Admission, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._admission = admission
        self._source = ""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        source = str(transport.get_extra_info("peername")[0])
        if self._admission.admit(source):
            self._source = source
            self._expect()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._source:
            self._admission.leave(self._source)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def _expect(self) -> None:
        """Give what comes next its time, whatever of it arrives meanwhile."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(EXCHANGE_S, self.transport.abort)


def _uncounted(source: str, reason: str) -> None:
    """Refuse without a record: a witness has no log."""


def create_witness(directory: Path, name: str) -> VerifierKey:
    """Make a witness called `name` and return its verifier key.

    Raises `Conflict` when there is one already, `Malformed` for a bad name, `Unavailable` when the
    directory cannot be written.
    """
    private = Ed25519PrivateKey.generate().private_bytes_raw()
    key = NoteSigner(name, private, WITNESS_KEY).key
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(private)
            stream.flush()
            os.fsync(stream.fileno())
        (directory / PUBLIC_FILE).write_text(f"{key}\n")
    except FileExistsError:
        raise Conflict(f"{directory} holds a witness already; a witness never gets another key") from None
    except OSError as error:
        raise Unavailable("witness", f"{directory} cannot be written: {error.strerror}") from error
    WitnessState.create(directory / STATE_FILE)
    return key


async def serve_witness(
    directory: Path, logs: Sequence[VerifierKey], address: tuple[str, int], clock: Clock, ready: Callable[[str], None]
) -> None:
    """Cosign checkpoints of `logs` until a signal ends it; `ready` is called with the URL once it listens.

    Raises `Unavailable` when the directory or the address is not to be had, `Malformed` or `Corrupt`
    when the key or the state is not what `create_witness` made.
    """
    signer = _load_signer(directory)
    with locked(directory):
        witness = Witness(signer, WitnessState.open(directory / STATE_FILE), logs, clock)
        listener = listen(*address, otherwise="stop what uses it, or choose another with --listen")
        config = uvicorn.Config(
            WitnessApplication(witness),
            # uvicorn asks of it no more than to be called.
            http=cast("type[asyncio.Protocol]", partial(_WitnessConnection, Admission(LIMITS, _uncounted))),
            ws="none",
            lifespan="off",
            loop="none",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_S,
        )
        url = url_of("http", address[0], listener)
        try:
            await Server(config, lambda: ready(url)).serve([listener])
        finally:
            listener.close()


def _load_signer(directory: Path) -> NoteSigner:
    """Read the witness's key, and its name from the verifier key beside it."""
    try:
        mode = (directory / KEY_FILE).stat().st_mode
        private = (directory / KEY_FILE).read_bytes()
        public = (directory / PUBLIC_FILE).read_text("utf-8").strip()
    except FileNotFoundError:
        raise Unavailable("witness", f"{directory} holds no witness; run: nomoat witness init DIR") from None
    except OSError as error:
        raise Unavailable("witness", f"its key cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise Malformed(f"others can read the witness's key; run: chmod 600 {KEY_FILE}")
    if len(private) != 32:
        raise Corrupt("the witness's key")
    signer = NoteSigner(public.partition("+")[0], private, WITNESS_KEY)
    if str(signer.key) != public:
        raise Corrupt("the witness's key and its verifier key do not belong together")
    return signer
