"""Every command of the guide about serving runs, in order, with the server of the demonstration, and leads to what it says."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import openai
import pytest

from examples.pipeline.language import save, train
from tests.cli.live import Caller, Live

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "guides"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = FENCE.findall((GUIDES / "serving-a-model.md").read_text(encoding="utf-8"))
COMMANDS = [line for language, fence in FENCES if not language for line in fence.splitlines()]
(DECLARED,) = [fence for language, fence in FENCES if language == "toml"]
(ASK,) = [
    fence for language, fence in FENCE.findall((GUIDES / "asking-models.md").read_text("utf-8")) if language == "python"
]
KEY = "a credential of the server's own".replace(" ", "-")
TEXT = "what a model learned by heart, it says by heart\n" * 4
PUBLISHER = '[[workload]]\nname = "train-tiny"\nsegment = "training"\nclearance = "confidential"\n'
PUBLISH = """
import sys
from huggingface_hub import create_repo, upload_folder
create_repo("acme/tiny-lm")
upload_folder(repo_id="acme/tiny-lm", folder_path=sys.argv[1])
"""


@contextmanager
def serving(command: list[str], folder: Path) -> Iterator[str]:
    """The server of the demonstration, started as the guide says; yields its port."""
    with (folder / "key.txt").open() as key:
        server = subprocess.Popen(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, stdin=key, stdout=subprocess.PIPE)
    with server:
        assert server.stdout is not None
        try:
            url = json.loads(server.stdout.readline())["url"]
            yield url.removesuffix("/v1").rpartition(":")[2]
        finally:
            server.kill()


@pytest.fixture
def callers(live: Live, admin: Caller) -> Mapping[str, Caller]:
    live.declare(admin, DECLARED + PUBLISHER)
    found = {"": admin}
    for who in ("train-tiny", "serving", "ada@acme.example", "approver@acme.example"):
        enrolled = ("enroll", who) if "@" in who else ("enroll", "--workload", who)
        code = str(admin.nomoat(*enrolled, "--json").json()["code"])
        name = who.partition("@")[0]
        found[name] = Caller(live.root / f"served-{name}")
        assert found[name].nomoat("login", live.url, "--code", code).code == 0
    return found


def published(callers: Mapping[str, Caller], folder: Path) -> str:
    """Train a model, publish and approve it; return its commit."""
    weights, losses = train(TEXT, 200)
    assert losses[-1] < losses[0] / 4
    (folder / "made").mkdir()
    save(weights, folder / "made")
    (folder / "publish.py").write_text(PUBLISH)
    done = callers["train-tiny"].nomoat("exec", "--", sys.executable, str(folder / "publish.py"), str(folder / "made"))
    assert done.code == 0, done.err
    (version,) = cast("list[Any]", callers["approver"].nomoat("versions", "acme/tiny-lm", "--json").json()["versions"])[
        :1
    ]
    commit = str(version["commit"])
    assert callers["approver"].nomoat("approve", "acme/tiny-lm", commit).code == 0
    return commit


def asked(caller: Caller, folder: Path) -> tuple[int, str, str]:
    """Ask as the guide says: exit code, what was printed, what went wrong."""
    with caller.running("exec", "--tool", "openai", "--", sys.executable, str(folder / "ask.py")) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_commands_of_the_guide_run(
    callers: Mapping[str, Caller], live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commit, admin = published(callers, tmp_path), callers[""]
    prompt = TEXT.splitlines()[0] + "\\n"
    (tmp_path / "ask.py").write_text(ASK.replace("acme/chat", "acme/coder").replace("say hello", prompt))
    (tmp_path / "key.txt").write_text(f"{KEY}\n")
    python, hf = [sys.executable], [sys.executable, "-m", "huggingface_hub.cli.hf"]
    meant = {"8000": ["0"], "COMMIT": [commit], "python": python, "hf": hf}
    commands: list[tuple[str, list[str]]] = []
    for line in COMMANDS:
        profile, words = "", shlex.split(line.partition(" < ")[0])
        if words[0].startswith("NOMOAT_PROFILE="):
            profile = words.pop(0).removeprefix("NOMOAT_PROFILE=")
        commands.append((profile, [part for word in words for part in meant.get(word, [word])]))
    fetch, verify, (_, serve), credential, loaded, ask, search, withdraw = commands

    def run(command: tuple[str, list[str]]) -> str:
        profile, (nomoat, *words) = command
        assert nomoat == "nomoat"
        said = callers[profile].nomoat(*words)
        assert said.code == 0, (words, said.out, said.err)
        return said.out

    run(fetch)
    assert "model verified" in run(verify)
    assert ask[1] == ["nomoat", "exec", "--tool", "openai", "--", *python, "ask.py"]
    with serving(serve, tmp_path) as port:
        live.declare(admin, DECLARED.replace(":8000", f":{port}"))
        with (tmp_path / "key.txt").open() as key:
            monkeypatch.setattr("sys.stdin", key)
            assert "has a credential for own-server" in run(credential)
        code, _, err = asked(callers["ada"], tmp_path)
        assert (code, "has said which weights it loaded" in err) == (1, True), err
        assert run(loaded).startswith("verified: ")
        code, out, err = asked(callers["ada"], tmp_path)
        assert (code, TEXT.splitlines()[0] in out) == (0, True), (out, err)
        (newest,) = json.loads(run(search))["records"]
        facts = newest["outcome"]["facts"]
        assert facts["weights"] == f"acme/tiny-lm@{commit}"
        found = admin.nomoat("audit", "search", "what ReportLoad", "--limit", "1", "--json")
        (told,) = cast("list[Any]", found.json()["records"])
        assert facts["weights_digest"] == told["outcome"]["facts"]["sha256"]
        assert (int(facts["input_tokens"]), int(facts["output_tokens"])) == (len(prompt) - 1, 256)
        run(withdraw)
        code, _, err = asked(callers["ada"], tmp_path)
        assert (code, "is withdrawn" in err) == (1, True), err


def test_the_server_answers_whoever_shows_its_credential_and_nobody_else(tmp_path: Path) -> None:
    save(train(TEXT, 200)[0], tmp_path)
    (tmp_path / "key.txt").write_text(f"{KEY}\n")
    command = [sys.executable, "-m", "examples.pipeline.answering", str(tmp_path), "--model", "tiny-lm"]
    line = TEXT.splitlines()[0] + "\n"
    with serving(command, tmp_path) as port:
        url = f"http://127.0.0.1:{port}/v1"
        stranger = openai.OpenAI(base_url=url, api_key="another", max_retries=0)
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.completions.create(model="tiny-lm", prompt=line)
        with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0) as gpt:
            whole = gpt.completions.create(model="tiny-lm", prompt=line, max_tokens=len(line))
            assert (whole.choices[0].text, whole.choices[0].finish_reason) == (line, "length")
            stream = gpt.chat.completions.create(
                model="tiny-lm",
                messages=[{"role": "user", "content": line}],
                max_tokens=len(line),
                stream=True,
                stream_options={"include_usage": True},
            )
            parts = list(stream)
            assert "".join(each.choices[0].delta.content or "" for each in parts if each.choices) == line
            assert parts[-1].usage is not None
            assert (parts[-1].usage.prompt_tokens, parts[-1].usage.completion_tokens) == (len(line), len(line))
            with pytest.raises(openai.NotFoundError):
                gpt.completions.create(model="other", prompt=line)
            with pytest.raises(openai.BadRequestError):
                gpt.completions.create(model="tiny-lm", prompt=line, max_tokens=10**9)
            with pytest.raises(openai.NotFoundError):
                gpt.embeddings.create(model="tiny-lm", input=line)
