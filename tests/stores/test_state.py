"""The state: durable before it returns, whole or not at all, unreadable without its key."""

import asyncio
import gc
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import Connection, delete, func, insert, select, text, update

from nomoat.core.errors import Conflict, Misuse, NotFound, Unavailable
from nomoat.stores.state import State
from nomoat.stores.state.schema import branch, device, directory_version, repository, revocation, session

KEY = bytes(range(32))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State.create(tmp_path / "state.db", KEY)
    yield state
    state.close()


def revoke(name: str) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        connection.execute(insert(revocation).values(kind="person", name=name, at=1.5))

    return write


def names(connection: Connection) -> list[str]:
    return list(connection.scalars(select(revocation.c.name).order_by(revocation.c.number)))


# -- Writing and reading ----------------------------------------------------------------------------


def test_what_was_written_is_read_and_outlives_the_process(tmp_path: Path, state: State) -> None:
    asyncio.run(state.write(revoke("alice")))
    assert state.read(names) == ["alice"]
    state.close()
    again = State.open(tmp_path / "state.db", KEY)
    assert again.read(names) == ["alice"]
    again.close()


def test_a_write_survives_a_crash_right_after_it_returned(tmp_path: Path) -> None:
    program = dedent("""
        import asyncio, os, signal, sys
        from pathlib import Path
        from sqlalchemy import insert
        from nomoat.stores.state import State
        from nomoat.stores.state.schema import revocation

        async def main():
            state = State.create(Path(sys.argv[1]), bytes(range(32)))
            for number in range(20):
                await state.write(
                    lambda connection: connection.execute(insert(revocation).values(kind="p", name=str(number), at=1.0))
                )
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """)
    died = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "state.db")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    state = State.open(tmp_path / "state.db", KEY)
    assert state.read(names) == [str(number) for number in range(20)]
    state.close()


def test_a_refusal_rolls_back_and_reaches_the_caller(state: State) -> None:
    refusal = NotFound("there is no such thing", kind="entry")

    def refuse(connection: Connection) -> None:
        revoke("alice")(connection)
        raise refusal

    with pytest.raises(NotFound) as caught:
        asyncio.run(state.write(refuse))
    assert caught.value is refusal
    assert state.read(names) == []


def test_a_failing_commit_keeps_nothing_and_the_next_write_works(state: State) -> None:
    """Foreign keys are checked at commit, so this fails there and not in the function."""

    def dangle(connection: Connection) -> str:
        revoke("alice")(connection)
        connection.execute(insert(branch).values(repository="r", name="main", revision="none"))
        return "the function has returned"

    with pytest.raises(Unavailable) as caught:
        asyncio.run(state.write(dangle))
    assert caught.value.part == "state"
    assert state.read(names) == []
    asyncio.run(state.write(revoke("bob")))
    assert state.read(names) == ["bob"]


def test_the_order_of_statements_in_a_transaction_does_not_matter(state: State) -> None:
    def child_first(connection: Connection) -> None:
        connection.execute(
            insert(session).values(
                id="s", subject_kind="person", subject="alice", device="d", authenticated_at=1.0, expires_at=2.0
            )
        )
        connection.execute(
            insert(device).values(id="d", person="alice", public_key=b"k", thumbprint="t", created_at=1.0)
        )

    asyncio.run(state.write(child_first))
    with pytest.raises(Unavailable):
        asyncio.run(state.write(lambda connection: connection.execute(delete(device))))


def test_a_failing_statement_is_unavailable_and_shows_no_value(state: State) -> None:
    def twice(connection: Connection) -> None:
        for _ in range(2):
            connection.execute(
                insert(directory_version).values(generation=1, document="canary", applied_at=1.0, applied_by="canary")
            )

    with pytest.raises(Unavailable) as caught:
        asyncio.run(state.write(twice))
    error: BaseException | None = caught.value
    while error is not None:
        assert "canary" not in str(error)
        error = error.__cause__ or error.__context__
    assert state.read(lambda connection: connection.scalar(select(func.count()).select_from(directory_version))) == 0


def test_a_value_of_the_wrong_type_is_refused(state: State) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(
            state.write(
                lambda connection: connection.execute(
                    text("INSERT INTO revocation (kind, name, at) VALUES ('person', 'alice', 'yesterday')")
                )
            )
        )


def test_concurrent_writes_do_not_lose_one_another(state: State) -> None:
    def increment(connection: Connection) -> int:
        count = connection.scalar(select(revocation.c.at).where(revocation.c.kind == "counter")) or 0.0
        connection.execute(update(revocation).where(revocation.c.kind == "counter").values(at=count + 1))
        return int(count)

    async def many() -> list[int]:
        await state.write(
            lambda connection: connection.execute(insert(revocation).values(kind="counter", name="", at=0.0))
        )
        return await asyncio.gather(*(state.write(increment) for _ in range(40)))

    assert asyncio.run(many()) == list(range(40))


def test_a_read_sees_no_unfinished_write_and_waits_for_none(state: State) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        revoke("alice")(connection)
        writing.set()
        assert go_on.wait(30)

    async def look() -> None:
        task = asyncio.ensure_future(state.write(slow))
        await asyncio.to_thread(writing.wait, 30)
        assert state.read(names) == []
        go_on.set()
        await task
        assert state.read(names) == ["alice"]

    asyncio.run(look())


def test_one_read_sees_one_snapshot(state: State) -> None:
    def look_twice(connection: Connection) -> tuple[list[str], list[str]]:
        before = names(connection)
        asyncio.run(state.write(revoke("alice")))
        return before, names(connection)

    assert state.read(look_twice) == ([], [])
    assert state.read(names) == ["alice"]


def test_a_read_cannot_write(state: State) -> None:
    with pytest.raises(Unavailable):
        state.read(revoke("alice"))
    assert state.read(names) == []


def test_reads_in_many_threads_agree(state: State) -> None:
    async def many() -> list[list[str]]:
        await state.write(revoke("alice"))
        return await asyncio.gather(*(asyncio.to_thread(state.read, names) for _ in range(40)))

    assert asyncio.run(many()) == [["alice"]] * 40


def test_a_closed_state_is_unavailable(state: State) -> None:
    state.close()
    with pytest.raises(Unavailable):
        state.read(names)
    with pytest.raises(Unavailable):
        asyncio.run(state.write(revoke("alice")))


# -- What follows a commit --------------------------------------------------------------------------


def test_what_follows_runs_after_each_commit_in_their_order(state: State) -> None:
    seen: list[list[str]] = []

    async def many() -> None:
        await asyncio.gather(
            *(state.write(revoke(str(number)), lambda _: seen.append(state.read(names))) for number in range(10))
        )

    asyncio.run(many())
    assert [len(entry) for entry in seen] == sorted(len(entry) for entry in seen)
    assert seen[-1] == [str(number) for number in range(10)]
    assert all(str(number) in seen[number] for number in range(10))


def test_what_follows_runs_although_the_caller_is_gone(state: State) -> None:
    writing, go_on = threading.Event(), threading.Event()
    followed: list[str] = []

    def slow(connection: Connection) -> str:
        revoke("alice")(connection)
        writing.set()
        assert go_on.wait(30)
        return "kept"

    async def cancelled() -> None:
        task = asyncio.ensure_future(state.write(slow, followed.append))
        await asyncio.to_thread(writing.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert followed == []
        go_on.set()
        await state.write(revoke("bob"))

    asyncio.run(cancelled())
    assert followed == ["kept"]
    assert state.read(names) == ["alice", "bob"]


def test_how_a_write_ended_that_nobody_waits_for_is_no_traceback_in_the_log(state: State) -> None:
    """A refusal in the transaction, after the one who asked was cut: asyncio would print it to the operator."""
    printed: list[object] = []

    def refuse(_: Connection) -> None:
        raise Conflict("it moved")

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: printed.append(context))
        task = asyncio.create_task(state.write(refuse))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await state.write(revoke("alice"))  # after it, in the writer's thread
        gc.collect()  # where what nobody retrieved is printed

    asyncio.run(leave())
    assert printed == []


def test_nothing_follows_a_failed_write_and_a_failing_follower_is_heard(state: State) -> None:
    def fail(_: object) -> None:
        raise Misuse("the follower fails")

    def break_off(connection: Connection) -> None:
        raise KeyError(str(connection.closed))

    with pytest.raises(KeyError):
        asyncio.run(state.write(break_off, fail))
    with pytest.raises(Misuse, match="follower"):
        asyncio.run(state.write(revoke("alice"), fail))
    assert state.read(names) == ["alice"]


# -- The disk ---------------------------------------------------------------------------------------


def test_a_full_disk_is_unavailable_keeps_nothing_and_recovers(tmp_path: Path, state: State) -> None:
    asyncio.run(state.write(revoke("alice")))
    large = "x" * 500_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "state.db-wal").stat().st_size + 50_000, hard))
    try:
        with pytest.raises(Unavailable) as caught:
            asyncio.run(state.write(revoke(large)))
        assert caught.value.part == "state"
        assert state.read(names) == ["alice"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    asyncio.run(state.write(revoke(large)))
    assert state.read(names) == ["alice", large]


def test_a_state_that_could_not_be_made_is_not_there(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(Unavailable):
            State.create(tmp_path / "state.db", KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "state.db").exists()
    State.create(tmp_path / "state.db", KEY).close()
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]


# -- Opening ----------------------------------------------------------------------------------------


def test_a_state_is_never_overwritten(tmp_path: Path, state: State) -> None:
    asyncio.run(state.write(revoke("alice")))
    with pytest.raises(Conflict):
        State.create(tmp_path / "state.db", KEY)
    assert state.read(names) == ["alice"]


def test_a_missing_state_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no database"):
        State.open(tmp_path / "state.db", KEY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 100, 4096, 10_000])
def test_a_truncated_state_does_not_open(tmp_path: Path, state: State, length: int) -> None:
    state.close()
    os.truncate(tmp_path / "state.db", length)
    with pytest.raises(Unavailable):
        State.open(tmp_path / "state.db", KEY).read(names)


def test_the_wrong_key_opens_nothing_and_is_named(tmp_path: Path, state: State) -> None:
    state.close()
    with pytest.raises(Unavailable, match="another key-encryption key"):
        State.open(tmp_path / "state.db", bytes(32))
    State.open(tmp_path / "state.db", KEY).close()


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_a_bug(tmp_path: Path, length: int) -> None:
    with pytest.raises(Misuse):
        State.create(tmp_path / "state.db", bytes(length))
    assert list(tmp_path.iterdir()) == []


def test_an_unencrypted_database_is_not_accepted(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.db") as plain:
        plain.execute("CREATE TABLE revocation (number INTEGER PRIMARY KEY)")
    plain.close()
    with pytest.raises(Unavailable):
        State.open(tmp_path / "state.db", KEY)


def test_a_changed_page_is_never_read(tmp_path: Path, state: State) -> None:
    asyncio.run(state.write(revoke("alice")))
    state.close()
    path = tmp_path / "state.db"
    whole = path.read_bytes()
    for page in range(len(whole) // 4096):
        changed = bytearray(whole)
        changed[page * 4096 + 2000] ^= 1
        path.write_bytes(changed)
        assert outcome(path) in (["alice"], "unavailable")
        if page == 0:
            assert outcome(path) == "unavailable"


def outcome(path: Path) -> object:
    """Read what was revoked, or say that it cannot be read."""
    try:
        state = State.open(path, KEY)
    except Unavailable:
        return "unavailable"
    try:
        return state.read(names)
    except Unavailable:
        return "unavailable"
    finally:
        state.close()


# -- What the directory shows -----------------------------------------------------------------------


def test_no_name_and_no_document_reaches_the_disk_in_plaintext(tmp_path: Path, state: State) -> None:
    def write(connection: Connection) -> None:
        connection.execute(
            insert(repository).values(
                id="r", kind="dataset", namespace="canary-namespace", name="canary-name", created_at=1.0, created_by="p"
            )
        )
        connection.execute(
            insert(directory_version).values(
                generation=1, document="canary-document" * 5000, applied_at=1.0, applied_by="canary-person"
            )
        )

    def shown() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    asyncio.run(state.write(write))
    running = shown()
    state.close()
    closed = shown()
    for seen in (running, closed):
        assert len(seen) > 75_000
        for hidden in (b"canary", b"SQLite format", b"CREATE TABLE", b"repository", KEY, KEY.hex().encode()):
            assert hidden not in seen


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        state = State.create(tmp_path / "state.db", KEY)
        asyncio.run(state.write(revoke("alice")))
        assert modes(tmp_path) == {"state.db": 0o600, "state.db-shm": 0o600, "state.db-wal": 0o600}
        state.close()
        (tmp_path / "state.db").chmod(0o644)
        state = State.open(tmp_path / "state.db", KEY)
        state.read(names)
        assert set(modes(tmp_path).values()) == {0o600}
        state.close()
    finally:
        os.umask(umask)


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


# -- Generations ------------------------------------------------------------------------------------


def test_every_committed_write_moves_the_generation_and_nothing_else_does(tmp_path: Path, state: State) -> None:
    first = state.generation

    def fail(connection: Connection) -> None:
        revoke("alice")(connection)
        raise NotFound("nobody", kind="entry")

    asyncio.run(state.write(revoke("alice")))
    assert state.generation == first + 1
    with pytest.raises(NotFound):
        asyncio.run(state.write(fail))
    state.read(names)
    assert state.generation == first + 1
    asyncio.run(state.write(lambda _: None))
    state.close()
    again = State.open(tmp_path / "state.db", KEY)
    assert again.generation == first + 2
    again.overtake(100)
    assert again.generation == first + 2
    asyncio.run(again.write(lambda _: None))
    asyncio.run(again.write(lambda _: None))
    assert again.generation == 102
    again.close()


def test_a_write_returns_when_its_follower_has_heard_of_it(state: State) -> None:
    told: list[tuple[int, list[str]]] = []

    async def run() -> None:
        go = asyncio.Event()

        async def follower(generation: int) -> None:
            told.append((generation, state.read(names)))
            await go.wait()

        state.follow(follower)
        swapped: list[None] = []
        writing = asyncio.ensure_future(state.write(revoke("alice"), swapped.append))
        unfollowed = asyncio.ensure_future(state.write(revoke("bob"), followed=False))
        await unfollowed
        while not told:  # noqa: ASYNC110 - the follower is called some turns later
            await asyncio.sleep(0.01)
        assert not writing.done()
        assert swapped == [None], "what is in memory waits for nobody"
        go.set()
        await writing

    asyncio.run(run())
    ((generation, seen),) = told
    assert "alice" in seen, "it was told before the commit"
    assert generation <= state.generation


def test_what_the_follower_raises_is_raised_and_the_write_is_kept(state: State) -> None:
    async def follower(_: int) -> None:
        raise Unavailable("log", "it cannot be written")

    state.follow(follower)
    with pytest.raises(Unavailable, match="log"):
        asyncio.run(state.write(revoke("alice")))
    assert state.read(names) == ["alice"]
