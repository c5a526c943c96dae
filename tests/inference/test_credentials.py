"""What the gateway shows to servers: sealed, for one address, and never anybody else's to see."""

import io

import openai
import pytest

from tests.cli.live import Caller
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor
from tests.inference.test_clients import ASKED, gpt, http

__all__ = ["gpt", "http"]  # fixtures

UPSTREAM = """
[[upstream]]
name = "paid"
url = "http://127.0.0.1:{port}/{path}"
private = true
api = "{api}"
clearance = "internal"
[[endpoint]]
name = "acme/paid"
classification = "internal"
served = [{{ upstream = "paid", model = "theirs" }}]
"""
SECRET = "sk-upstream-1234567890"


def shown(floor: Floor, gpt: openai.OpenAI) -> dict[str, str]:
    """What the simulator was shown with the next request."""
    gpt.chat.completions.create(model="acme/paid", messages=ASKED)
    return floor.upstream.asked[-1][1]


def seal(floor: Floor, monkeypatch: pytest.MonkeyPatch, credential: str, who: str = ADMIN) -> tuple[int, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{credential}\n"))
    said = Caller(floor.live.root / "home").nomoat(
        "upstream", "credential", "paid", "--profile", floor.profile(who).name
    )
    return said.code, said.out + said.err


@pytest.mark.parametrize("given", ["", "\n", " \t"])
def test_no_credential_is_called_that_and_nothing_is_asked(
    floor: Floor, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    before = floor.live.records("what SealCredential")
    code, said = seal(floor, monkeypatch, given)
    assert (code, "no credential was given for paid; nothing was changed" in said) == (1, True), said
    assert "nomoat upstream credential paid < FILE" in said, "what to do"
    assert floor.live.records("what SealCredential") == before


def test_a_credential_is_shown_to_its_upstream_at_its_address_alone(
    floor: Floor, gpt: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"port": floor.upstream.port, "api": "openai"}
    floor.live.declare(UPSTREAM.format(path="v1", **here))
    assert "authorization" not in shown(floor, gpt)
    assert seal(floor, monkeypatch, SECRET) == (
        0,
        f"the gateway has a credential for paid, shown at http://127.0.0.1:{floor.upstream.port}/v1 alone\n",
    )
    assert shown(floor, gpt)["authorization"] == f"Bearer {SECRET}"
    plan = floor.live.declare(UPSTREAM.format(path="elsewhere/v1", **here))
    assert "give it again (nomoat upstream credential paid)" in str(plan)
    assert "authorization" not in shown(floor, gpt), "who declares another address has nothing sent there"
    floor.live.declare(UPSTREAM.format(path="v1", **here))
    assert shown(floor, gpt)["authorization"] == f"Bearer {SECRET}"
    assert seal(floor, monkeypatch, "sk-newer")[0] == 0
    assert shown(floor, gpt)["authorization"] == "Bearer sk-newer"


def test_it_is_neither_logged_nor_kept_readable(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    floor.live.declare(UPSTREAM.format(path="v1", port=floor.upstream.port, api="openai"))
    assert seal(floor, monkeypatch, SECRET)[0] == 0
    for path in (floor.live.root / "gateway").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    (record,) = floor.live.records("what SealCredential", limit=1)
    assert SECRET not in str(record)


def test_who_does_not_administer_seals_none(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = seal(floor, monkeypatch, SECRET, who="ada")
    assert (code, SECRET in said) == (1, False)


@pytest.mark.parametrize("credential", ["two words", "sk-\u00fc"])
def test_what_no_header_can_hold_is_refused(floor: Floor, monkeypatch: pytest.MonkeyPatch, credential: str) -> None:
    floor.live.declare(UPSTREAM.format(path="v1", port=floor.upstream.port, api="openai"))
    code, said = seal(floor, monkeypatch, credential)
    assert (code, "printable ASCII" in said) == (1, True), said
