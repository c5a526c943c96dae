"""What a prompt has decides where it goes: redacted, whole, or not at all. Seen at the server that got it."""

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.cli.live import Caller, Said
from tests.content import corpus
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor
from tests.inference.test_clients import gpt, http

__all__ = ["gpt", "http"]  # fixtures

DECLARED = """
[[upstream]]
name = "partner"
url = "http://127.0.0.1:{port}/partner/v1"
clearance = "internal"
private = true
external = true
[[endpoint]]
name = "work/partner"
classification = "internal"
served = [{{ upstream = "partner", model = "theirs" }}]
[[endpoint]]
name = "work/both"
classification = "internal"
served = [{{ upstream = "partner", model = "theirs" }}, {{ upstream = "internal", model = "ours" }}]
[[endpoint]]
name = "work/own"
classification = "internal"
served = [{{ upstream = "internal", model = "ours" }}]
"""
WHOLE_OR_NOT = """
@id("partners-get-whole-prompts")
forbid (principal, action == NoMoat::Action::"SendPrompt", resource == NoMoat::Upstream::"partner")
when { resource.redacted };
"""
SECRETS = corpus.secrets()
KEY = SECRETS["aws-access-key"][0]
MARK = "[redacted: secret:aws-access-key]"


@pytest.fixture(scope="module", autouse=True)
def declared(floor: Floor) -> None:
    floor.live.declare(DECLARED.format(port=floor.upstream.port))


@pytest.fixture
def partners_get_whole_prompts(floor: Floor) -> Iterator[None]:
    with floor.live.admin as session:
        held = dict(session.gateway.policies()[0].files)
        session.gateway.apply_policy({**held, "whole.cedar": WHOLE_OR_NOT}, dry_run=False)
        yield
        session.gateway.apply_policy(held, dry_run=False)


def sent(floor: Floor, gpt: openai.OpenAI, model: str, *said: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    """Ask; return which server got the prompt, and what it got."""
    messages: Any = [{"role": "user", "content": each} if isinstance(each, str) else each for each in said]
    gpt.chat.completions.create(model=model, messages=messages, **more)
    path, _, body = floor.upstream.asked[-1]
    return ("partner" if path.startswith("/partner/") else "internal"), body


def nomoat(floor: Floor, *arguments: str, who: str = ADMIN) -> Said:
    return Caller(floor.live.root / "home").nomoat(*arguments, "--profile", floor.profile(who).name)


def test_a_secret_arrives_redacted_at_an_external_server(floor: Floor, gpt: openai.OpenAI) -> None:
    where, body = sent(floor, gpt, "work/both", f"why does {KEY} fail?")
    assert (where, body["messages"][0]["content"]) == ("partner", f"why does {MARK} fail?")
    assert floor.outcome["facts"]["redacted"] == "1"


def test_it_goes_whole_to_a_server_of_ours_that_is_cleared(floor: Floor, gpt: openai.OpenAI) -> None:
    where, body = sent(floor, gpt, "work/own", f"why does {KEY} fail?")
    assert (where, body["messages"][0]["content"]) == ("internal", f"why does {KEY} fail?")
    assert "redacted" not in floor.outcome["facts"]


@pytest.mark.usefixtures("partners_get_whole_prompts")
def test_where_policies_forbid_to_redact_another_server_is_asked(floor: Floor, gpt: openai.OpenAI) -> None:
    where, body = sent(floor, gpt, "work/both", f"why does {KEY} fail?")
    assert (where, body["messages"][0]["content"]) == ("internal", f"why does {KEY} fail?")
    before = len(floor.upstream.asked)
    with pytest.raises(openai.PermissionDeniedError, match="secret:aws-access-key: take that out"):
        sent(floor, gpt, "work/partner", f"why does {KEY} fail?")
    assert len(floor.upstream.asked) == before


def test_personal_data_stays_here(floor: Floor, gpt: openai.OpenAI) -> None:
    _, body = sent(floor, gpt, "work/partner", "write to jane.doe@contoso.de of DE89 3704 0044 0532 0130 00, please")
    said = "write to [redacted: personal:email] of [redacted: personal:iban], please"
    assert body["messages"][0]["content"] == said


PLACES: dict[str, Any] = {
    "a tool's result": {"role": "tool", "tool_call_id": "c", "content": f'{{"env": "KEY={KEY}\\n"}}'},
    "a tool's arguments": {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "run", "arguments": json.dumps({"x": f"a\n{KEY}\n"})}}
        ],
    },
    "a part of a message": {"role": "user", "content": [{"type": "text", "text": f"it is {KEY}"}]},
    "base64": {"role": "user", "content": base64.b64encode(f"the key is {KEY}, ok".encode()).decode()},
    "base64 over lines": {
        "role": "user",
        "content": base64.encodebytes(
            f"a file of several lines, in which\nthe key is {KEY}, and more".encode()
        ).decode(),
    },
    "hexadecimal": {"role": "user", "content": f"the key is {KEY}".encode().hex()},
    "unseen letters": {"role": "user", "content": "\u200d".join(KEY)},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_leaves_from_no_place_of_a_request(floor: Floor, gpt: openai.OpenAI, place: str) -> None:
    where, body = sent(floor, gpt, "work/partner", "hello", PLACES[place])
    written = json.dumps(body, ensure_ascii=False)
    assert (where, MARK in written) == ("partner", True), written
    assert KEY not in written
    for form in (corpus.b64(KEY), KEY.encode().hex(), "\u200d".join(KEY)):
        assert form[4:-4] not in written


def test_a_private_key_over_many_lines_leaves_no_line(floor: Floor, gpt: openai.OpenAI) -> None:
    pem = SECRETS["private-key"][0]
    _, body = sent(floor, gpt, "work/partner", f"what is this?\n{pem}\nthanks")
    assert body["messages"][0]["content"] == "what is this?\n[redacted: secret:private-key]\nthanks"


def test_a_secret_in_a_key_cannot_be_redacted(floor: Floor, gpt: openai.OpenAI) -> None:
    before = len(floor.upstream.asked)
    with pytest.raises(openai.PermissionDeniedError):
        sent(floor, gpt, "work/partner", "hello", extra_body={"metadata": {KEY: "x"}})
    assert len(floor.upstream.asked) == before
    floor.log_in_anew("ada")  # what cannot be redacted goes with the session


def test_what_was_seen_before_is_redacted_again(floor: Floor, gpt: openai.OpenAI) -> None:
    for _ in range(2):
        _, body = sent(floor, gpt, "work/partner", f"first {KEY}", "second")
        assert [each["content"] for each in body["messages"]] == [f"first {MARK}", "second"]


def test_the_record_names_the_rule_and_nobody_the_value(
    floor: Floor, gpt: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    password = "mIZzhGE3Jsnabmq9xR"
    caplog.set_level(logging.DEBUG)
    sent(floor, gpt, "work/partner", f"{KEY} and password={password} of max.muster@web.de")
    (record,) = floor.live.records("what InvokeModel", limit=1)
    assert "personal:email secret:assigned secret:aws-access-key" in json.dumps(record)
    with pytest.raises(openai.PermissionDeniedError) as refused:
        sent(floor, gpt, "work/partner", "hello", extra_body={"metadata": {f"password={password}": "x"}})
    held = json.dumps(floor.live.records("what InvokeModel", limit=2)) + str(refused.value) + caplog.text
    for path in (floor.live.root / "gateway").rglob("*"):
        held += path.read_bytes().decode("latin-1") if path.is_file() else ""
    assert not [value for value in (KEY, password, "max.muster") if value in held]
    floor.log_in_anew("ada")  # what cannot be redacted goes with the session


def test_a_canary_goes_nowhere(floor: Floor, gpt: openai.OpenAI) -> None:
    planted = nomoat(floor, "content", "canary", "salaries")
    assert planted.code == 0, planted.err
    canary = planted.out.strip()
    before = len(floor.upstream.asked)
    for text in (f"summarise: {canary}", f"x{canary.upper()}y", corpus.b64(f"see {canary} there")):
        for model in ("work/partner", "work/own"):
            with pytest.raises(openai.PermissionDeniedError) as refused:
                sent(floor, gpt, model, text)
            assert f"this prompt may be sent to no server of {model}" in str(refused.value)
            assert "canary" not in str(refused.value), "who carried it off is not told what it was"
    assert len(floor.upstream.asked) == before
    (record,) = floor.live.records("what InvokeModel", limit=1)
    assert "canary:salaries" in json.dumps(record)
    assert nomoat(floor, "content", "remove", "salaries").code == 0
    sent(floor, gpt, "work/own", f"summarise: {canary}")


def test_registered_values_are_found_from_the_next_request_on(floor: Floor, gpt: openai.OpenAI, tmp_path: Path) -> None:
    text = "is Nightfall  Harbour\nlate? and C-4711-99?"
    assert sent(floor, gpt, "work/partner", text)[1]["messages"][0]["content"] == text
    (tmp_path / "names.txt").write_text("Project Zebra\nnightfall harbour\n\nC-4711-99\n")
    settled = ["--label", "projects", "--classification", "confidential"]
    added = nomoat(floor, "content", "add", "names", str(tmp_path / "names.txt"), *settled)
    assert (added.code, added.out) == (0, "prompts are looked through for the 3 values of names\n"), added.err
    _, body = sent(floor, gpt, "work/partner", text)
    said = "is [redacted: value:names]\nlate? and [redacted: value:names]?"
    assert body["messages"][0]["content"] == said
    (tmp_path / "names.txt").write_text("Project Zebra\n")
    assert nomoat(floor, "content", "add", "names", str(tmp_path / "names.txt"), *settled).code == 0
    assert sent(floor, gpt, "work/partner", text)[1]["messages"][0]["content"] == text
    listed = nomoat(floor, "content", "list")
    assert "names" in listed.out
    assert "Zebra" not in listed.out
    assert nomoat(floor, "content", "remove", "names").code == 0
    assert nomoat(floor, "content", "remove", "names").code == 1


def test_values_are_kept_nowhere(floor: Floor, tmp_path: Path) -> None:
    (tmp_path / "customers.txt").write_text("Zweigniederlassung Ultramarin\n")
    settled = ["--label", "customers", "--classification", "confidential"]
    assert nomoat(floor, "content", "add", "customers", str(tmp_path / "customers.txt"), *settled).code == 0
    told = json.dumps(floor.live.records("what RegisterValues", limit=1))
    for path in (floor.live.root / "gateway").rglob("*"):
        told += path.read_bytes().decode("latin-1") if path.is_file() else ""
    assert "ltramarin" not in told
    assert nomoat(floor, "content", "remove", "customers").code == 0


def test_who_does_not_administer_registers_nothing_and_sees_nothing(floor: Floor, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("something\n")
    for command in (
        ["add", "theirs", str(tmp_path / "x.txt"), "--label", "x", "--classification", "public"],
        ["canary", "theirs"],
        ["list"],
        ["remove", "names"],
    ):
        assert nomoat(floor, "content", *command, who="ada").code == 1, command


def test_what_cannot_be_found_again_is_not_registered(floor: Floor, tmp_path: Path) -> None:
    settled = ["--label", "x", "--classification", "public"]
    for value in ("C++", "a " * 17, "x" * 257):
        (tmp_path / "x.txt").write_text(f"fine value\n{value}\n")
        said = nomoat(floor, "content", "add", "short", str(tmp_path / "x.txt"), *settled)
        assert said.code == 1
        assert "letters and digits" in said.err
        assert value not in said.err
    assert nomoat(floor, "content", "canary", "short").code == 0
    (tmp_path / "x.txt").write_text("fine value\n")
    assert "remove it first" in nomoat(floor, "content", "add", "short", str(tmp_path / "x.txt"), *settled).err
    assert nomoat(floor, "content", "remove", "short").code == 0
