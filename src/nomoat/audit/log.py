"""The log: records go in, durable receipts come out.

Rules: a receipt exists only after `fdatasync`. `post` never blocks. When the log cannot be written
nothing is promised: accesses are refused with `Unavailable`, and it recovers by itself. Time never
goes back by more than 5 s between records: with a clock that did, nothing is recorded or served.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from time import gmtime, strftime
from typing import Final, final

from nomoat.audit.checkpoint import NoteSigner, VerifierKey
from nomoat.audit.commit import ClockBehind, Gate, GroupCommit, LogSettings, interrupted
from nomoat.audit.entries import MissingKey, Pseudonyms, Sealer, SubjectKeys
from nomoat.audit.generation import advanced
from nomoat.audit.outage import Mode
from nomoat.audit.query import Query, parse_query
from nomoat.audit.reading import Reader
from nomoat.audit.recovery import Recovered, recover
from nomoat.audit.tail import Item, Kept, Stamped
from nomoat.audit.tree import Head, consistency_proof, inclusion_proof, root_at, verify_consistency, verify_inclusion
from nomoat.audit.walk import Walk
from nomoat.core.durations import Durations
from nomoat.core.errors import Malformed, Misuse, NoMoatError, Unavailable
from nomoat.core.record import Json, Receipt, Record, system_record
from nomoat.stores.segments import Files, Reserve, WriterThread, is_full

CLOCK_TOLERANCE_MS: Final = 5000


@final
class Log:
    """An append-only log in one directory, of which this process is the only writer.

    `generation` is the newest generation of the state that it was told of.
    """

    def __init__(
        self,
        recovered: Recovered,
        sealer: Sealer,
        keys: SubjectKeys,
        clock: Callable[[], float],
        reserve: Reserve,
        settings: LogSettings,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._tail = recovered.tail
        self._sealer = sealer
        self._keys = keys
        self._clock = clock
        self._reserve = reserve
        self._reader = Reader(self._tail.directory, self.verifier_key, sealer.pseudonyms, keys)
        self._latest = recovered.tail.latest
        self.generation = recovered.generation
        self._stamped = -1
        self._at = ""
        self._fetching: dict[str, list[Item]] = {}
        self._fetches: set[asyncio.Task[None]] = set()
        self._closed = False
        self.erasures = 0
        """How often content was erased while this was open: what was read before must not be told after."""
        self._writer = WriterThread(loop, "audit-log")
        gate = Gate(self._draft, sealer.seal, lambda: self._stamp(int(clock() * 1000)))
        self._commit = GroupCommit(loop, self._tail, self._writer, reserve, gate, settings)

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        signing_key: bytes,
        origin: str,
        pseudonym_key: bytes,
        subject_keys: SubjectKeys,
        clock: Callable[[], float],
        enforcer: str = "gateway-1",
        state: int | None = None,
        files: Files | None = None,
        settings: LogSettings | None = None,
    ) -> "Log":
        """Open the log in `directory`, or begin one; what a crash left is put in order first.

        `signing_key` is an Ed25519 private key (32 bytes), `origin` the log's name in checkpoints,
        `pseudonym_key` at least 32 secret bytes, `clock` returns Unix seconds, `state` is the generation
        of the state beside the log (None: whatever it is). Accesses that were open when the last process
        ended get an outcome, `interrupted`. Raises `Corrupt` when the directory holds what no crash
        leaves, `Unavailable` when it cannot be read or written, or the state is older than the log says.
        """
        files, settings = files or Files(), settings or LogSettings()
        signer = NoteSigner(origin, signing_key)
        try:
            recovered = await asyncio.to_thread(recover, directory, files, signer, subject_keys, state)
            try:
                reserve = Reserve(files, directory / "reserve", settings.reserve_size, settings.reserve_slice)
                full = not await asyncio.to_thread(_fill, reserve)
            except OSError:
                recovered.tail.close()
                raise
        except OSError as error:
            raise Unavailable("log", f"its directory cannot be used ({error.strerror})") from error
        sealer = Sealer(origin, enforcer, Pseudonyms(pseudonym_key), subject_keys)
        log = cls(recovered, sealer, subject_keys, clock, reserve, settings)
        if full:
            log._commit.begin_full()
        await log._begin(recovered)
        return log

    # -- Records in -----------------------------------------------------------------------------------

    def submit(self, record: Record) -> "asyncio.Future[Receipt]":
        """Take a record; the future is done when it is durable, or fails with `Unavailable`.

        Raises at once: `Unavailable` when the log takes no such record now, `TooLarge` or `Misuse`
        for its content. A record whose future was cancelled may be kept all the same; an access it
        opened is then closed as interrupted.
        """
        if self._closed:
            raise Unavailable("log", "it is closed")
        waiter: asyncio.Future[Receipt] = self._loop.create_future()
        self._commit.submit(Item(record, waiter))
        return waiter

    async def append(self, record: Record) -> Receipt:
        """Keep a record; on return it is durable. Raises as `submit` does."""
        return await self.submit(record)

    def post(self, record: Record) -> None:
        """Take a record that nobody waits for; it goes to the disk within 20 ms.

        When it cannot be written it is kept in memory and tried again; when there is no room for
        that either, it is counted, and a record says so as soon as there can be one.
        """
        if self._closed:
            raise Misuse("a record was posted to a closed log")
        self._commit.offer(Item(record))

    async def learn(self, generation: int) -> None:
        """Keep a record that the state got as far as `generation`; from its return on no older one may take its place.

        Raises as `submit` does.
        """
        self.generation = max(self.generation, generation)
        await self.append(advanced(self.generation))

    # -- What it holds --------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many durable records there are."""
        return self._tail.frontier.size

    @property
    def mode(self) -> Mode:
        """What it takes at present."""
        return self._commit.mode

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return self._tail.directory

    @property
    def counted(self) -> Kept:
        """How many records of each sort this process kept."""
        return self._tail.counted

    @property
    def syncs(self) -> Durations:
        """How long its batches took to be durable."""
        return self._commit.syncs

    @property
    def held(self) -> int:
        """The bytes that its reserve holds for a full disk."""
        return self._reserve.held

    @property
    def verifier_key(self) -> VerifierKey:
        """The public key that its checkpoints verify with."""
        return self._tail.signer.key

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint (C2SP signed note); what it covers is durable."""
        return self._tail.note

    @property
    def signed(self) -> Head:
        """The head that `checkpoint()` signs."""
        return self._tail.signed

    def hash_at(self, level: int, index: int) -> bytes:
        """Return the stored hash of a complete subtree, unchecked. Raises `Corrupt` when it is not there."""
        return self._tail.hashes.read(level, index)

    def consistency(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """Prove that the log of `new_size` records (None: what `checkpoint()` covers) extends that of `old_size`.

        Raises `Malformed` for sizes that it never had, `Corrupt` when the stored tree does not hold.
        """
        signed, read = self._tail.signed, self._tail.hashes.read
        new = signed.size if new_size is None else new_size
        if not 0 <= old_size <= new <= signed.size:
            raise Malformed(f"a proof leads from one size of the log to a larger one, of {signed.size} at most")
        proof = consistency_proof(old_size, new, read)
        head = verify_consistency(Head(old_size, root_at(old_size, read)), Head(new, root_at(new, read)), proof)
        # Only the newest head is known other than from the stored tree, so every proof is checked up to it.
        verify_consistency(head, signed, consistency_proof(new, signed.size, read))
        return proof

    def inclusion(self, index: int) -> list[bytes]:
        """Prove that record `index` is in what `checkpoint()` covers: its audit path. Raises as above."""
        head, read = self._tail.signed, self._tail.hashes.read
        proof = inclusion_proof(index, head.size, read)
        verify_inclusion(read(0, index), index, head, proof)
        return proof

    async def read(self, text: str, *, after: int = -1, limit: int = 100) -> list[dict[str, Json]]:
        """Return the newest `limit` readable records after number `after` that match, oldest first.

        `text` is a query (see `nomoat.audit.query`). Raises `Malformed` for what is none, and as
        `Reader.search` does. Work is done in a thread.
        """
        query = self.query(text)
        return await asyncio.to_thread(self._reader.search, query, after=after, limit=limit, size=self.size)

    def decisions(self, text: str) -> Iterator[dict[str, Json]]:
        """Yield every readable record of a decision that matches a query, newest first; for a thread.

        Raises `Malformed` at once, and as `Reader.decisions` does.
        """
        query = self.query(text)
        if query.upstreams:
            raise Malformed(
                "which server was asked is decided later: these are decisions, which 'upstream' finds none of"
            )
        return self._reader.decisions(query, size=self.size)

    def query(self, text: str) -> Query:
        """Parse a query whose ages count back from now. Raises `Malformed`."""
        return parse_query(text, self._clock())

    def pseudonym(self, subject: str) -> str:
        """Return what the provable part of the log calls a subject (`person:NAME`)."""
        return self._sealer.pseudonyms.subject(subject)

    def forget(self) -> None:
        """Use no key of a subject any more without fetching it again: one was destroyed. In the event loop."""
        self.erasures += 1
        self._sealer.forget_keys()

    def end_segment(self) -> None:
        """End the newest segment with the next record, so that nothing is written into it any more."""
        self._commit.end_segment()

    def walk(self, after: int = -1) -> Walk:
        """Return a walk over the readable records in their order, from the one after number `after`."""
        return self._reader.walk(after)

    async def close(self) -> None:
        """Write what was taken, the log's own last record and its checkpoint, and let go of the files."""
        if self._closed:
            return
        await asyncio.gather(*self._fetches)
        self._commit.conclude()
        self.post(system_record("LogClosed", {}))
        self._closed = True
        await self._commit.drain()
        self._commit.stop()
        published: asyncio.Future[object] = self._loop.create_future()
        self._writer.submit(self._tail.publish, published.set_result)
        await published
        self._writer.stop()
        self._reserve.close()
        self._tail.close()

    # -- Sealing --------------------------------------------------------------------------------------

    async def _begin(self, recovered: Recovered) -> None:
        """Record the start, and close what the last process left open."""
        left = list(self._tail.open.values())
        content = {"cut_bytes": recovered.cut, "unacknowledged": recovered.unacknowledged, "interrupted": len(left)}
        self.post(system_record("LogOpened", content))
        for access in left:
            self._commit.offer(interrupted(access))
        await asyncio.gather(*self._fetches)
        await self._commit.drain()

    def _draft(self, item: Item) -> Stamped | None:
        now = int(self._clock() * 1000)
        if now < self._latest - CLOCK_TOLERANCE_MS:
            raise ClockBehind((self._latest - now) // 1000)
        record, access = item.record, item.access
        try:
            if access is None:
                draft = self._sealer.draft(record)
            else:
                draft = self._sealer.draft_pseudonymous(record, access.who, access.on, access.session)
        except MissingKey as missing:
            self._fetch(missing.pseudonym, item)
            return None
        self._latest = max(self._latest, now)
        return Stamped(draft, now, self._stamp(now))

    def _stamp(self, now: int) -> str:
        """Return a time in Unix milliseconds as RFC 3339, UTC."""
        if now != self._stamped:
            second, millisecond = divmod(now, 1000)
            self._stamped, self._at = now, strftime(f"%Y-%m-%dT%H:%M:%S.{millisecond:03d}Z", gmtime(second))
        return self._at

    def _fetch(self, pseudonym: str, item: Item) -> None:
        """Have a new subject's key made; its records go on when it is there."""
        if pseudonym in self._fetching:
            self._fetching[pseudonym].append(item)
            return
        self._fetching[pseudonym] = [item]
        task = self._loop.create_task(self._make_key(pseudonym))
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    async def _make_key(self, pseudonym: str) -> None:
        failure: NoMoatError | None = None
        try:
            await self._keys.create(pseudonym)
        except NoMoatError as error:
            failure = error
        for item in self._fetching.pop(pseudonym):
            self._proceed(item, failure)

    def _proceed(self, item: Item, failure: NoMoatError | None) -> None:
        waiter = item.waiter
        if waiter is None:
            if failure is None:
                self._commit.offer(item)
            else:
                self._commit.hold(item)
        elif not waiter.done():
            try:
                if failure is not None:
                    raise failure
                self._commit.submit(item)
            except NoMoatError as error:
                waiter.set_exception(error)


def _fill(reserve: Reserve) -> bool:
    """Fill the reserve; return whether the disk had the room. Raises `OSError` for anything else."""
    try:
        reserve.fill()
    except OSError as error:
        if not is_full(error):
            raise
        return False
    return True
