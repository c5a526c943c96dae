"""A live gateway with people, and a simulated model server behind it; both for all tests of this room."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from nomoat.client.profiles import Profile
from tests.cli.live import Caller
from tests.hub.live import ADMIN, Live, gateway
from tests.inference.engine_source import CLEARED, committed, modules
from tests.inference.upstream import Simulator, simulator

DECLARED = """
[[group]]
name = "model-users"
[[person]]
name = "ada"
groups = ["model-users"]
clearance = "confidential"
[[person]]
name = "streamer"
groups = ["model-users"]
clearance = "internal"
[[person]]
name = "guest"
groups = ["model-users"]
clearance = "public"
[[person]]
name = "outsider"
clearance = "restricted"

[[upstream]]
name = "internal"
url = "http://127.0.0.1:{port}/v1"
clearance = "confidential"
private = true
[[upstream]]
name = "internal-anthropic"
url = "http://127.0.0.1:{port}/v1"
api = "anthropic"
clearance = "confidential"
private = true
[[upstream]]
name = "hosted"
url = "http://127.0.0.1:{port}/hosted/v1"
clearance = "public"
private = true
external = true
[[upstream]]
name = "dead"
url = "http://127.0.0.1:9/v1"
clearance = "confidential"
private = true
[[upstream]]
name = "lured"
url = "https://localhost:{port}/v1"
clearance = "confidential"

[[endpoint]]
name = "acme/chat"
classification = "internal"
served = [{{ upstream = "hosted", model = "their-model" }}, {{ upstream = "dead", model = "x" }}, {{ upstream = "internal", model = "our-model" }}]
[[endpoint]]
name = "acme/claude"
classification = "internal"
served = [{{ upstream = "internal-anthropic", model = "our-claude" }}]
[[endpoint]]
name = "acme/hosted-only"
classification = "internal"
served = [{{ upstream = "hosted", model = "their-model" }}]
[[endpoint]]
name = "acme/public"
classification = "public"
served = [{{ upstream = "hosted", model = "their-model" }}]
[[endpoint]]
name = "acme/coder"
classification = "internal"
served = [{{ upstream = "internal", model = "scripted" }}, {{ upstream = "internal-anthropic", model = "scripted" }}]
[[endpoint]]
name = "acme/lured"
classification = "internal"
served = [{{ upstream = "lured", model = "their-model" }}]
"""
FAULTS = (
    "reset-before",
    "reset-mid",
    "too-many",
    "busy-once",
    "broken",
    "credential",
    "redirect",
    "bomb",
    "short",
    "no-http",
    "endless",
    "flood",
    "silent",
    "silent-mid",
    "echo",
)


@dataclass
class Floor:
    """The gateway and the simulator behind it."""

    live: Live
    upstream: Simulator

    def profile(self, name: str) -> Profile:
        return self.live.profiles[name]

    def token(self, name: str) -> str:
        return self.profile(name).read("hub/token").decode()

    def log_in_anew(self, name: str) -> None:
        """Let somebody begin a session that carries nothing."""
        said = Caller(self.live.root / "home").nomoat("login", "--profile", self.profile(name).name)
        assert said.code == 0, said.err
        self.live.refresh(name)

    @property
    def outcome(self) -> dict[str, Any]:
        """How the newest answer that was asked for ended."""
        newest = self.live.records("what InvokeModel", limit=1)[-1]
        return cast("dict[str, Any]", newest["outcome"])


@pytest.fixture(scope="session")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    with simulator() as upstream, gateway(tmp_path_factory.mktemp("live")) as live:
        faulty = "".join(
            f'[[endpoint]]\nname = "{fault}"\nclassification = "internal"\n'
            f'served = [{{ upstream = "internal", model = "{fault}" }}]\n'
            for fault in FAULTS
        )
        live.declare(DECLARED.format(port=upstream.port) + faulty)
        for name in ("ada", "streamer", "guest", "outsider"):
            live.join(f"person:{name}")
        yield Floor(live, upstream)


@pytest.fixture(scope="module", autouse=True)
def anew(request: pytest.FixtureRequest) -> None:
    """Let everybody begin a session that carries nothing of what the tests of other files asked."""
    here = (item for item in request.session.items if item.path == request.path)
    if any("floor" in getattr(item, "fixturenames", ()) for item in here):
        floor: Floor = request.getfixturevalue("floor")
        for name in ("ada", "streamer"):
            floor.log_in_anew(name)


@pytest.fixture(scope="session")
def nomoat(floor: Floor, tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """The command line beside a gateway that knows a source."""
    floor.live.declare(CLEARED)
    for who in ("engineer", "other"):
        floor.live.join(f"person:{who}")
    caller = Caller(floor.live.root / "home")
    repository = committed(tmp_path_factory.mktemp("engine"), modules(), "the engine")
    registered = caller.nomoat(
        *("source", "add", str(repository), "--name", "acme/engine", "--cleared", "engine-team", "--not-installed"),
        *("--profile", floor.profile(ADMIN).name),
    )
    assert registered.code == 0, registered.err
    return caller
