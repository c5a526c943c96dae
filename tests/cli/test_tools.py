"""Stock clients work through the gateway with what the command gives them, for as long as they run."""

import json
import signal
import subprocess
import sys

import pytest

from tests.cli.live import TOKEN_LIFE, Caller, Live

PYTHON = sys.executable

# A program of longer than two tokens' lives: it reads its token file as a stock client does, before each request.
LONG_JOB = """
import os, sys, time, urllib.request, ssl, json, threading
tokens = set()
until = time.monotonic() + float(sys.argv[1])
print("started", flush=True)
while time.monotonic() < until:
    token = open(os.environ["HF_TOKEN_PATH"]).read()
    tokens.add(token)
    request = urllib.request.Request(os.environ["HF_ENDPOINT"] + "/v1/whoami", headers={"authorization": "Bearer " + token})
    with urllib.request.urlopen(request, context=ssl.create_default_context()) as response:
        assert json.load(response)["binding"] == sys.argv[2]
    threading.Event().wait(0.5)
print(len(tokens))
"""


@pytest.fixture(scope="module")
def job(live: Live, admin: Caller) -> Caller:
    return live.workload(admin, "job")


def test_a_program_outlives_its_tokens(job: Caller) -> None:
    """By each way, both at a time: all of it is waiting."""
    words = ("--", PYTHON, "-c", LONG_JOB, str(TOKEN_LIFE * 1.4))
    with (
        job.running("exec", *words, "dpop") as bound,
        job.running("exec", "--direct", *words, "none") as bearer,
    ):
        seen = []
        for process in (bound, bearer):
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert err == ""
            seen.append(int(out.split()[-1]))
    # Behind a proxy it shows the same key all the time, which is no token.
    assert seen[0] == 1
    assert seen[1] >= 3


def test_signals_and_the_exit_code_go_through(job: Caller) -> None:
    program = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready', flush=True); signal.pause()"
    with job.running("exec", "--", PYTHON, "-c", program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 7


def test_a_program_that_is_not_there(job: Caller) -> None:
    said = job.nomoat("exec", "--", "/nonexistent/program")
    assert said.code == 127
    assert said.err == "nomoat: /nonexistent/program cannot be run: No such file or directory\n"


def test_a_refused_caller_starts_nothing(live: Live, admin: Caller) -> None:
    who = live.workload(admin, "dismissed")
    admin.nomoat("revoke", "workload", "dismissed")
    said = who.nomoat("exec", "--", "/bin/sh", "-c", "echo ran >&2")
    assert said.code == 1
    assert "ran" not in said.err


def test_a_revocation_while_a_program_runs_is_told(live: Live, admin: Caller) -> None:
    who = live.workload(admin, "fired")
    program = "import signal; print('ready', flush=True); signal.pause()"
    with who.running("exec", "--", PYTHON, "-c", program) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        admin.nomoat("revoke", "workload", "fired")
        assert "not renewed" in process.stderr.readline()
        assert process.stderr.readline().startswith("refused: ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM


def test_the_settings_are_for_a_shell_and_for_programs(job: Caller) -> None:
    settings = job.nomoat("env", "hub", "--json").json()
    said = job.nomoat("env", "hub")
    assert said.code == 0
    script = f"{said.out}\nenv"
    shell = subprocess.run(
        ["/bin/sh", "-c", script], env={"HF_TOKEN": "other"}, capture_output=True, text=True, check=True
    )
    environment = dict(line.split("=", 1) for line in shell.stdout.splitlines())
    assert "HF_TOKEN" not in environment
    assert isinstance(settings["set"], dict)
    assert settings["set"].items() <= environment.items()


def test_a_bound_token_is_useless_as_a_bearer(job: Caller) -> None:
    import httpx2

    from nomoat.client.transport import pinned_context

    settings = job.nomoat("env", "hub", "--json").json()["set"]
    assert isinstance(settings, dict)
    context = pinned_context((job.profile / "ca.pem").read_text())
    statuses = {}
    for kind in ("--bound", "--json"):
        said = job.nomoat("token", kind, "--json")
        token = json.loads(said.out)["access_token"]
        with httpx2.Client(verify=context) as client:
            answer = client.get(f"{settings['HF_ENDPOINT']}/v1/whoami", headers={"authorization": f"Bearer {token}"})
        statuses[kind] = answer.status_code
    assert statuses == {"--bound": 401, "--json": 200}
