"""Source code that some may have: copies of it in prompts, whatever was done to them."""

import base64
import heapq
import json
import shlex
import textwrap
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest

from nomoat.client.errors import Unintelligible
from nomoat.client.sources import Cleared, holds_commit, register_source
from nomoat.client.transport import pinned_context
from nomoat.content.copies import keyed
from nomoat.content.fingerprints import Way, fingerprints
from nomoat.core.errors import Refused
from tests.cli.live import Caller
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor
from tests.inference.engine_source import CODE, FORMS, committed


def ask(floor: Floor, who: str, model: str, *texts: str) -> str:
    """What the model answers, or the sentence of the refusal."""
    context = pinned_context(floor.profile(who).read("ca.pem").decode())
    messages: Any = [{"role": "user", "content": text} for text in texts]
    with httpx2.Client(verify=context) as http:
        url = f"{floor.live.url}/v1"
        asked = openai.OpenAI(base_url=url, api_key=floor.token(who), http_client=http, max_retries=0)
        try:
            answer = asked.chat.completions.create(model=model, messages=messages)
        except openai.APIStatusError as error:
            return f"{error.status_code} {error.message}"
        return str(answer.choices[0].message.content)


@pytest.mark.usefixtures("nomoat")
@pytest.mark.parametrize("form", FORMS)
def test_attack_source_is_known_again(floor: Floor, form: str) -> None:
    prompt = "what does this do?\n" + FORMS[form](CODE)
    assert ask(floor, "engineer", "acme/internal-coder", prompt) == "hello"
    assert ask(floor, "other", "acme/internal-coder", prompt).startswith("403"), (
        "who may not have it gets no help with it"
    )
    record = floor.live.records("what InvokeModel", limit=1)[-1]
    assert "source:acme/engine" in record["asked"]["found"]
    asked_before = len(floor.upstream.asked)
    assert ask(floor, "engineer", "acme/outside-coder", prompt).startswith("403"), "it goes to nobody else's server"
    assert len(floor.upstream.asked) == asked_before


@pytest.mark.usefixtures("nomoat")
def test_attack_who_may_not_have_a_source_hears_its_name_from_what_their_session_carries(floor: Floor) -> None:
    refused = ask(floor, "other", "acme/internal-coder", CODE)
    with floor.live.http("other") as client:
        carried = client.get("/v1/whoami").json()["carries"]
    said = ask(floor, "other", "acme/outside-coder", "hello")
    assert "registered source code" in carried
    assert "which is confidential, registered source code, source-code" in said
    assert "acme/engine" not in refused + said + str(carried)


@pytest.mark.usefixtures("nomoat")
def test_attack_source_that_is_split_over_messages_is_known_again(floor: Floor) -> None:
    lines = CODE.splitlines()
    pieces = ["\n".join(lines[at : at + 3]) for at in range(0, len(lines), 3)]
    assert ask(floor, "other", "acme/internal-coder", *pieces).startswith("403")
    assert ask(floor, "engineer", "acme/internal-coder", *pieces) == "hello"


@pytest.mark.usefixtures("nomoat")
def test_what_is_nobody_s_source_passes(floor: Floor) -> None:
    floor.log_in_anew("other")  # what was refused goes with the session as well
    own = Path(shlex.__file__).read_text()
    assert ask(floor, "other", "acme/outside-coder", Path(__file__).read_text()) == "hello"
    assert ask(floor, "other", "acme/internal-coder", "explain:\n" + own) == "hello"


def test_what_was_committed_since_is_known_after_an_update(floor: Floor, nomoat: Caller, tmp_path: Path) -> None:
    admin = ("--profile", floor.profile(ADMIN).name)
    once, later = (Path(str(module.__file__)).read_text() for module in (textwrap, heapq))
    repository = committed(tmp_path / "second", {"a.py": once}, "one")
    add = ("source", "add", str(repository), "--name", "acme/second", "--cleared", "engine-team", "--not-installed")
    assert nomoat.nomoat(*add, *admin).code == 0
    assert ask(floor, "other", "acme/internal-coder", once).startswith("403")
    assert ask(floor, "other", "acme/internal-coder", later) == "hello"
    committed(repository, {"b.py": later}, "two")
    update = nomoat.nomoat("source", "update", str(repository), "--not-installed", *admin)
    assert "of 1 file" in update.out, update.err
    assert ask(floor, "other", "acme/internal-coder", later).startswith("403")
    assert ask(floor, "other", "acme/internal-coder", once).startswith("403"), "what did not change is known as before"
    (repository / "a.py").unlink()
    committed(repository, {}, "three")
    assert (
        nomoat.nomoat("source", "update", str(repository), "--name", "acme/second", "--not-installed", *admin).code == 0
    )
    assert ask(floor, "other", "acme/internal-coder", once) == "hello", "what is no more is known no more"
    assert "acme/second" in nomoat.nomoat("source", "list", *admin).out
    assert nomoat.nomoat("source", "remove", "acme/second", *admin).code == 0
    assert ask(floor, "other", "acme/internal-coder", later) == "hello"
    assert nomoat.nomoat("source", "remove", "acme/second", *admin).code != 0


def test_attack_who_administers_nothing_registers_nothing(floor: Floor, nomoat: Caller, tmp_path: Path) -> None:
    repository = committed(tmp_path / "theirs", {"a.py": "x = 1\n"}, "one")
    add = ("source", "add", str(repository), "--name", "acme/theirs", "--cleared", "model-users", "--not-installed")
    refused = nomoat.nomoat(*add, "--profile", floor.profile("other").name)
    assert refused.code == 1
    assert "RegisterSource" in refused.err


def test_what_the_gateway_keeps_does_not_show_the_source() -> None:
    """No fingerprint that can be computed without the key is among what is kept; another key gives others."""
    made = fingerprints(CODE.encode())
    for way, words in made.items():
        kept = np.frombuffer(keyed(bytes(32), words.tobytes(), way), "<u8")
        other = np.frombuffer(keyed(b"\1" * 32, words.tobytes(), way), "<u8")
        assert not np.isin(kept, words).any()
        assert not np.isin(kept, other).any()
        assert len(np.unique(kept)) == len(np.unique(words)), "and the same ones are the same"
    exact, blind = (np.frombuffer(keyed(bytes(32), made[Way.EXACT].tobytes(), way), "<u8") for way in Way)
    assert not np.isin(exact, blind).any()


def test_attack_source_in_the_result_of_a_tool_is_known_again(floor: Floor, nomoat: Caller) -> None:
    del nomoat
    result = json.dumps({"path": "engine/part3.py", "content": CODE})
    call = {"id": "call-1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
    messages: Any = [
        {"role": "user", "content": "read it"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call-1", "content": result},
    ]
    for who, model, status in (
        ("other", "acme/internal-coder", 403),
        ("engineer", "acme/internal-coder", 200),
        ("engineer", "acme/outside-coder", 403),
    ):
        with floor.live.http(who) as client:
            answer = client.post("/v1/chat/completions", json={"model": model, "messages": messages})
        assert answer.status_code == status, answer.text
        assert "acme/engine" not in answer.text, "whoever may not have it is not told what it is"


def test_a_registration_in_parts_is_in_force_when_all_of_it_came(floor: Floor, nomoat: Caller) -> None:
    del nomoat
    code = Path(str(heapq.__file__)).read_text()
    pair = [base64.b64encode(words.tobytes()).decode() for words in fingerprints(code.encode()).values()]
    stated = {"label": "source-code", "classification": "confidential", "cleared": "engine-team", "removed": []}
    commit = "a" * 40
    with floor.live.admin as admin:
        gateway = admin.gateway
        gateway.call("PUT", "/v1/sources/acme/parts", {**stated, "base": "", "commit": "", "files": {"0" * 64: pair}})
        assert ask(floor, "other", "acme/internal-coder", code) == "hello"
        gateway.call("PUT", "/v1/sources/acme/parts", {**stated, "base": commit, "commit": commit, "files": {}})
        assert ask(floor, "other", "acme/internal-coder", code).startswith("403")
        gateway.call("DELETE", "/v1/sources/acme/parts")


@pytest.mark.parametrize(
    "wrong",
    [
        {"cleared": "no-such-group"},
        {"classification": "2"},
        {"commit": "--output=/tmp/x"},
        {"files": {"../x": ["", ""]}},
        {"files": {"0" * 64: ["AAA=", ""]}},
        {"files": {"0" * 64: [""]}},
        {"removed": ["x"]},
        {"more": 1},
    ],
    ids=str,
)
def test_attack_a_registration_that_is_not_well_formed_is_refused(floor: Floor, wrong: dict[str, object]) -> None:
    stated = {"label": "source-code", "classification": "confidential", "cleared": "model-users", "removed": []}
    body = {**stated, "base": "", "commit": "", "files": {}, **wrong}
    with floor.live.admin as admin, pytest.raises(Refused):
        admin.gateway.call("PUT", "/v1/sources/acme/wrong", body)


def test_attack_a_commit_of_the_gateway_s_is_no_option_for_git(floor: Floor, tmp_path: Path) -> None:
    repository = committed(tmp_path / "r", {"a.py": CODE}, "one")
    cleared = Cleared("acme/x", "source-code", "confidential", "engine-team")
    written = tmp_path / "written"
    with floor.live.admin as admin, pytest.raises(Unintelligible):
        register_source(admin.gateway, repository, cleared, f"--output={written}", [], lambda *_: None)
    assert not written.exists()
    assert not holds_commit(repository, f"--output={written}")


def test_what_is_public_is_left_out(floor: Floor, nomoat: Caller, tmp_path: Path) -> None:
    admin = ("--profile", floor.profile(ADMIN).name)
    shared, own = Path(str(textwrap.__file__)).read_text(), Path(str(heapq.__file__)).read_text()
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "theirs.py").write_text(shared)
    repository = committed(tmp_path / "mixed", {"a.py": shared, "b.py": own}, "one")
    add = ("source", "add", str(repository), "--name", "acme/mixed", "--cleared", "engine-team", "--not-installed")
    said = nomoat.nomoat(*add, "--public", str(tmp_path / "public"), *admin)
    assert "left out, as public packages have them too" in said.out, said.err
    assert ask(floor, "other", "acme/internal-coder", shared) == "hello"
    assert ask(floor, "other", "acme/internal-coder", own).startswith("403")
    assert nomoat.nomoat("source", "remove", "acme/mixed", *admin).code == 0
