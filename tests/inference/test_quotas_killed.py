"""`kill -9` between a charge and its answer, and restarts: what was admitted stays charged."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.hub.live import Live, gateway
from tests.inference.upstream import Simulator, simulator
from tests.server.test_kill import start

DECLARED = """
[[group]]
name = "model-users"
[[person]]
name = "ada"
groups = ["model-users"]
clearance = "internal"
[[upstream]]
name = "internal"
url = "http://127.0.0.1:{port}/v1"
clearance = "internal"
private = true
[[endpoint]]
name = "chat"
classification = "internal"
served = [{{ upstream = "internal", model = "our-model" }}]
[[endpoint]]
name = "silent"
classification = "internal"
served = [{{ upstream = "internal", model = "silent" }}]
[[quota]]
name = "thrifty"
for = "group:model-users"
requests_per_day = 5
tokens_per_day = 100000
"""


@contextmanager
def served(live: Live) -> Generator[subprocess.Popen[str]]:
    process = start(live)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def ask(live: Live, model: str, **more: object) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    with live.http("ada") as client:
        return client.post("/v1/chat/completions", json=body)


def left(live: Live) -> dict[str, int]:
    with live.http("ada") as client:
        return {each["measure"]: each["left"] for each in client.get("/v1/quotas").json()["quotas"]}


def killed_while_silent(live: Live, upstream: Simulator) -> None:
    """Kill the gateway when the model's server has a prompt and has said nothing yet."""

    def waiting() -> None:
        with contextlib.suppress(httpx2.HTTPError):
            ask(live, "silent", max_tokens=40_000)

    with served(live) as process:
        had, asking = len(upstream.asked), threading.Thread(target=waiting)
        asking.start()
        while len(upstream.asked) == had:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        asking.join(30)


def test_what_was_admitted_stays_charged_through_kills_and_restarts(tmp_path: Path) -> None:
    with simulator() as upstream:
        with gateway(tmp_path) as live:
            live.declare(DECLARED.format(port=upstream.port))
            live.join("person:ada")
            port = live.url.rpartition(":")[2]
            assert ask(live, "chat").status_code == 200
            assert left(live) == {"requests": 4, "tokens": 100_000 - 4}
        configuration = live.directory / "nomoat.toml"
        configuration.write_text(configuration.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        with served(live) as process:
            assert left(live) == {"requests": 4, "tokens": 100_000 - 4}, "a clean end stores exactly what was taken"
            process.terminate()
            process.wait(20)
        killed_while_silent(live, upstream)
        killed_while_silent(live, upstream)
        with served(live):
            now = left(live)
            assert now["requests"] == 2
            assert now["tokens"] <= 100_000 - 4 - 2 * 40_000, "what it might have taken stays charged"
            refused = ask(live, "chat", max_tokens=40_000)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 3600
            assert ask(live, "chat", max_tokens=10).status_code == 200
