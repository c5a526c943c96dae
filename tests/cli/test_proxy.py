"""`nomoat proxy` and `nomoat exec`: a long job of a stock client outlives its tokens, restarts and log-ins."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from nomoat.client.entrance import standing_alone
from nomoat.client.profiles import Profile
from tests.cli.live import TOKEN_LIFE, Caller, Live

PYTHON = sys.executable
INGESTS = """
segment = "ingestion"
clearance = "internal"

[[dataset]]
name = "acme/{}"
classification = "internal"
"""

# One commit of a stock client whose uploads take longer than a token lives, then work of another token's life.
# A client asks for its token once a commit: with a bearer, one that takes longer fails, so here it is not slow.
LONG_JOB = """
import io, os, sys, time
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
life = float(sys.argv[1])

class Slow(io.BytesIO):
    slow = False
    def read(self, size=-1):
        if Slow.slow and self.tell() == 0:
            time.sleep(life * 1.3 / 3)
        return super().read(size if size > 0 else -1)

api, where, begin = HfApi(), dict(repo_id=sys.argv[2], repo_type="dataset"), time.monotonic()
api.create_repo(exist_ok=True, **where)
adds = [CommitOperationAdd(f"{n}.bin", Slow(os.urandom(300_000))) for n in range(3)]
api.preupload_lfs_files(additions=[CommitOperationAdd("first.bin", os.urandom(300_000))], **where)
Slow.slow = sys.argv[3] == "slow"
api.create_commit(operations=adds, commit_message="slow", num_threads=1, **where)
assert not Slow.slow or time.monotonic() - begin > life, "the uploads took less than a token lives"
while time.monotonic() - begin < 2.2 * life:
    assert len(api.list_repo_files(**where)) == 3
    time.sleep(1)
assert os.path.getsize(hf_hub_download(sys.argv[2], "2.bin", repo_type="dataset", force_download=True)) == 300_000
print("done", time.monotonic() - begin)
"""


@pytest.fixture(scope="module")
def job(live: Live, admin: Caller) -> Caller:
    return live.workload(admin, "long-job", INGESTS.format("long"))


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


class Running:
    """`nomoat proxy` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=20)[1]
        said = json.loads(line)
        self.url, self.key_file = said["url"], Path(said["key_file"])

    def get(self, target: str = "/v1/whoami") -> httpx2.Response:
        return httpx2.get(
            self.url + target, headers={"Authorization": f"Bearer {self.key_file.read_text()}"}, timeout=30
        )

    def post(self, target: str, body: bytes) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.key_file.read_text()}"}
        return httpx2.post(self.url + target, headers=headers, content=body, timeout=30)


@pytest.fixture
def own(tmp_path: Path) -> Generator[Live]:
    """A gateway of the test's own, which it may stop: it keeps its port."""
    live = Live(tmp_path / "own")
    live.start()
    configuration = live.data / "nomoat.toml"
    configuration.write_text(configuration.read_text().replace("127.0.0.1:0", live.url.removeprefix("https://")))
    try:
        yield live
    finally:
        live.stop()


def test_a_stock_clients_long_job_survives_several_tokens_by_each_way(live: Live, admin: Caller, job: Caller) -> None:
    """Both at a time: most of it is waiting for tokens to end."""
    other = live.workload(admin, "long-direct", INGESTS.format("long-direct"))
    with (
        job.running("exec", "--", PYTHON, "-c", LONG_JOB, str(TOKEN_LIFE), "acme/long", "slow") as bound,
        other.running(
            "exec", "--direct", "--", PYTHON, "-c", LONG_JOB, str(TOKEN_LIFE), "acme/long-direct", ""
        ) as bearer,
    ):
        for process in (bound, bearer):
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            assert "done" in out
            assert "nomoat:" not in err
    for name, binding in (("acme/long", "dpop"), ("acme/long-direct", "none")):
        said = admin.nomoat("audit", "search", f"on {name} what ListFiles", "--json")
        assert said.code == 0, said.err
        found = json.loads(said.out)["records"]
        assert {record["who"]["binding"] for record in found} == {binding}


def test_a_start_leaves_no_refusal_on_record(own: Live) -> None:
    """The first proof has no nonce yet (RFC 9449, section 8): that buried real refusals."""
    admin = own.admin()
    who = own.workload(admin, "quiet")
    assert who.nomoat("exec", "--", "true").code == 0
    with who.running("proxy", "--json") as process:
        assert Running(process).get().status_code == 200
    assert admin.nomoat("audit", "search", "what Authenticate", "--json").json()["records"] == []
    counted = admin.nomoat("status", "--json").json()
    assert (counted["challenges"], counted["strangers"]) == (2, 0)


def test_a_proxy_runs_until_it_is_stopped(job: Caller) -> None:
    refused = job.nomoat("env", "hub", "--proxy")
    assert refused.code == 1
    assert "no proxy runs" in refused.err
    with job.running("proxy", "--json") as process:
        running = Running(process)
        assert running.get().json()["binding"] == "dpop"
        settings = job.nomoat("env", "hub", "--proxy", "--json", NO_PROXY="corp.example").json()
        assert isinstance(settings["set"], dict)
        assert settings["set"]["HF_ENDPOINT"] == running.url
        assert settings["set"]["NO_PROXY"] == "corp.example,127.0.0.1,localhost,::1"
        assert "SSL_CERT_FILE" not in settings["set"]
        assert settings["expires_at"] is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not running.key_file.exists()
    assert job.nomoat("env", "hub", "--proxy").code == 1


def test_a_second_proxy_does_not_take_the_firsts_clients(job: Caller) -> None:
    with job.running("proxy", "--json") as process:
        running = Running(process)
        second = job.nomoat("proxy")
        assert second.code == 1
        assert f"runs already at {running.url}" in second.err
        assert running.get().status_code == 200
        assert job.nomoat("env", "hub", "--proxy").code == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_of_proxies_that_start_in_the_same_instant_one_runs(live: Live, admin: Caller) -> None:
    who = live.workload(admin, "hasty")
    with ExitStack() as running:
        processes = [running.enter_context(who.running("proxy", "--json")) for _ in range(4)]
        until(lambda: sum(process.poll() is not None for process in processes) == 3, 60)
        (winner,) = [process for process in processes if process.poll() is None]
        for loser in processes:
            if loser is not winner:
                out, err = loser.communicate()
                assert (loser.returncode, out) == (1, "")
                assert "a proxy of the profile 'default' runs already" in err
        assert Running(winner).get().json()["binding"] == "dpop"
        winner.kill()  # and leaves its address behind: the next one goes by the lock alone
        winner.wait(20)
        with who.running("proxy", "--json") as process:
            assert Running(process).get().status_code == 200


def test_a_proxy_that_has_no_address_yet_keeps_others_out(job: Caller) -> None:
    with standing_alone(Profile("default", job.profile)):
        with job.running("proxy", "--json") as process:
            assert process.wait(30) == 1
            assert process.stderr is not None
            assert "a proxy of the profile 'default' runs already; stop it, or use it" in process.stderr.read()
        with job.running("proxy", "--json", "--socket", str(job.home / "own.sock")) as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["url"] == "http://localhost", "its key is nobody else's"


def test_a_second_proxy_leaves_the_socket_of_the_first_alone(job: Caller) -> None:
    path = job.home / "one.sock"
    with job.running("proxy", "--json", "--socket", str(path)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        said = job.nomoat("proxy", "--socket", str(path))
        assert (said.code, said.out) == (3, "")
        assert f"somebody listens at {path} already; stop that one, or choose another path" in said.err
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_proxy_listens_on_this_machine_only(job: Caller) -> None:
    for address in ("0.0.0.0:0", "192.0.2.1:80", "localhost:0", "127.0.0.1", "[::]:0", "127.0.0.1:99999"):
        said = job.nomoat("proxy", "--listen", address)
        assert said.code == 1, address
        assert "nomoat-proxy-" not in said.err


def test_nobody_is_logged_in(tmp_path: Path) -> None:
    for command in (("proxy",), ("exec", "--", "true")):
        said = Caller(tmp_path).nomoat(*command)
        assert said.code == 1
        assert "nobody is logged in" in said.err


def test_a_restarted_gateway_and_a_forgotten_nonce_are_not_noticed(own: Live) -> None:
    admin = own.admin()
    who = own.workload(admin, "steady", INGESTS.format("kept"))
    with who.running("proxy", "--json") as process:
        running = Running(process)
        assert running.get().status_code == 200
        own.stop()
        assert running.get().status_code == 503
        own.start()
        # The new process knows none of the nonces, and its predecessor closed the connection that is waiting.
        large = json.dumps({"type": "dataset", "organization": "acme", "name": "kept", "x": "x" * 300_000}).encode()
        assert running.post("/api/repos/create", large).status_code == 200
        assert running.get().json()["binding"] == "dpop"
        time.sleep(TOKEN_LIFE * 1.1)
        assert running.get().status_code == 200


def test_attack_another_gateway_at_the_address(own: Live, tmp_path: Path) -> None:
    """It has another authority: nothing is sent to it, not even a token that it could not use."""
    who = own.workload(own.admin(), "careful")
    with who.running("proxy", "--json") as process:
        running = Running(process)
        assert running.get().status_code == 200
        own.stop()
        with Live(tmp_path / "other") as other:
            other.stop()
            configuration = other.data / "nomoat.toml"
            configuration.write_text(configuration.read_text().replace("127.0.0.1:0", own.url.removeprefix("https://")))
            other.start()
            answer = running.get()
    # The token may be due just then: its renewal finds out first, in other words.
    assert answer.status_code in {403, 502}
    assert "is not the gateway of this" in answer.json()["error"]


def test_a_session_that_ended_is_told_and_a_new_log_in_goes_on(live: Live, admin: Caller) -> None:
    person = live.person(admin, "traveller")
    session = str(person.nomoat("whoami", "--json").json()["session"])
    with person.running("proxy", "--json", "--hold", "0") as process:
        running = Running(process)
        assert running.get().json()["session"] == session
        assert admin.nomoat("revoke", "session", session).code == 0
        answer = running.get()
        assert answer.status_code == 403
        assert "nomoat login" in answer.json()["error"]
        asked = running.post("/v1/chat/completions", b"{}")
        assert "nomoat login" in asked.json()["error"]["message"], "where clients of models have it"
        assert person.nomoat("login").code == 0
        until(lambda: running.get().status_code == 200)
        assert running.get().json()["session"] != session
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert "the session was revoked" in err
    assert "Traceback" not in err


def test_an_ended_session_is_told_by_a_stock_client(live: Live, admin: Caller) -> None:
    person = live.person(admin, "leaver")
    script = (
        "import sys; from huggingface_hub import hf_hub_download\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "hf_hub_download('acme/long', '1.bin', repo_type='dataset')"
    )
    with subprocess.Popen(
        [PYTHON, "-m", "nomoat.cli", "exec", "--hold", "0", "--", PYTHON, "-c", script],
        env={**person.environment, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.sep,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert admin.nomoat("revoke", "person", "leaver").code == 0
        _, err = process.communicate("\n", timeout=60)
    assert process.returncode == 1
    assert "the session was revoked" in err
    assert "nomoat login" in err
