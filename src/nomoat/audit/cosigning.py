"""Cosigning: having the log's newest checkpoint cosigned by a witness, and keeping what it signed.

Rules: the gateway's side of c2sp.org/tlog-witness, without the HTTP call. What the witness answers is
believed only with its signature. A witness that saw more, or other, records than this log has means
that the log was rolled back or forked: that is `Corrupt`, and nobody should go on as if it were not.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, final

from nomoat.audit.checkpoint import (
    Checkpoint,
    VerifierKey,
    add_signatures,
    parse_checkpoint,
    parse_size,
    verify_checkpoint,
    verify_cosignature,
)
from nomoat.audit.segments import WITNESSED_FILE
from nomoat.audit.witness import WitnessAnswer
from nomoat.core.errors import Corrupt, Malformed, NoMoatError, Unavailable
from nomoat.stores.segments import Files

Post = Callable[[bytes], Awaitable[WitnessAnswer]]
"""Send a body to the witness's `/add-checkpoint`; raises `Unavailable` when it cannot be reached."""


class Witnessed(Protocol):
    """What a log offers to be witnessed. Both answers belong together when nothing is awaited between."""

    @property
    def verifier_key(self) -> VerifierKey:
        """The key that checkpoints verify with."""
        ...

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint."""
        ...

    def consistency(self, old_size: int) -> list[bytes]:
        """Prove that the first `old_size` records are a prefix of it."""
        ...


@final
class Cosigner:
    """Keeps the newest cosigned checkpoint of a log in its directory."""

    def __init__(
        self, log: Witnessed, directory: Path, witness: VerifierKey, post: Post, files: Files | None = None
    ) -> None:
        self._log = log
        self._path = directory / WITNESSED_FILE
        self._witness = witness
        self._post = post
        self._files = files or Files()
        self._newest = self._load()

    @property
    def newest(self) -> Checkpoint | None:
        """The newest checkpoint with the witness's signature; None before the first."""
        return self._newest

    async def refresh(self) -> Checkpoint:
        """Have the newest checkpoint cosigned, keep it, and return it.

        Raises `Unavailable` when the witness cannot be reached or refuses for a reason of its own,
        `Corrupt` when it knows another history of this log than the log does.
        """
        checkpoint, old = parse_checkpoint(self._log.checkpoint()), self._newest.size if self._newest else 0
        if self._newest is not None and self._newest.head == checkpoint.head:
            return self._newest
        if old > checkpoint.size:
            raise Corrupt(f"the log (its witness saw {old} records, and it has {checkpoint.size})")
        answer = await self._post(_request(old, self._log.consistency(old), checkpoint))
        if answer.status == 409:
            # It knows this log from before, and says where to start.
            seen = self._parse_seen(answer, old, checkpoint)
            checkpoint = parse_checkpoint(self._log.checkpoint())
            answer = await self._post(_request(seen, self._log.consistency(seen), checkpoint))
        if answer.status in {409, 422}:
            raise Corrupt("the log (its witness cosigned another history)")
        if answer.status != 200:
            raise Unavailable("witness", f"it answered {answer.status}")
        cosigned = self._take(checkpoint, answer.body)
        await asyncio.to_thread(self._keep, cosigned)
        return cosigned

    async def run(self, interval: float, failed: Callable[[NoMoatError], None]) -> None:
        """Refresh every `interval` seconds until cancelled; tell `failed` what went wrong, and go on."""
        while True:
            try:
                await self.refresh()
            except NoMoatError as error:
                failed(error)
            await asyncio.sleep(interval)

    def _parse_seen(self, answer: WitnessAnswer, old: int, checkpoint: Checkpoint) -> int:
        try:
            seen = parse_size(answer.body.decode("ascii", "replace").removesuffix("\n"))
        except Malformed:
            raise Unavailable("witness", "it answered 409 without a size") from None
        if seen > checkpoint.size:
            raise Corrupt(f"the log (its witness saw {seen} records, and it has {checkpoint.size})")
        if seen == old:
            raise Corrupt("the log (its witness cosigned another history)")
        return seen

    def _take(self, checkpoint: Checkpoint, lines: bytes) -> Checkpoint:
        """Return the checkpoint with the witness's own signature lines; others are ignored."""
        own = f"\N{EM DASH} {self._witness.name} ".encode()
        try:
            cosigned = add_signatures(
                checkpoint, b"".join(line for line in lines.splitlines(keepends=True) if line.startswith(own))
            )
            verify_cosignature(cosigned, self._witness)
        except (Malformed, Corrupt) as error:
            raise Unavailable("witness", f"its answer does not verify ({error})") from None
        return cosigned

    def _keep(self, cosigned: Checkpoint) -> None:
        try:
            self._files.replace(self._path, cosigned.note)
        except OSError as error:
            raise Unavailable("log", f"a cosigned checkpoint cannot be kept ({error.strerror})") from error
        self._newest = cosigned

    def _load(self) -> Checkpoint | None:
        try:
            kept = verify_checkpoint(self._path.read_bytes(), self._log.verifier_key)
            verify_cosignature(kept, self._witness)
        except (OSError, Malformed, Corrupt):
            return None  # the witness will say where it is
        return kept


def _request(old: int, proof: Sequence[bytes], checkpoint: Checkpoint) -> bytes:
    lines = "".join(f"{b64encode(step).decode()}\n" for step in proof)
    return f"old {old}\n{lines}\n".encode() + checkpoint.note
