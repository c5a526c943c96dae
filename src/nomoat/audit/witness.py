"""A witness: cosigns each checkpoint of a log that extends the last one it cosigned, and no other.

Rules: c2sp.org/tlog-witness and /tlog-cosignature. Runs apart from the gateway, under another user
and key, and trusts nothing of the log but its signature and its proofs. What it is about to cosign
is durable before the answer leaves: it never signs two histories, also across restarts. A state that
is missing is not replaced by an empty one: who forgot what it signed must not go on signing.
"""

import asyncio
import json
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from nomoat.audit.checkpoint import (
    NOTE_LIMIT,
    Checkpoint,
    NoteSigner,
    VerifierKey,
    parse_checkpoint,
    parse_hash,
    parse_size,
    verify_checkpoint,
)
from nomoat.audit.segments import parse_object
from nomoat.audit.tree import EMPTY_ROOT, Head, verify_consistency
from nomoat.core.errors import Conflict, Corrupt, Malformed, Misuse, Unavailable
from nomoat.stores.segments import Files

PROOF_LIMIT: Final = 63
BODY_LIMIT: Final = NOTE_LIMIT + 64 * (PROOF_LIMIT + 1)
SIZE_TYPE: Final = "text/x.tlog.size"
_TEXT_TYPE: Final = "text/plain; charset=utf-8"
_NEVER: Final = Head(0, EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """An HTTP answer to `add-checkpoint`: cosignature lines when `status` is 200."""

    status: int
    body: bytes
    content_type: str = _TEXT_TYPE


class WitnessState:
    """The newest head that was cosigned of each log, in one small file.

    `create` makes it, once; `open` raises `Unavailable` when it is not there and `Corrupt` when it
    does not parse.
    """

    def __init__(self, files: Files, path: Path, heads: Mapping[str, Head]) -> None:
        self._files = files
        self._path = path
        self._heads = dict(heads)

    @classmethod
    def create(cls, path: Path, files: Files | None = None) -> "WitnessState":
        """Make an empty state. Raises `Conflict` when there is one, `Unavailable` when it cannot be written."""
        if path.exists():
            raise Conflict("this witness has a state already")
        state = cls(files or Files(), path, {})
        state._write({})
        return state

    @classmethod
    def open(cls, path: Path, files: Files | None = None) -> "WitnessState":
        """Read the state of a witness that has one."""
        try:
            content = parse_object(path.read_bytes(), "a witness's state")
            heads = {origin: _parse_head(str(head)) for origin, head in content.items()}
        except FileNotFoundError:
            raise Unavailable("witness", "its state is missing; one that forgot what it signed must not sign") from None
        except OSError as error:
            raise Unavailable("witness", f"its state cannot be read ({error.strerror})") from error
        except Malformed:
            raise Corrupt("a witness's state") from None
        return cls(files or Files(), path, heads)

    def newest(self, origin: str) -> Head:
        """Return the newest head cosigned of a log; size 0 when there was none."""
        return self._heads.get(origin, _NEVER)

    def keep(self, origin: str, head: Head) -> None:
        """Make `head` the newest of its log, durably. Raises `Unavailable`: then it is not to be cosigned."""
        heads = self._heads | {origin: head}
        self._write(heads)
        self._heads = heads

    def _write(self, heads: Mapping[str, Head]) -> None:
        content = {origin: f"{head.size} {b64encode(head.root).decode()}" for origin, head in heads.items()}
        try:
            self._files.replace(self._path, json.dumps(content, sort_keys=True, indent=1).encode())
        except OSError as error:
            raise Unavailable("witness", f"its state cannot be written ({error.strerror})") from error


@final
class Witness:
    """The witness's logic, without HTTP. `logs` are the keys of the logs it knows; `clock` gives Unix seconds."""

    def __init__(
        self, signer: NoteSigner, state: WitnessState, logs: Sequence[VerifierKey], clock: Callable[[], float]
    ) -> None:
        self._signer = signer
        self._state = state
        self._logs = {key.name: key for key in logs}
        self._clock = clock
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes) -> WitnessAnswer:
        """Answer one `add-checkpoint` request; any thread may call it."""
        try:
            old, proof, note = _parse_request(body)
            origin = parse_checkpoint(note).origin
        except Malformed as error:
            return _say(400, error.reason)
        key = self._logs.get(origin)
        if key is None:
            return _say(404, "this log is not known here")
        try:
            checkpoint = verify_checkpoint(note, key)
        except Corrupt as error:
            return _say(403, str(error))
        if old > checkpoint.size:
            return _say(400, "the old size is beyond the checkpoint")
        # Comparing with the newest head and keeping the next one are one step.
        with self._lock:
            return self._cosign(old, proof, checkpoint)

    def _cosign(self, old: int, proof: Sequence[bytes], checkpoint: Checkpoint) -> WitnessAnswer:
        newest, head = self._state.newest(checkpoint.origin), checkpoint.head
        if old != newest.size or (old == head.size and newest.root != head.root):
            return WitnessAnswer(409, b"%d\n" % newest.size, SIZE_TYPE)
        try:
            verify_consistency(newest, head, proof)
        except Corrupt as error:
            return _say(422, str(error))
        try:
            if head != newest:
                self._state.keep(checkpoint.origin, head)
        except Unavailable as error:
            return _say(503, error.reason)
        return WitnessAnswer(200, self._signer.cosign(checkpoint.text, int(self._clock())))


Scope = Mapping[str, Any]  # ASGI 3.0 gives these no closer type
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@final
class WitnessApplication:
    """A witness as an ASGI application (ASGI 3.0): `POST /add-checkpoint` and nothing else."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise Misuse("a witness speaks HTTP and nothing else")
        answer = await self._answer(scope, receive)
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", b"%d" % len(answer.body)),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> WitnessAnswer:
        if scope["path"] != "/add-checkpoint":
            return _say(404, "there is only /add-checkpoint")
        if scope["method"] != "POST":
            return _say(405, "checkpoints are posted")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return _say(400, "the request ended early")
            body += message.get("body", b"")
            if len(body) > BODY_LIMIT:
                return _say(413, f"a request has at most {BODY_LIMIT} bytes")
            if not message.get("more_body", False):
                return await asyncio.to_thread(self._witness.add_checkpoint, bytes(body))


def _parse_request(body: bytes) -> tuple[int, list[bytes], bytes]:
    """Return (old size, proof, checkpoint). Raises `Malformed`."""
    head, blank, note = body.partition(b"\n\n")
    if not blank or not head.isascii():
        raise Malformed("a request is an old size, a proof, an empty line and a checkpoint")
    first, *lines = head.decode().split("\n")
    if not first.startswith("old "):
        raise Malformed("a request begins with the old size")
    if len(lines) > PROOF_LIMIT:
        raise Malformed(f"a proof has at most {PROOF_LIMIT} lines")
    return parse_size(first.removeprefix("old ")), [parse_hash(line) for line in lines], note


def _parse_head(text: str) -> Head:
    size, _, root = text.partition(" ")
    return Head(parse_size(size), parse_hash(root))


def _say(status: int, text: str) -> WitnessAnswer:
    return WitnessAnswer(status, f"{text}\n".encode())
