"""What was asked of models and what they said: kept where an endpoint says so, for few to read, and gone when it is erased."""

import asyncio
import itertools
import json
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from nomoat.client.inference import read_contents
from nomoat.client.session import Session
from nomoat.client.transport import pinned_context
from nomoat.core.content import Content, Finding, Hit
from nomoat.core.errors import NoMoatError, NotFound, NotPermitted
from nomoat.core.inference import Call
from nomoat.core.lineage import Label
from nomoat.core.operation import InvokeModel, ReadContents
from nomoat.core.principal import PrincipalKind
from nomoat.server.backup import back_up
from nomoat.server.retention import forget_contents
from nomoat.stores.contents import LARGEST, kept_in
from tests.cli.live import Caller
from tests.guard.world import World, world
from tests.hub.live import gateway
from tests.inference.conftest import DECLARED, Floor
from tests.inference.upstream import simulator
from tests.server.test_backup import restored, serving

PEOPLE = """
[[group]]
name = "auditors"
[[group]]
name = "privacy-officers"
[[person]]
name = "auditor"
groups = ["auditors", "model-users"]
clearance = "internal"
[[person]]
name = "new-auditor"
groups = ["auditors"]
clearance = "public"
[[person]]
name = "officer"
groups = ["privacy-officers"]
"""
KEEPING = """
[[endpoint]]
name = "kept/{0}"
classification = "internal"
contents = "kept"
served = [{{ upstream = "dead", model = "x" }}, {{ upstream = "internal", model = "{0}" }}]
"""
MODELS = ("scripted", "reset-mid", "endless", "flood", "broken", "silent")
WORD = "xylophonist"


@dataclass
class Keeping(Floor):
    """A gateway of its own: people of it are erased. `http` trusts it."""

    http: httpx2.Client


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeping]:
    with simulator() as upstream, gateway(tmp_path_factory.mktemp("kept")) as live:
        live.declare(DECLARED.format(port=upstream.port) + PEOPLE + "".join(map(KEEPING.format, MODELS)))
        for name in ("ada", "streamer", "auditor", "new-auditor", "officer"):
            live.join(f"person:{name}")
        context = pinned_context(live.profiles["ada"].read("ca.pem").decode())
        with httpx2.Client(verify=context) as http:
            yield Keeping(live, upstream, http)


def ask(floor: Keeping, model: str, words: str = WORD, *, who: str = "ada", **more: Any) -> Any:
    url, key = f"{floor.live.url}/v1", floor.token(who)
    client = openai.OpenAI(base_url=url, api_key=key, http_client=floor.http, max_retries=0)
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": words}], **more)


def newest(floor: Keeping) -> int:
    """The number of the newest access to a model, when its outcome is there."""
    for _ in range(100):
        record = floor.live.records("what InvokeModel", limit=1)[-1]
        if record.get("outcome"):
            return int(record["n"])
        time.sleep(0.05)
    raise AssertionError("it has no outcome")


def read(floor: Keeping, record: int, who: str = "auditor") -> dict[str, Any]:
    with Session(floor.profile(who), time.time) as session:
        return dict(read_contents(session.gateway, record))


def refusal(floor: Keeping, record: int, who: str) -> NoMoatError:
    with pytest.raises(NoMoatError) as raised:
        read(floor, record, who)
    return raised.value


def folder(floor: Keeping) -> Path:
    return floor.live.directory / "contents"


def test_by_default_nothing_of_a_prompt_or_an_answer_is_kept(floor: Keeping) -> None:
    floor.upstream.says = "an answer of the marimbaphone"
    assert ask(floor, "acme/coder").choices[0].message.content == floor.upstream.says
    record = newest(floor)
    assert "contents" not in floor.outcome["facts"]
    assert not list(folder(floor).glob(f"*/{record:012d}.*"))
    assert isinstance(refusal(floor, record, "auditor"), NotFound)


def test_what_is_kept_is_what_was_sent_and_what_was_said(floor: Keeping) -> None:
    floor.upstream.says = "an answer of the marimbaphone"
    ask(floor, "kept/scripted", temperature=0.5)
    record = newest(floor)
    assert floor.outcome["facts"]["contents"] == "kept"
    found = read(floor, record)
    assert {name: found[name] for name in ("record", "endpoint", "call", "upstream", "model")} == {
        "record": record,
        "endpoint": "kept/scripted",
        "call": "chat/completions",
        "upstream": "internal",
        "model": "scripted",
    }
    sent = json.loads(found["request"]["text"])
    assert sent == floor.upstream.asked[-1][2]
    assert found["answer"]["whole"]
    assert json.loads(found["answer"]["text"])["choices"][0]["message"]["content"] == floor.upstream.says
    for path in floor.live.directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert WORD.encode() not in content, path
            assert b"marimbaphone" not in content, path


def test_a_stream_is_kept_as_it_passed(floor: Keeping) -> None:
    floor.upstream.says = "in several pieces, each an event"
    list(ask(floor, "kept/scripted", stream=True))
    answer = read(floor, newest(floor))["answer"]
    events = [json.loads(line[6:]) for line in answer["text"].splitlines() if line.startswith("data: {")]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"]) == (
        floor.upstream.says
    )
    assert (answer["whole"], answer["size"]) == (True, len(answer["text"]))


def test_an_answer_that_was_cut_is_kept_as_far_as_it_went(floor: Keeping) -> None:
    with pytest.raises(openai.APIError, match="broke off"):
        list(ask(floor, "kept/reset-mid", stream=True))
    answer = read(floor, newest(floor))["answer"]
    assert (answer["whole"], '"content": "w1 "' in answer["text"]) == (False, True)
    stream = ask(floor, "kept/endless", who="streamer", stream=True)
    next(iter(stream))
    with floor.live.admin as session:
        session.gateway.revoke("session", floor.profile("streamer").identity().session)
    with pytest.raises(openai.APIError, match="revoked"):
        list(stream)
    answer = read(floor, newest(floor))["answer"]
    assert (answer["whole"], '"content": "w0 "' in answer["text"]) == (False, True)


def test_an_error_of_the_server_is_what_it_said(floor: Keeping) -> None:
    with pytest.raises(openai.InternalServerError):
        ask(floor, "kept/broken")
    assert "on fire" in read(floor, newest(floor))["answer"]["text"]


def test_what_is_kept_has_a_bound(floor: Keeping) -> None:
    stream = ask(floor, "kept/flood", "x" * (LARGEST + 5000), stream=True)
    list(itertools.islice(stream, 20_000))
    stream.close()
    found = read(floor, newest(floor))
    request, answer = found["request"], found["answer"]
    assert (len(request["text"]), request["kept"]) == (LARGEST, LARGEST)
    assert request["size"] > LARGEST + 5000
    assert (len(answer["text"]), answer["whole"]) == (LARGEST, False)
    assert answer["size"] > LARGEST
    assert all(path.stat().st_size < LARGEST + 4096 for path in folder(floor).rglob("*.*.*"))


def test_auditors_read_as_far_as_their_clearance_goes_and_nobody_else_does(floor: Keeping) -> None:
    ask(floor, "kept/scripted")
    record = newest(floor)
    assert read(floor, record)["record"] == record
    (told,) = floor.live.records("what ReadContents by auditor", limit=1)
    assert (told["decision"], told["policies"]) == ("allow", ["auditors-read-kept-contents"])
    for who in ("new-auditor", "ada", "officer"):
        assert isinstance(refusal(floor, record, who), NotPermitted), who
    with floor.live.http("auditor") as client:  # a token that anybody could have copied
        assert client.post("/v1/log/contents", json={"record": record}).status_code == 403


def test_attack_what_an_auditor_read_of_others_leaves_in_a_prompt(floor: Keeping) -> None:
    """Who reads what was asked and said carries it from then on, like everything that is read here."""
    floor.log_in_anew("auditor")
    ask(floor, "acme/public", who="auditor")
    ask(floor, "kept/scripted")
    read(floor, newest(floor))
    with pytest.raises(openai.PermissionDeniedError, match="read, sent or was told before, which is internal"):
        ask(floor, "acme/public", who="auditor")


def test_attack_a_refusal_tells_whether_something_was_kept(floor: Keeping) -> None:
    ask(floor, "kept/scripted")
    kept = newest(floor)
    ask(floor, "acme/chat")
    said = {
        str(refusal(floor, number, "ada")).replace(f"record {number}", "record N").partition(" (record")[0]
        for number in (kept, newest(floor), 10**9)
    }
    assert len(said) == 1, said


def test_the_command_shows_it_beside_the_record(floor: Keeping) -> None:
    floor.upstream.says = "beside\x1b[2J the record"
    ask(floor, "kept/scripted")
    caller, record = Caller(floor.live.root / "home"), str(newest(floor))
    said = caller.nomoat("audit", "show", record, "--contents", "--profile", floor.profile("auditor").name)
    assert said.code == 0, said.err
    assert WORD in said.out
    assert "\x1b" not in said.out
    plain = caller.nomoat("audit", "show", record, "--profile", floor.profile("auditor").name)
    assert WORD not in plain.out
    asked = caller.nomoat("audit", "show", record, "--contents", "--json", "--profile", floor.profile("auditor").name)
    assert WORD in asked.json()["contents"]["request"]["text"]  # type: ignore[index]  # a document


def test_a_request_that_cannot_be_kept_is_not_sent(floor: Keeping) -> None:
    moved = folder(floor).rename(folder(floor).with_name("moved"))
    folder(floor).write_text("no folder")
    try:
        before = len(floor.upstream.asked)
        with pytest.raises(openai.InternalServerError, match="cannot be kept"):
            ask(floor, "kept/scripted")
        assert len(floor.upstream.asked) == before
    finally:
        folder(floor).unlink()
        moved.rename(folder(floor))


def test_attack_files_that_were_changed_swapped_or_renamed(floor: Keeping) -> None:
    records = []
    for words in ("the first", "the second"):
        ask(floor, "kept/scripted", words)
        records.append(newest(floor))
    (one,), (other,) = (list(folder(floor).glob(f"*/{number:012d}.*.request")) for number in records)
    honest = one.read_bytes()
    for changed in (other.read_bytes(), honest[:-1], honest[:-1] + bytes([honest[-1] ^ 1]), b""):
        one.write_bytes(changed)
        assert "failed verification" in str(refusal(floor, records[0], "auditor"))
        assert isinstance(refusal(floor, records[0], "ada"), NotPermitted)
    one.write_bytes(honest)
    assert "the first" in read(floor, records[0])["request"]["text"]
    later = one.with_name(one.name.replace(".request", ".answer"))
    said = later.read_bytes()
    later.write_bytes(honest)
    assert "failed verification" in str(refusal(floor, records[0], "auditor")), "what was asked is not what was said"
    later.write_bytes(said)


def test_who_is_erased_is_erased_here_too(floor: Keeping, tmp_path: Path) -> None:
    for name in ("eve", "bob"):
        floor.live.declare(f'[[person]]\nname = "{name}"\ngroups = ["model-users"]\nclearance = "internal"\n')
        floor.live.join(f"person:{name}")
    ask(floor, "kept/scripted", "of bob", who="bob")
    bobs = newest(floor)
    ask(floor, "kept/scripted", "of eve", who="eve")
    eves = newest(floor)
    assert "of eve" in read(floor, eves)["request"]["text"]
    copy = tmp_path / "copy"
    shutil.copytree(folder(floor), copy)
    with Session(floor.profile("officer"), time.time) as session:
        session.gateway.erase("person:eve")
    assert isinstance(refusal(floor, eves, "auditor"), NotFound)
    assert not list(folder(floor).glob(f"*/{eves:012d}.*"))
    assert "of bob" in read(floor, bobs)["request"]["text"], "what is somebody else's stays"
    ask(floor, "kept/scripted", "eve again", who="eve")
    again = newest(floor)
    shutil.copytree(copy, folder(floor), dirs_exist_ok=True)  # a copy of the files from before
    assert isinstance(refusal(floor, eves, "auditor"), NotFound)
    assert "eve again" in read(floor, again)["request"]["text"]


def test_an_erasure_while_the_model_answers_leaves_nothing(floor: Keeping) -> None:
    floor.live.declare('[[person]]\nname = "uma"\ngroups = ["model-users"]\nclearance = "internal"\n')
    floor.live.join("person:uma")
    stream = ask(floor, "kept/endless", "of uma", who="uma", stream=True)
    next(iter(stream))
    with Session(floor.profile("officer"), time.time) as session:
        session.gateway.erase("person:uma")
    stream.close()
    record = newest(floor)
    assert isinstance(refusal(floor, record, "auditor"), NotFound)
    assert not list(folder(floor).glob(f"*/{record:012d}.*"))


def test_what_is_past_its_time_is_removed(floor: Keeping, tmp_path: Path) -> None:
    ask(floor, "kept/scripted")
    assert read(floor, newest(floor))["answer"], "it was written"
    copy = tmp_path / "contents"
    shutil.copytree(folder(floor), copy)
    (copy / "000000000").mkdir(exist_ok=True)
    (copy / "000000000" / "a stranger's file").write_text("")
    there, later = list(kept_in(folder(floor))), time.time() + 2 * 86400
    for now, retention in ((later, {"ReadFile": 1, "InvokeModel": 3}), (time.time(), {"Infer": 1})):
        asyncio.run(forget_contents(copy, now, retention))
        assert list(kept_in(copy)) == there
    asyncio.run(forget_contents(copy, later, {"Infer": 1}))
    assert list(kept_in(copy)) == []


def test_a_backup_has_what_was_kept(floor: Keeping, tmp_path: Path) -> None:
    ask(floor, "kept/scripted", "kept in a backup")
    record = newest(floor)
    assert read(floor, record)["answer"], "it was written"
    back_up(floor.live.directory, tmp_path / "backup", time.time())
    restored(tmp_path / "backup", tmp_path / "again")
    assert list(kept_in(tmp_path / "again" / "contents")) == list(kept_in(folder(floor)))
    with serving(floor.live, tmp_path / "again") as live, live.bound("auditor") as client:
        found = client.post("/v1/log/contents", json={"record": record}).json()
    assert "kept in a backup" in found["request"]["text"]
    caller = Caller(floor.live.root / "home")
    assert caller.nomoat("fsck", str(tmp_path / "again")).code == 0
    (path,) = (tmp_path / "again" / "contents").glob(f"*/{record:012d}.*.answer")
    path.write_bytes(path.read_bytes()[:-1])
    said = caller.nomoat("fsck", str(tmp_path / "again"))
    assert (said.code, f"the answer that was kept of record {record}" in said.out) == (4, True), said.out


def test_of_a_machine_that_stopped_the_request_is_kept(floor: Keeping, tmp_path: Path) -> None:
    stream = ask(floor, "kept/endless", "before it stopped", stream=True)
    next(iter(stream))
    record = int(floor.live.records("what InvokeModel", limit=1)[-1]["n"])
    floor.live.process.send_signal(signal.SIGSTOP)
    try:
        shutil.copytree(floor.live.directory, tmp_path / "stopped")
    finally:
        floor.live.process.send_signal(signal.SIGCONT)
    stream.close()
    with serving(floor.live, tmp_path / "stopped") as again, again.bound("auditor") as client:
        found = client.post("/v1/log/contents", json={"record": record}).json()
    assert "before it stopped" in found["request"]["text"]
    assert found["answer"] is None


def test_what_was_redacted_for_a_server_is_not_kept(tmp_path: Path) -> None:
    async def ask_and_read(port: int) -> dict[str, object]:
        async with world(tmp_path) as there:
            return await redacted(there, port)

    with simulator() as upstream:
        kept = asyncio.run(ask_and_read(upstream.port))
    assert "it is " in str(kept["request"])
    assert "hunter2" not in str((kept, upstream.asked))


async def redacted(there: World, port: int) -> dict[str, object]:
    """Have a prompt with a secret answered by somebody else's server, and read what was kept of it."""
    hosted = f'[[upstream]]\nname = "hosted"\nurl = "http://127.0.0.1:{port}/v1"\nprivate = true\nexternal = true\n'
    served = 'classification = "public"\ncontents = "kept"\nserved = [{ upstream = "hosted", model = "m" }]\n'
    people = '[[group]]\nname = "model-users"\n[[person]]\nname = "ada"\ngroups = ["model-users"]\n'
    auditors = '[[group]]\nname = "auditors"\n[[person]]\nname = "auditor"\ngroups = ["auditors"]\n'
    await there.declare(f'{people}{auditors}{hosted}[[endpoint]]\nname = "acme/hosted"\n{served}')
    ada, auditor = [await there.joined(PrincipalKind.PERSON, name) for name in ("ada", "auditor")]
    secret = Finding("secret:x", Label(labels=frozenset({"secret"})), redactable=True)
    body = {"model": "acme/hosted", "messages": [{"role": "user", "content": "it is hunter2"}]}
    content = Content(frozenset({secret}), (Hit(("messages", 0, "content"), 6, 13, secret),))
    asked = InvokeModel("acme/hosted", Call.CHAT, "0" * 64, False, body, content=content)
    async with there.gateway.guard.admit(ada.present(), asked) as permit:
        answer = await there.gateway.inference.invoke(permit)
        while not answer.is_over:
            await answer.part()
        answer.end()
        number = permit.receipt.index
    async with there.gateway.guard.admit(auditor.present(), ReadContents(number)) as reading:
        return await there.gateway.inference.contents.read(reading)
