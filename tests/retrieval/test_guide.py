"""The guide's declaration, files and commands, as they stand there."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.live import Caller
from tests.hub.live import ADMIN
from tests.inference.vectors import GOOD
from tests.retrieval.conftest import Library
from tests.retrieval.test_model_directories import model

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "searching-documents.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
MAY_ASK = """
[[person]]
name = "fin@acme.example"
groups = ["index-readers", "finance", "model-users"]
clearance = "confidential"
"""
TRAVEL = "---\nyear: 2026\n---\n# Travel\n\nThe budget for travel is approved by the head of finance.\n"
LEAVE = "# Leave\n\nEverybody has thirty days. Travel is booked by oneself.\n"
MAIL = "From: fin@acme.example\nTo: lib@acme.example\nSubject: travel\n\nThe budget is approved, between us.\n"


def laid_out(declared: str, access: str, scripts: dict[str, str]) -> None:
    """The files of the guide, in the current directory."""
    Path("docs/finance").mkdir(parents=True)
    files = {
        "handbook.toml": declared,
        "docs/.access.toml": access,
        "docs/finance/travel.md": TRAVEL,
        "docs/leave.md": LEAVE,
        "docs/mail.eml": MAIL,
        **scripts,
    }
    for name, content in files.items():
        Path(name).write_text(content)


def test_the_commands_of_the_guide_run(library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    declared, minutes, directory, asked = [fence for language, fence in FENCES if language == "toml"]
    (access,) = [fence for language, fence in FENCES if language == "access"]
    script, ours, upload, answering = [fence for language, fence in FENCES if language == "python"]
    commands = [line for language, fence in FENCES if not language for line in fence.strip().splitlines()]
    apply, add, believe, fin, joe, ask, plain, apply_more, put, answer, shred, audit, *another = commands
    caller = Caller(library.live.root / "home")
    monkeypatch.chdir(tmp_path)
    laid_out(declared, access, {"search.py": script, "answer.py": answering, "passages.py": ours, "upload.py": upload})
    profiles = {"": library.live.profiles[ADMIN].name}

    def run(command: str, *more: str) -> str:
        who, _, rest = command.rpartition("nomoat ")
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", rest)]
        profile = ["--profile", profiles[who.removeprefix("NOMOAT_PROFILE=").strip()]]
        here = words[:2] == ["index", "pin"]  # it asks nobody
        said = caller.nomoat(*words, *more, *([] if here else profile))
        assert said.code == 0, said.err
        return said.out

    run(apply, "--yes")
    for name in ("lib", "fin", "joe"):
        profiles[name] = library.live.join(f"person:{name}@acme.example").name
    assert "3 documents sent, 0 removed, 0 as they were" in run(add)
    assert "0 documents sent, 0 removed, 3 as they were" in run(add)
    assert "mail.eml#0" in run(joe), "nobody believes it yet"
    assert "3 documents sent" in run(believe), "what they say counts from now on"
    found, hidden = run(fin), run(joe)
    assert "finance/travel.md#0" in found
    assert "head of finance" in found
    assert "finance" not in hidden
    assert "leave.md#0" in hidden
    assert "mail.eml" not in hidden
    Path("docs/mail.eml").write_text(MAIL.replace("between us", "between the two of us"))
    assert "1 document sent" in run(believe)
    assert "mail.eml" not in run(joe)
    assert "mail.eml" in run(fin)
    library.live.declare(MAY_ASK)
    for line, file in ((ask, "search.py"), (answer, "answer.py")):
        assert line.endswith(f"nomoat exec --tool openai -- python {file}")
        command = ["exec", "--tool", "openai", "--profile", profiles["fin"], "--", sys.executable, file]
        with caller.running(*command) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "finance/travel.md" in out
    assert plain == "NOMOAT_PROFILE=fin python passages.py"
    home = {**os.environ, "NOMOAT_HOME": str(library.live.root / "home"), "NOMOAT_PROFILE": profiles["fin"]}
    told = subprocess.run([sys.executable, "passages.py"], env=home, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "finance/travel.md" in told.stdout
    assert "fin@acme.example" in run(audit)
    put_in_by_a_client(run, caller, (apply_more, put), minutes, profiles["lib"])
    gone(run, shred, add, fin, joe)
    another_embedder(run, (directory, asked), another, library)
    assert "leave.md#0" in run(joe.replace("search", "search --by keyword"))


def gone(run: Callable[..., str], shred: str, add: str, fin: str, joe: str) -> None:
    """A file that is no more, and the guide's part on shredding; the folder can be put in again."""
    Path("docs/finance/travel.md").unlink()
    assert "1 removed" in run(add)
    assert "finance/travel.md" not in run(fin)
    assert "the key of this label" in run(shred, "--yes")
    assert "leave.md" not in run(joe.replace("search", "search --by keyword"))
    assert "2 documents sent" in run(add)


def put_in_by_a_client(
    run: Callable[..., str], caller: Caller, commands: tuple[str, str], declared: str, profile: str
) -> None:
    """The guide's part on OpenAI's client that puts files in."""
    apply, put = commands
    Path("minutes.toml").write_text(declared)
    Path("minutes.md").write_text("# Minutes\n\nThe pavilion is painted in May.\n")
    run(apply, "--yes")
    assert put.endswith("nomoat exec --tool openai -- python upload.py")
    command = ["exec", "--tool", "openai", "--profile", profile, "--", sys.executable, "upload.py"]
    with caller.running(*command) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.strip() == "minutes.md completed ['minutes.md']"


def another_embedder(run: Callable[..., str], declared: tuple[str, str], commands: list[str], library: Library) -> None:
    """The guide's last part, with a model of this test's own and the simulator in the place of a server."""
    pin, apply, add, audit = commands
    in_directory, asked = declared
    model(Path("static-model"))
    said = run(pin)
    assert re.sub(r'"[^"]*"', '""', said).strip() in re.sub(r'"[^"]*"', '""', in_directory), "as the guide shows it"
    library.live.declare(re.sub(r"embedder = .*\n", said, in_directory))
    assert library.search("bob", "leave", index="company", ranking_options={"ranker": "vector"})[0] == 200
    here = asked.replace("127.0.0.1:8000", f"127.0.0.1:{library.upstream.port}").replace("bge-m3", GOOD)
    Path("asked.toml").write_text(here)
    run(apply, "--yes")
    library.upstream.asked.clear()
    assert "2 documents sent" in run(add)
    assert {path for path, _, _ in library.upstream.asked} == {"/v1/embeddings"}
    assert "acme/embeddings" in run(audit)
