"""What a session read, sent or was told goes with each of its prompts, whatever they look like and whoever they claim to be of."""

import asyncio
import random
import time
from pathlib import Path

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomoat.client.transport import pinned_context
from nomoat.core.errors import NotPermitted, Refused, Unavailable
from nomoat.core.lineage import NOTHING, Label
from nomoat.core.names import Classification
from nomoat.core.operation import ReadFile
from nomoat.server.assembly import open_gateway
from nomoat.stores.session_labels import SessionLabels
from nomoat.stores.state import State
from tests.inference.conftest import Floor
from tests.inference.desk import CONFIDENTIAL, INTERNAL, SECRET, SOURCE, UNRELATED, Desk, at_desk, desk, until
from tests.resources.world import DIGITS, SECRETS
from tests.stores.test_migrations import KEY

ASSISTANT = """
[[workload]]
name = "{name}"
segment = "training"
groups = ["model-users"]
clearance = "confidential"
"""
READ = """
import sys
from huggingface_hub import hf_hub_download
print(open(hf_hub_download("acme/digits", "train.csv", repo_type="dataset")).read())
"""
FILL = """
from huggingface_hub import HfApi
HfApi().create_repo("acme/digits", repo_type="dataset", exist_ok=True)
HfApi().upload_file(path_or_fileobj=b"1,2,3", path_in_repo="train.csv", repo_id="acme/digits", repo_type="dataset")
"""


def say(floor: Floor, name: str, model: str, **more: object) -> str:
    context = pinned_context(floor.profile(name).read("ca.pem").decode())
    with httpx2.Client(verify=context) as http:
        client = openai.OpenAI(
            base_url=f"{floor.live.url}/v1", api_key=floor.token(name), http_client=http, max_retries=0
        )
        asked = [{"role": "user", "content": UNRELATED}]
        said = client.chat.completions.create(model=model, messages=asked, extra_body=more)  # type: ignore[arg-type]
        return said.choices[0].message.content or ""


def test_egress_by_label_stops_a_session_that_has_read_the_repository(floor: Floor) -> None:
    """Read by a stock client, asked by another one, of the same session: not what is said counts, but what was read."""
    floor.live.declare(ASSISTANT.format(name="agent"))
    floor.live.join("workload:agent")
    floor.live.done("ingest", FILL)
    assert say(floor, "agent", "acme/public") == "hello"
    assert "1,2,3" in floor.live.done("agent", READ)
    outside = len([path for path, _, _ in floor.upstream.asked if path.startswith("/hosted")])
    with pytest.raises(openai.PermissionDeniedError, match="read, sent or was told before, which is confidential"):
        say(floor, "agent", "acme/public")
    with pytest.raises(openai.PermissionDeniedError):  # another conversation is the same session
        say(floor, "agent", "acme/public", metadata={"conversation_id": "fresh"}, user="somebody else", store=False)
    assert len([path for path, _, _ in floor.upstream.asked if path.startswith("/hosted")]) == outside
    assert say(floor, "agent", "acme/chat") == "hello"
    record = floor.live.records("what InvokeModel", limit=1)[-1]
    assert record["asked"]["carried"] == "confidential"
    with floor.live.http("agent") as client:
        assert client.get("/v1/whoami").json()["carries"] == ["confidential"]


@at_desk
async def test_another_session_of_the_same_person_carries_nothing_of_it(there: Desk) -> None:
    """The issue says session; what its owner remembers is seen through fingerprints alone (THREATS.md)."""
    first, second = await there.join(), await there.join()
    await there.there.read(DIGITS, "train.csv", by=first)
    with pytest.raises(NotPermitted, match="log in anew"):
        await there.ask("acme/public", first)
    await there.ask("acme/public", second)
    assert (there.sessions.label(first.session), there.sessions.label(second.session)) == (Label(CONFIDENTIAL), NOTHING)


def test_a_restart_does_not_help(tmp_path: Path) -> None:
    async def play() -> None:
        async with desk(tmp_path) as there:
            world = there.there.world
            await there.there.read(DIGITS, "train.csv", by=there.assistant)
            carried = there.sessions.label(there.assistant.session)
            world.disk.release()
            gateway, directory, assistant, clock = world.gateway, world.directory, there.assistant, world.clock
        async with open_gateway(directory, gateway.configuration, clock) as again:
            there.there.world.gateway = again
            assert there.sessions.label(assistant.session) == carried == Label(CONFIDENTIAL)
            with pytest.raises(NotPermitted, match="read, sent or was told before"):
                await there.ask("acme/public", assistant)

    asyncio.run(play())


@at_desk
async def test_what_is_public_leaves_no_trace(there: Desk) -> None:
    await there.there.read(DIGITS, "open/cat.txt", by=there.assistant)
    assert there.sessions.label(there.assistant.session) == NOTHING
    await there.ask("acme/both")
    assert there.upstream.asked[-1][0].startswith("/hosted")


@at_desk
async def test_a_session_that_has_read_goes_on_with_the_servers_that_are_cleared(there: Desk) -> None:
    await there.there.read(DIGITS, "train.csv", by=there.assistant)
    await there.ask("acme/both")
    assert not there.upstream.asked[-1][0].startswith("/hosted")
    await there.there.read(SECRETS, "plan.txt", by=there.there.ingest)  # somebody else's reading
    await there.ask("acme/ours")


@at_desk
async def test_what_a_model_may_have_told_counts_like_what_was_read(there: Desk) -> None:
    await there.ask("acme/public")
    await there.ask("acme/chat")  # it may have memorised what is internal
    with pytest.raises(NotPermitted, match="which is internal"):
        await there.ask("acme/public")
    assert there.sessions.label(there.assistant.session) == Label(INTERNAL)


@at_desk
async def test_what_was_sent_counts_also_where_it_was_refused(there: Desk) -> None:
    there.watch_for(quaternion=SOURCE)
    with pytest.raises(NotPermitted):
        await there.ask("acme/public", said="about the quaternion in our engine")
    with pytest.raises(NotPermitted, match="confidential, engine"):
        await there.ask("acme/public", said="about that thing, in other words")
    assert not there.outside("")


@at_desk
async def test_what_can_be_redacted_is_no_reason_to_refuse_the_next_prompt(there: Desk) -> None:
    there.watch_for(sesame=SECRET)
    await there.ask("acme/public", said="the password is sesame")
    assert "[redacted: secret:key]" in str(there.upstream.asked[-1][2])
    assert there.sessions.label(there.assistant.session) == NOTHING
    await there.ask("acme/public")


@at_desk
async def test_a_read_that_is_done_while_a_prompt_is_decided_is_decided_on(there: Desk) -> None:
    yard, disk = there.there, there.there.world.disk
    wanted = ReadFile(DIGITS, "main", "train.csv")
    async with yard.guard.admit(there.assistant.present(), wanted) as permit:
        before = there.sessions.generation
        disk.hold()
        asking = asyncio.create_task(there.ask("acme/public", said="sent meanwhile"))
        await disk.reached()  # allowed, as far as was known, and being recorded
        opening = yard.reading.read_file(permit)
        reading = asyncio.create_task(opening.__aenter__())
        await until(lambda: there.sessions.generation > before)
        disk.release()
        content = await reading
        assert b"".join(content.parts or ()) == b"1,2,3"
        await opening.__aexit__()
    with pytest.raises(NotPermitted, match="read, sent or was told before"):
        await asking
    assert not there.outside("sent meanwhile")


@at_desk
async def test_a_stream_that_began_before_the_read_is_not_cut_by_it(there: Desk) -> None:
    """What was read later is in no prompt that has been sent: decided again, it is decided as it was sent."""
    stream = asyncio.create_task(there.ask("acme/public", stream=True))
    await until(lambda: bool(there.upstream.asked))
    await there.there.read(DIGITS, "train.csv", by=there.assistant)
    there.there.guard.reexamine()
    assert b"[DONE]" in await stream


@at_desk
async def test_no_prompt_that_began_after_a_byte_was_read_leaves_however_many_race(there: Desk) -> None:
    draw = random.Random(5)  # noqa: S311
    sessions = [await there.join() for _ in range(8)]
    read: set[str] = set()
    late: list[str] = []

    async def reads(number: int) -> None:
        await asyncio.sleep(draw.random() * 0.05)
        await there.there.read(DIGITS, "train.csv", by=sessions[number])
        read.add(sessions[number].session)

    async def asks(number: int, turn: int) -> None:
        await asyncio.sleep(draw.random() * 0.1)
        said = f"prompt {number}-{turn} of many"
        after = sessions[number].session in read
        if after:
            late.append(said)
        try:
            await there.ask("acme/public", sessions[number], said)
        except Refused:
            return
        assert not after, said

    await asyncio.gather(*map(reads, range(8)), *(asks(number, turn) for number in range(8) for turn in range(12)))
    assert late, "none of them was late"
    assert not [said for said in late if there.outside(said)]


@at_desk
async def test_a_label_that_cannot_be_stored_stops_what_would_have_made_it(there: Desk) -> None:
    yard = there.there
    wanted = ReadFile(DIGITS, "main", "train.csv")
    async with yard.guard.admit(there.assistant.present(), wanted) as permit:
        yard.catalog._state.close()
        with pytest.raises(Unavailable):
            async with yard.reading.read_file(permit):
                pytest.fail("it was opened")


def test_a_session_out_of_memory_is_looked_up(tmp_path: Path) -> None:
    async def play() -> None:
        state = State.create(tmp_path / "state.db", KEY)
        labels = SessionLabels(state, kept=2)
        for number in range(5):
            await labels.join(f"s{number}", Label(CONFIDENTIAL, frozenset({str(number)})), time.time())
        assert len(labels._known) == 2
        assert [labels.label(f"s{number}").labels for number in range(5)] == [{str(n)} for n in range(5)]
        state.close()

    asyncio.run(play())


LABELS = st.builds(
    Label, st.sampled_from(Classification), st.frozensets(st.sampled_from(["a", "b", "c", "d"]), max_size=3)
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xyz"), LABELS), max_size=12), st.integers(1, 3))
def test_a_label_is_the_join_of_all_that_came_and_never_less(
    tmp_path_factory: pytest.TempPathFactory, joined: list[tuple[str, Label]], kept: int
) -> None:
    async def play() -> None:
        folder = tmp_path_factory.mktemp("state")
        state = State.create(folder / "state.db", KEY)
        labels = SessionLabels(state, kept)
        await asyncio.gather(*(labels.join(session, label, 1.0) for session, label in joined))
        expected = {name: Label.of(label for session, label in joined if session == name) for name in "xyz"}
        assert {name: labels.label(name) for name in "xyz"} == expected
        state.close()
        again = SessionLabels(State.open(folder / "state.db", KEY))
        assert {name: again.label(name) for name in "xyz"} == expected

    asyncio.run(play())
