"""Cosigning: having the log's newest checkpoint cosigned by its witnesses, and keeping what enough of them signed.

Rules: the gateway's side of c2sp.org/tlog-witness, without the HTTP calls. All witnesses of a round are asked
for the same checkpoint, so that their signatures stand under one. What a witness answers is believed only with
its signature. A witness that saw more, or other, records than this log has means that the log was rolled back
or forked: that is `Corrupt`, and nobody should go on as if it were not. One that fails rests, ever longer, so
that it neither delays the others nor fills anybody's log.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, final

from nomoat.audit.checkpoint import (
    Checkpoint,
    VerifierKey,
    add_signatures,
    parse_checkpoint,
    parse_size,
    verify_checkpoint,
    verify_cosignature,
)
from nomoat.audit.quorum import Quorum
from nomoat.audit.segments import WITNESSED_FILE
from nomoat.audit.witness import WitnessAnswer
from nomoat.core.errors import Corrupt, Malformed, NoMoatError, Unavailable
from nomoat.stores.segments import Files

LONGEST_REST_S: Final = 60.0

Post = Callable[[bytes], Awaitable[WitnessAnswer]]
"""Send a body to a witness's `/add-checkpoint`; raises `Unavailable` when it cannot be reached."""

Told = Callable[[VerifierKey, NoMoatError | None], None]
"""Hears what went wrong with a witness, each time, and with None that it is well again."""


class Witnessed(Protocol):
    """What a log offers to be witnessed."""

    @property
    def verifier_key(self) -> VerifierKey:
        """The key that checkpoints verify with."""
        ...

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint."""
        ...

    def consistency(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """Prove that the first `old_size` records are a prefix of the first `new_size`."""
        ...


@dataclass(slots=True)
class _Standing:
    """What is known of one witness: the size that it cosigned last, how often it failed since, until when it rests."""

    seen: int = 0
    failures: int = 0
    until: float = 0.0


@final
class Cosigner:
    """Keeps the newest checkpoint of a log that at least `quorum` of its witnesses cosigned (0: all of them).

    Raises `Malformed` for witnesses that are no quorum (see `Quorum`).
    """

    def __init__(
        self,
        log: Witnessed,
        directory: Path,
        witnesses: Sequence[VerifierKey],
        quorum: int = 0,
        files: Files | None = None,
    ) -> None:
        self._log = log
        self._path = directory / WITNESSED_FILE
        self._standing = {key: _Standing() for key in witnesses}
        self._quorum = Quorum(tuple(witnesses), quorum or len(witnesses))
        self._files = files or Files()
        self._newest = self._load()

    @property
    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that enough witnesses cosigned; None before the first."""
        return self._newest

    async def refresh(self, posts: Mapping[VerifierKey, Post]) -> Mapping[VerifierKey, NoMoatError | None]:
        """Have the newest checkpoint cosigned by every witness of `posts` that does not rest, and keep it.

        Returns how it went with each that was asked: None, `Unavailable` when the witness cannot be reached
        or refuses for a reason of its own, `Corrupt` when it knows another history of this log than the log
        does. Raises `Unavailable` when what was cosigned cannot be kept.
        """
        now = asyncio.get_running_loop().time()
        checkpoint = parse_checkpoint(self._log.checkpoint())
        done = {name for name, _ in self._under(checkpoint)}
        asked = [key for key in posts if self._standing[key].until <= now and key.name not in done]
        went: dict[VerifierKey, NoMoatError | None] = {}
        merged = self._newest if self._newest is not None and self._newest.head == checkpoint.head else checkpoint
        for finished in asyncio.as_completed([self._ask(key, posts[key], checkpoint) for key in asked]):
            key, answer = await finished
            went[key] = answer if isinstance(answer, NoMoatError) else None
            self._account(key, went[key], checkpoint)
            if isinstance(answer, bytes):
                merged = add_signatures(merged, answer)
                if len(self._under(merged)) >= self._quorum.needed:
                    await asyncio.to_thread(self._keep, merged)
        return went

    async def run(self, posts: Mapping[VerifierKey, Post], interval: float, told: Told) -> None:
        """Refresh every `interval` seconds until cancelled; tell `told` what went wrong and what is well again."""
        failing = set[VerifierKey]()
        while posts:
            try:
                went = await self.refresh(posts)
            except NoMoatError as ours:  # not a witness's
                went = dict.fromkeys(posts, ours)
            for key, error in went.items():
                if error is not None or key in failing:
                    told(key, error)
            failing -= {key for key, error in went.items() if error is None}
            failing |= {key for key, error in went.items() if error is not None}
            await asyncio.sleep(interval)

    # -- One witness ----------------------------------------------------------------------------------

    async def _ask(
        self, key: VerifierKey, post: Post, checkpoint: Checkpoint
    ) -> tuple[VerifierKey, bytes | NoMoatError]:
        """Return the signature line of one witness, verified, or what went wrong."""
        try:
            return key, await self._cosigned(key, post, checkpoint)
        except NoMoatError as error:
            return key, error

    async def _cosigned(self, key: VerifierKey, post: Post, checkpoint: Checkpoint) -> bytes:
        old = self._standing[key].seen
        if old > checkpoint.size:
            raise Corrupt(f"the log (its witness saw {old} records, and it has {checkpoint.size})")
        answer = await post(self._request(old, checkpoint))
        if answer.status == 409:
            # It knows this log from before, and says where to start.
            seen = _parse_seen(answer, old, checkpoint)
            answer = await post(self._request(seen, checkpoint))
        if answer.status in {409, 422}:
            raise Corrupt("the log (its witness cosigned another history)")
        if answer.status != 200:
            raise Unavailable("witness", f"it answered {answer.status}")
        return _own_line(checkpoint, answer.body, key)

    def _request(self, old: int, checkpoint: Checkpoint) -> bytes:
        proof = self._log.consistency(old, checkpoint.size)
        lines = "".join(f"{b64encode(step).decode()}\n" for step in proof)
        return f"old {old}\n{lines}\n".encode() + checkpoint.note

    def _account(self, key: VerifierKey, error: NoMoatError | None, checkpoint: Checkpoint) -> None:
        standing, now = self._standing[key], asyncio.get_running_loop().time()
        if error is None:
            self._standing[key] = _Standing(checkpoint.size)
        else:
            standing.until = now + min(2.0**standing.failures, LONGEST_REST_S)
            standing.failures = min(standing.failures + 1, 16)

    # -- What is kept ---------------------------------------------------------------------------------

    def _under(self, checkpoint: Checkpoint) -> tuple[tuple[str, int], ...]:
        """The witnesses whose cosignatures stand under a checkpoint, or under the kept one of the same head."""
        if self._newest is not None and self._newest.head == checkpoint.head:
            checkpoint = checkpoint if len(checkpoint.signatures) > len(self._newest.signatures) else self._newest
        return self._quorum.cosignatures(checkpoint)

    def _keep(self, cosigned: Checkpoint) -> None:
        try:
            self._files.replace(self._path, cosigned.note)
        except OSError as error:
            raise Unavailable("log", f"a cosigned checkpoint cannot be kept ({error.strerror})") from error
        self._newest = cosigned

    def _load(self) -> Checkpoint | None:
        """What was kept, if enough of the witnesses of today cosigned it; where each of them is, it says itself."""
        try:
            kept = verify_checkpoint(self._path.read_bytes(), self._log.verifier_key)
        except (OSError, Malformed, Corrupt):
            return None
        cosigned = {name for name, _ in self._quorum.cosignatures(kept)}
        for key, standing in self._standing.items():
            standing.seen = kept.size if key.name in cosigned else 0
        return kept if self._quorum.met_by(kept) else None


def _parse_seen(answer: WitnessAnswer, old: int, checkpoint: Checkpoint) -> int:
    try:
        seen = parse_size(answer.body.decode("ascii", "replace").removesuffix("\n"))
    except Malformed:
        raise Unavailable("witness", "it answered 409 without a size") from None
    if seen > checkpoint.size:
        raise Corrupt(f"the log (its witness saw {seen} records, and it has {checkpoint.size})")
    if seen == old:
        raise Corrupt("the log (its witness cosigned another history)")
    return seen


def _own_line(checkpoint: Checkpoint, lines: bytes, key: VerifierKey) -> bytes:
    """Return the one line that is a cosignature of `key`; signatures of other keys are ignored."""
    for line in lines.splitlines(keepends=True):
        try:
            alone = parse_checkpoint(checkpoint.text + b"\n" + line)
            verify_cosignature(alone, key)
        except (Malformed, Corrupt):
            continue
        return line
    raise Unavailable("witness", "its answer has no cosignature of its key that verifies")
