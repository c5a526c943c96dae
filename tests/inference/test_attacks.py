"""What a hostile engineer with a valid account tries beside the body of a prompt, and a hostile server beside that of an answer."""

import json
from collections.abc import Iterator

import pytest

from nomoat.stores.circuits import TRIES
from tests.content import corpus
from tests.inference.conftest import Floor
from tests.inference.faults import OPENAI
from tests.inference.test_hostile_clients import ask, asking, connected, headers

KEY = corpus.secrets()["aws-access-key"][0]
DECLARED = """
[[endpoint]]
name = "fault/named"
classification = "internal"
served = [{{ upstream = "internal", model = "fault:named" }}]
[[endpoint]]
name = "fault/twofold"
classification = "internal"
served = [{{ upstream = "internal", model = "fault:twofold" }}]
[[upstream]]
name = "theirs-anthropic"
url = "http://127.0.0.1:{port}/hosted/v1"
api = "anthropic"
clearance = "public"
private = true
external = true
[[endpoint]]
name = "acme/theirs"
classification = "public"
served = [{{ upstream = "theirs-anthropic", model = "their-claude" }}]
[[upstream]]
name = "late"
url = "http://127.0.0.1:{port}/late/v1"
clearance = "confidential"
private = true
[[endpoint]]
name = "fault/late"
classification = "internal"
served = [{{ upstream = "late", model = "fault:late" }}]
[[endpoint]]
name = "fault/punctual"
classification = "internal"
served = [{{ upstream = "late", model = "punctual" }}]
"""


@pytest.fixture(scope="module", autouse=True)
def declared(floor: Floor) -> None:
    floor.live.declare(DECLARED.format(port=floor.upstream.port))


@pytest.fixture
def untouched(floor: Floor) -> Iterator[None]:
    before = len(floor.upstream.asked)
    yield
    assert len(floor.upstream.asked) == before, "nothing of it was sent on"


def test_a_header_that_says_nothing_else_is_passed_on(floor: Floor) -> None:
    assert ask(floor, asking("acme/public"), **{"OpenAI-Beta": "assistants=v2"})[0] == 200
    assert floor.upstream.asked[-1][1]["openai-beta"] == "assistants=v2"


@pytest.mark.usefixtures("untouched")
def test_attack_a_secret_leaves_in_a_header_that_is_passed_on(floor: Floor) -> None:
    status, said = ask(floor, asking("acme/public"), **{"OpenAI-Beta": f"assistants=v2, {KEY}"})
    assert (status, "secret:aws-access-key" in said["error"]["message"]) == (403, True), said
    assert floor.live.records("what InvokeModel", limit=1)[-1]["asked"]["found"] == "secret:aws-access-key"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("header", ["Anthropic-Version", "Anthropic-Beta"])
def test_attack_a_secret_leaves_in_what_looks_like_a_version(floor: Floor, header: str) -> None:
    body = json.dumps({"model": "acme/theirs", "max_tokens": 9, "messages": []}).encode()
    for value in (f"2023-06-01,{KEY}", f"2023-06-01 {KEY}", f"{KEY}-2023-06-01"):
        status, said = ask(floor, body, "/v1/messages", **{header: value})
        assert (status, "secret:aws-access-key" in said["error"]["message"]) == (403, True), said


def test_attack_a_server_tells_a_secret_in_a_header_of_its_answer(floor: Floor) -> None:
    with connected(floor) as connection:
        connection.request("POST", "/v1/chat/completions", asking("fault/named"), headers(floor))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, OPENAI)
    assert answer.getheader("request-id") == "req-1"
    assert KEY not in str(answer.headers)


def test_attack_a_server_tells_in_one_of_two_members_of_one_name(floor: Floor) -> None:
    status, said = ask(floor, asking("fault/twofold"))
    assert (status, "none of its protocol" in said["error"]["message"]) == (503, True)
    assert KEY not in json.dumps(said)
    assert (floor.outcome["outcome"], floor.outcome["bytes"]) == ("failed", 0)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "more",
    [
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"role": "user", "content": "go on"}, {"id": "rs_1"}]},
        {"input": "go on", "prompt": {"id": "pmpt_1"}},
        {"input": {"type": "item_reference", "id": "msg_1"}},
        {"input": {"role": "user", "content": {"type": "input_file", "file_id": "file-1"}}},
    ],
    ids=["an item", "an item without its type", "a prompt", "no list", "no lists"],
)
def test_attack_what_a_server_kept_is_asked_for_by_a_reference(floor: Floor, more: dict[str, object]) -> None:
    body = json.dumps({"model": "acme/chat", **more}).encode()
    status, said = ask(floor, body, "/v1/responses")
    assert (status, "send the conversation itself" in said["error"]["message"]) == (403, True), said


@pytest.mark.usefixtures("untouched")
def test_attack_a_container_of_somebody_else_is_asked_for(floor: Floor) -> None:
    body = json.dumps({"model": "acme/claude", "max_tokens": 9, "messages": [], "container": "container_1"}).encode()
    status, said = ask(floor, body, "/v1/messages")
    assert (status, "container" in said["error"]["message"]) == (403, True), said


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("prompt", [[15339, 1917], [[15339], [1917]], ["hello", [1917]]], ids=str)
@pytest.mark.parametrize(("path", "field"), [("/v1/completions", "prompt"), ("/v1/embeddings", "input")])
def test_attack_what_nobody_can_read_leaves_as_numbers_of_tokens(
    floor: Floor, path: str, field: str, prompt: list[object]
) -> None:
    status, said = ask(floor, json.dumps({"model": "acme/public", field: prompt}).encode(), path)
    assert (status, "send the text itself" in said["error"]["message"]) == (403, True), said


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("field", ["prompt_token_ids", "prompt_embeds"])
def test_attack_what_nobody_can_read_leaves_beside_a_text(floor: Floor, field: str) -> None:
    status, said = ask(floor, asking("acme/public", **{field: [1, 2]}))
    assert (status, "send the text itself" in said["error"]["message"]) == (403, True), said


def test_a_server_of_ours_is_sent_numbers_of_tokens(floor: Floor) -> None:
    assert ask(floor, json.dumps({"model": "acme/coder", "input": [15339, 1917]}).encode(), "/v1/embeddings")[0] == 200


def test_attack_a_server_of_others_is_asked_to_keep_a_prompt_for_a_day(floor: Floor) -> None:
    floor.log_in_anew("ada")
    for path, given in (("/v1/chat/completions", "messages"), ("/v1/responses", "input")):
        asked = {"model": "acme/public", given: [], "prompt_cache_retention": "24h"}
        assert ask(floor, json.dumps(asked).encode(), path)[0] == 200
        assert floor.upstream.asked[-1][2]["prompt_cache_retention"] is None


def test_attack_prompts_that_take_long_close_a_server_for_others(floor: Floor) -> None:
    """What stands in front of a server says 504 of a prompt that takes long, and of the server nothing."""
    for _ in range(TRIES + 1):
        assert ask(floor, asking("fault/late"))[0] == 504
    assert ask(floor, asking("fault/punctual"))[0] == 200
