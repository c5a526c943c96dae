"""The witness signs one history of a log, whatever it is asked; and a log has itself witnessed."""

import asyncio
import errno
import os
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.audit.checkpoint import (
    WITNESS_KEY,
    NoteSigner,
    VerifierKey,
    add_signatures,
    parse_checkpoint,
    parse_verifier_key,
    sign_checkpoint,
    verify_cosignature,
)
from nomoat.audit.cosigning import Cosigner, Post
from nomoat.audit.quorum import Quorum
from nomoat.audit.tree import EMPTY_ROOT, Frontier, Head, consistency_proof, leaf_hash, position, root_at
from nomoat.audit.witness import (
    BODY_LIMIT,
    SIZE_TYPE,
    Message,
    Scope,
    Witness,
    WitnessAnswer,
    WitnessApplication,
    WitnessState,
)
from nomoat.core.errors import Conflict, Corrupt, Malformed, NoMoatError, Unavailable
from tests.audit.foreign_witness import FAULTS, ForeignWitness
from tests.audit.world import Clock, FaultyFiles, World, opening

LOG = NoteSigner("acme.example/log", bytes(range(32)))
COSIGNER = NoteSigner("witness.example/w1", bytes(range(32, 64)), WITNESS_KEY)


class TreeLog:
    """A log as a witness sees one: heads and proofs. `salt` makes another history."""

    def __init__(self, salt: str = "", shared: int = 0) -> None:
        leaves = [leaf_hash(f"{n}{salt if n >= shared else ''}".encode()) for n in range(64)]
        self._stored = Frontier().extend(leaves)
        self.size = 64

    def _read(self, level: int, index: int) -> bytes:
        return self._stored[position(level, index)]

    def head(self, size: int) -> Head:
        return Head(size, root_at(size, self._read))

    def note(self, size: int, signer: NoteSigner = LOG) -> bytes:
        return sign_checkpoint(signer, self.head(size))

    def proof(self, old: int, new: int) -> list[bytes]:
        return consistency_proof(old, new, self._read)

    @property
    def verifier_key(self) -> VerifierKey:
        return LOG.key

    def checkpoint(self) -> bytes:
        return self.note(self.size)

    def consistency(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        return self.proof(old_size, self.size if new_size is None else new_size)


def request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    return f"old {old}\n".encode() + b"".join(b64encode(step) + b"\n" for step in proof) + b"\n" + note


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return make(tmp_path)


def make(directory: Path, files: FaultyFiles | None = None) -> Witness:
    path = directory / "state"
    state = WitnessState.open(path, files) if path.exists() else WitnessState.create(path, files)
    return Witness(COSIGNER, state, [LOG.key], Clock())


def cosigned(note: bytes, answer: WitnessAnswer) -> int:
    assert answer.status == 200, answer
    return verify_cosignature(add_signatures(parse_checkpoint(note), answer.body), COSIGNER.key)


# -- The protocol --------------------------------------------------------------------------------------


def test_a_log_that_grows_is_cosigned(witness: Witness) -> None:
    log = TreeLog()
    for old, new in ((0, 5), (5, 5), (5, 8), (8, 64)):
        note = log.note(new)
        assert cosigned(note, witness.add_checkpoint(request(old, log.proof(old, new), note))) == 1_795_000_000


def test_another_old_size_is_a_conflict_that_says_the_size(witness: Witness) -> None:
    log = TreeLog()
    witness.add_checkpoint(request(0, [], log.note(5)))
    for old, new in ((0, 8), (4, 8), (6, 8)):
        answer = witness.add_checkpoint(request(old, log.proof(old, new), log.note(new)))
        assert (answer.status, answer.body, answer.content_type) == (409, b"5\n", SIZE_TYPE)


def test_a_fork_is_refused(witness: Witness) -> None:
    log, fork = TreeLog(), TreeLog("fork", shared=3)
    witness.add_checkpoint(request(0, [], log.note(5)))
    assert witness.add_checkpoint(request(5, fork.proof(5, 9), fork.note(9))).status == 422
    assert witness.add_checkpoint(request(5, log.proof(5, 9), fork.note(9))).status == 422
    assert witness.add_checkpoint(request(5, [], fork.note(9))).status == 422
    assert witness.add_checkpoint(request(5, [], fork.note(5))).status == 409
    assert witness.add_checkpoint(request(5, log.proof(5, 9), log.note(9))).status == 200


def test_a_rollback_is_refused(witness: Witness) -> None:
    log = TreeLog()
    witness.add_checkpoint(request(0, [], log.note(9)))
    assert witness.add_checkpoint(request(9, [], log.note(5))).status == 400
    assert witness.add_checkpoint(request(0, [], log.note(5))).status == 409
    assert witness.add_checkpoint(request(5, [], log.note(5))).status == 409


def test_old_size_zero(witness: Witness) -> None:
    log = TreeLog()
    assert witness.add_checkpoint(request(0, [bytes(32)], log.note(5))).status == 422
    assert witness.add_checkpoint(request(0, log.proof(3, 5), log.note(5))).status == 422
    forged_empty = sign_checkpoint(LOG, Head(0, bytes(32)))
    assert witness.add_checkpoint(request(0, [], forged_empty)).status in {409, 422}
    empty = sign_checkpoint(LOG, Head(0, EMPTY_ROOT))
    assert witness.add_checkpoint(request(0, [], empty)).status == 200
    assert witness.add_checkpoint(request(0, [], log.note(5))).status == 200


def test_an_unknown_log_and_a_foreign_key(witness: Witness) -> None:
    log = TreeLog()
    stranger = NoteSigner("other.example/log", os.urandom(32))
    assert witness.add_checkpoint(request(0, [], log.note(5, stranger))).status == 404
    impostor = NoteSigner(LOG.key.name, os.urandom(32))
    assert witness.add_checkpoint(request(0, [], log.note(5, impostor))).status == 403
    assert witness.add_checkpoint(request(0, [], log.note(5))).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n" + TreeLog().note(5),
        b"old -1\n\n" + TreeLog().note(5),
        b"new 0\n\n" + TreeLog().note(5),
        b"old 0\nnot base64\n\n" + TreeLog().note(5),
        b"old 0\n" + (b64encode(bytes(32)) + b"\n") * 64 + b"\n" + TreeLog().note(5),
        b"old 0\n" + b64encode(bytes(31)) + b"\n\n" + TreeLog().note(5),
        b"old 0\n\nnonsense",
        b"old \xff\n\n" + TreeLog().note(5),
    ],
)
def test_what_is_not_a_request(witness: Witness, body: bytes) -> None:
    assert witness.add_checkpoint(body).status == 400


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    answer = Witness(COSIGNER, WitnessState(FaultyFiles(), Path("/nonexistent"), {}), [LOG.key], Clock())
    assert answer.add_checkpoint(body).status == 400


# -- Its memory ----------------------------------------------------------------------------------------


def test_a_restart_remembers(tmp_path: Path) -> None:
    log, fork = TreeLog(), TreeLog("fork")
    make(tmp_path).add_checkpoint(request(0, [], log.note(5)))
    again = make(tmp_path)
    assert again.add_checkpoint(request(0, [], fork.note(7))).status == 409
    assert again.add_checkpoint(request(5, log.proof(5, 7), log.note(7))).status == 200


@pytest.mark.parametrize("kind", ["open", "write", "sync", "sync_directory"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_signed_that_is_not_kept(tmp_path: Path, kind: str, when: str) -> None:
    log, fork, files = TreeLog(), TreeLog("fork"), FaultyFiles()
    witness = make(tmp_path, files)
    witness.add_checkpoint(request(0, [], log.note(5)))
    files.arm(kind, when, errno.EIO, times=10**9)
    answer = witness.add_checkpoint(request(5, log.proof(5, 9), log.note(9)))
    assert answer.status == 503
    files.disarm()
    for survivor in (witness, make(tmp_path)):
        assert survivor.add_checkpoint(request(5, fork.proof(5, 9), fork.note(9))).status in {409, 422}


def test_a_lost_or_broken_state_does_not_sign(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with pytest.raises(Unavailable):
        WitnessState.open(path)
    WitnessState.create(path)
    with pytest.raises(Conflict):
        WitnessState.create(path)
    for content in (b"", b"[]", b'{"a": "1"}', b'{"a": "x AAAA"}'):
        path.write_bytes(content)
        with pytest.raises(Corrupt):
            WitnessState.open(path)


# -- Over HTTP -----------------------------------------------------------------------------------------


def call(witness: Witness, body: bytes, path: str = "/add-checkpoint", method: str = "POST") -> WitnessAnswer:
    """Speak ASGI to the application, the body in two parts."""
    sent: list[Message] = []
    parts: list[Message] = [
        {"type": "http.request", "body": body[:10], "more_body": True},
        {"type": "http.request", "body": body[10:], "more_body": False},
    ]
    scope: Scope = {"type": "http", "path": path, "method": method}

    async def receive() -> Message:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(WitnessApplication(witness)(scope, receive, send))
    headers = dict(sent[0]["headers"])
    assert int(headers[b"content-length"]) == len(sent[1]["body"])
    return WitnessAnswer(sent[0]["status"], sent[1]["body"], headers[b"content-type"].decode())


def test_over_http(witness: Witness) -> None:
    log = TreeLog()
    assert cosigned(log.note(5), call(witness, request(0, [], log.note(5)))) > 0
    assert call(witness, request(0, [], log.note(5))) == WitnessAnswer(409, b"5\n", SIZE_TYPE)
    assert call(witness, b"", method="GET").status == 405
    assert call(witness, b"", path="/").status == 404
    assert call(witness, b"x" * (BODY_LIMIT + 1)).status == 413


# -- The gateway's side --------------------------------------------------------------------------------


async def refreshed(cosigner: Cosigner, post: Post, key: VerifierKey = COSIGNER.key) -> int:
    """Have one witness asked; return the size that is witnessed, or raise what went wrong with it."""
    for error in (await cosigner.refresh({key: post})).values():
        if error is not None:
            raise error
    assert cosigner.newest is not None
    return cosigner.newest.size


def test_a_log_has_itself_witnessed(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open()
        witness = Witness(COSIGNER, WitnessState.create(tmp_path / "state"), [log.verifier_key], world.clock)

        async def post(body: bytes) -> WitnessAnswer:
            return witness.add_checkpoint(body)

        cosigner = Cosigner(log, world.directory, [COSIGNER.key])
        for _ in range(5):
            await log.append(opening())
            assert await refreshed(cosigner, post) == log.size
        # Another process, which does not know where the witness is.
        (world.directory / "checkpoint.witnessed").unlink()
        await log.append(opening())
        cosigner = Cosigner(log, world.directory, [COSIGNER.key])
        assert cosigner.newest is None
        assert await refreshed(cosigner, post) == log.size
        again = Cosigner(log, world.directory, [COSIGNER.key])
        assert again.newest is not None
        assert again.newest.size == log.size
        await log.close()

    asyncio.run(run())


def test_a_log_that_was_rolled_back_or_forked_is_told(tmp_path: Path) -> None:
    witness = make(tmp_path)
    log, fork, short = TreeLog(), TreeLog("fork"), TreeLog()
    short.size, fork.size = 20, 64
    witness.add_checkpoint(request(0, [], log.note(30)))

    async def post(body: bytes) -> WitnessAnswer:
        return witness.add_checkpoint(body)

    for other in (short, fork):
        with pytest.raises(Corrupt):
            asyncio.run(refreshed(Cosigner(other, tmp_path, [COSIGNER.key]), post))
    same_size = TreeLog("fork")
    same_size.size = 30
    with pytest.raises(Corrupt):
        asyncio.run(refreshed(Cosigner(same_size, tmp_path, [COSIGNER.key]), post))
    assert asyncio.run(refreshed(Cosigner(log, tmp_path, [COSIGNER.key]), post)) == 64


@pytest.mark.parametrize(
    "answer",
    [
        WitnessAnswer(500, b""),
        WitnessAnswer(403, b""),
        WitnessAnswer(200, b""),
        WitnessAnswer(200, b"nonsense"),
        WitnessAnswer(200, COSIGNER.cosign(b"something else", 1)),
        WitnessAnswer(200, NoteSigner(COSIGNER.key.name, os.urandom(32), WITNESS_KEY).cosign(b"x", 1)),
        WitnessAnswer(200, COSIGNER.cosign(TreeLog().note(64).partition(b"\n\n")[0] + b"\n", 1)[:-1]),
        WitnessAnswer(409, b"soon\n", SIZE_TYPE),
    ],
)
def test_an_answer_that_proves_nothing_is_not_kept(tmp_path: Path, answer: WitnessAnswer) -> None:
    async def post(_body: bytes) -> WitnessAnswer:
        return answer

    cosigner = Cosigner(TreeLog(), tmp_path, [COSIGNER.key])
    with pytest.raises(Unavailable):
        asyncio.run(refreshed(cosigner, post))
    assert cosigner.newest is None
    assert not (tmp_path / "checkpoint.witnessed").exists()


def test_running_goes_on_after_failures_and_says_when_it_is_well(tmp_path: Path) -> None:
    witness = make(tmp_path)
    told: list[NoMoatError | None] = []

    async def run() -> Cosigner:
        answers = iter([WitnessAnswer(500, b"")])

        async def post(body: bytes) -> WitnessAnswer:
            return next(answers, None) or witness.add_checkpoint(body)

        cosigner = Cosigner(TreeLog(), tmp_path, [COSIGNER.key])
        running = asyncio.create_task(cosigner.run({COSIGNER.key: post}, 0.001, lambda _key, error: told.append(error)))
        async with asyncio.timeout(10):
            while len(told) < 2:  # noqa: ASYNC110 - it tells by this list only
                await asyncio.sleep(0.001)
        running.cancel()
        return cosigner

    cosigner = asyncio.run(run())
    assert isinstance(told[0], Unavailable)
    assert told[1:] == [None]
    assert cosigner.newest is not None


def test_nothing_is_witnessed_before_the_quorum(tmp_path: Path) -> None:
    """Three witnesses, two of which have to cosign: one is down, one is a stranger to the log, then one is mended."""
    names = ("a.example", "b.example", "c.example")
    signers = [NoteSigner(name, bytes([number]) * 32, WITNESS_KEY) for number, name in enumerate(names, 1)]
    keys, log, down = [signer.key for signer in signers], TreeLog(), {"b.example", "c.example"}

    def poster(signer: NoteSigner) -> Post:
        state = WitnessState.create(tmp_path / signer.key.name)
        witness = Witness(signer, state, [LOG.key], Clock())

        async def post(body: bytes) -> WitnessAnswer:
            if signer.key.name in down:
                raise Unavailable("witness", "it cannot be reached")
            return witness.add_checkpoint(body)

        return post

    async def run() -> None:
        posts = {signer.key: poster(signer) for signer in signers}
        cosigner = Cosigner(log, tmp_path, keys, 2)
        log.size = 10
        went = await cosigner.refresh(posts)
        assert [went[key] is None for key in keys] == [True, False, False]
        assert cosigner.newest is None
        assert not (tmp_path / "checkpoint.witnessed").exists()
        down.clear()
        log.size = 20
        resting = await cosigner.refresh(posts)
        assert list(resting) == [keys[0]]  # who failed is left alone for a while
        cosigner = Cosigner(log, tmp_path, keys, 2)
        assert set((await cosigner.refresh(posts)).values()) == {None}
        assert cosigner.newest is not None
        assert {name for name, _ in Quorum(tuple(keys), 1).cosignatures(cosigner.newest)} == set(names)
        again = Cosigner(log, tmp_path, keys, 2)
        assert again.newest is not None
        assert await again.refresh(posts) == {}  # nothing new to be cosigned
        assert Cosigner(log, tmp_path, [*keys, COSIGNER.key], 0).newest is None  # a stricter policy than it met

    asyncio.run(run())


def test_witnesses_are_few_and_apart(tmp_path: Path) -> None:
    many = [NoteSigner(f"w{n}.example", bytes([n]) * 32, WITNESS_KEY).key for n in range(1, 18)]
    twice = [many[0], NoteSigner("other.example", bytes([1]) * 32, WITNESS_KEY).key]
    for witnesses in (many, twice):
        with pytest.raises(Malformed):
            Cosigner(TreeLog(), tmp_path, witnesses)


# -- Witnesses that are not ours -----------------------------------------------------------------------


def test_a_foreign_witness_cosigns_and_its_faults_are_told(tmp_path: Path) -> None:
    foreign = ForeignWitness(str(LOG.key))
    key, log = parse_verifier_key(foreign.vkey, WITNESS_KEY), TreeLog()
    cosigner = Cosigner(log, tmp_path, [key])

    async def run() -> None:
        for size in (3, 3, 10, 64):
            log.size = size
            assert await refreshed(cosigner, foreign.post, key) == size
        # Restarted, and nobody told it where the witness is.
        (tmp_path / "checkpoint.witnessed").unlink()
        assert await refreshed(Cosigner(log, tmp_path, [key]), foreign.post, key) == 64
        fork = TreeLog("fork")
        for size in (64, 40):
            fork.size = size
            with pytest.raises(Corrupt):
                await refreshed(Cosigner(fork, tmp_path / "none", [key]), foreign.post, key)

    asyncio.run(run())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_foreign_witness_at_fault_is_told_and_nothing_kept(tmp_path: Path, fault: str) -> None:
    foreign = ForeignWitness(str(LOG.key), fault)
    key = parse_verifier_key(foreign.vkey, WITNESS_KEY)
    cosigner = Cosigner(TreeLog(), tmp_path, [key])
    with pytest.raises((Unavailable, Corrupt)):
        asyncio.run(refreshed(cosigner, foreign.post, key))
    assert cosigner.newest is None


def test_further_signatures_of_a_foreign_witness_are_ignored(tmp_path: Path) -> None:
    foreign = ForeignWitness(str(LOG.key), "chatty")
    key = parse_verifier_key(foreign.vkey, WITNESS_KEY)
    cosigner = Cosigner(TreeLog(), tmp_path, [key])
    assert asyncio.run(refreshed(cosigner, foreign.post, key)) == 64
    assert cosigner.newest is not None
    assert [signature.name for signature in cosigner.newest.signatures] == [LOG.key.name, key.name]
