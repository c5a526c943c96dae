"""Attacks by the metadata of a README.md: on the gateway's time and memory, and by who is nobody."""

import asyncio
import json
import time

import pytest

from nomoat.resources.cards import DEEPEST, LARGEST, MOST_NODES, Findings, examine_card
from tests.hub.live import Live, Raw, commit_lines

SOON = 3.0  # seconds, for what takes the parser alone up to hours
BOMB = "a: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
DEEP = f"more than {DEEPEST} mappings and lists within each other"
MANY = f"more than {MOST_NODES} values, those that aliases stand for included"


def card(metadata: str) -> str:
    return f"---\n{metadata}\n---\n"


def ask(live: Live, who: str, content: str) -> Raw:
    return live.raw(who, "POST", "/api/validate-yaml", body=json.dumps({"content": content}).encode())


def examined(metadata: str) -> Findings:
    began = time.monotonic()
    found = asyncio.run(examine_card(card(metadata)))
    assert time.monotonic() - began < SOON
    return found


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (BOMB, MANY),
        ("a: &a [*a]", "*a stands for nothing that was complete before"),
        ("a: " + "[" * (LARGEST - 3), DEEP),  # the parser alone: a minute for half of it
        ("a: " + "{a: " * (LARGEST // 4 - 1), DEEP),
        ("- " * (LARGEST // 2), "not a list"),
        ("a:\n" + "".join(" " * level + "a:\n" for level in range(1, 400)), DEEP),
        ("? " * (LARGEST // 2), "a key is a text, written out"),
        ("a: [" + "a," * (LARGEST // 2 - 3) + "]", MANY),
        ("%YAML 1." + "9" * 5000 + "\n--- {}", "a number that is too large"),
    ],
    ids=["aliases", "itself", "lists", "mappings", "dashes", "indented", "keys", "values", "version"],
)
def test_attack_metadata_that_explodes_is_refused_soon(metadata: str, why: str) -> None:
    (said,) = examined(metadata).errors
    assert why in said


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!own", "!!binary", "!"])
def test_attack_a_tag_makes_no_object(tag: str) -> None:
    for metadata in (f"a: {tag} x", f"a: {tag} [touch /tmp/pwned]", f"a: {tag} {{x: y}}"):
        (said,) = examined(metadata).errors
        assert said == "line 2, column 4: a tag that metadata has no use for; leave it out"


@pytest.mark.parametrize(
    "text", ["---\n" + "\n--- x" * 150_000, "\n" * 900_000, "---\n" + "\n---" + " " * 900_000 + "x"]
)
def test_attack_a_search_for_the_metadata_does_not_run_back_and_forth(text: str) -> None:
    began = time.monotonic()
    asyncio.run(examine_card(text))
    assert time.monotonic() - began < SOON


async def _longest_pause(metadata: str) -> float:
    """How long nobody else got to run while a card was examined."""
    examining, longest = asyncio.create_task(examine_card(card(metadata))), 0.0
    while not examining.done():
        began = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - began)
    return longest


def test_attack_a_card_that_takes_long_does_not_hold_everybody_up() -> None:
    metadata = "\n".join(f"a{number}: {number}" for number in range(9000))
    assert asyncio.run(_longest_pause(metadata)) < 0.3


def test_attack_a_stranger_has_nothing_examined(live: Live) -> None:
    """`RepoCard.validate` sends no credential: a body of no one's is not read, and the answer does not depend on it."""
    for content in (card("license: mit"), card(BOMB), card("a: [[")):
        answer = ask(live, "", content)
        assert (answer.status, json.loads(answer.text)) == (200, {"errors": [], "warnings": []})
    with live.http() as client:
        forged = client.post("/api/validate-yaml", json={"content": ""}, headers={"Authorization": "Bearer x.y.z"})
    assert forged.status_code == 401


def test_attack_a_huge_card_is_refused_unread_and_bombs_leave_the_gateway_serving(live: Live) -> None:
    before = live.resident
    assert ask(live, "visitor", "x" * (4 << 20)).status == 413
    for metadata in (BOMB, "[" * LARGEST, "a: !!python/object/apply:os.system [id]", "x" * (LARGEST + 1)):
        answer = ask(live, "visitor", card(metadata))
        assert (answer.status, "Traceback" in answer.text) == (400, False)
        assert all(error["message"].startswith("line ") for error in json.loads(answer.text)["errors"])
    cards = "".join(commit_lines({"README.md": card(BOMB).encode()})).encode()
    refused = live.raw("ingest", "POST", "/api/datasets/acme/digits/commit/main", body=cards)
    assert (refused.status, MANY in refused.text) == (400, True)
    assert live.resident - before < 64 << 20
    assert live.raw("visitor", "GET", "/api/whoami-v2").status == 200


def test_attack_a_commit_of_many_cards_has_one_examined(live: Live) -> None:
    costly = card("\n".join(f"a{number}: {number}" for number in range(9000))).encode()
    header, once = commit_lines({"README.md": costly})
    body = (header + once * 100).encode()
    began = time.monotonic()
    answer = live.raw("ingest", "POST", "/api/datasets/acme/digits/commit/main", body=body)
    assert answer.status < 500
    assert time.monotonic() - began < SOON
