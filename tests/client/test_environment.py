"""What `nomoat env hub` says is what an unmodified Hugging Face client does."""

import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nomoat.client.entrance import Entrance
from nomoat.client.environment import MODEL_TOOLS, TOOLS, hub, hub_through, models_through
from nomoat.client.profiles import Identity, Profile

IDENTITY = Identity(
    "https://gateway.example:8443", "acme.example", "person:a", "spiffe://acme.example/a", "d", "s", "k"
)

PROBE = """
import json
from huggingface_hub import constants, get_token
from huggingface_hub.utils import build_hf_headers
print(json.dumps({"endpoint": constants.ENDPOINT, "token": get_token(), "xet": constants.HF_HUB_DISABLE_XET,
                  "headers": build_hf_headers(), "telemetry": constants.HF_HUB_DISABLE_TELEMETRY,
                  "caches": [constants.HF_HUB_CACHE, constants.HF_ASSETS_CACHE, constants.HF_XET_CACHE]}))
"""

# Every variable by which huggingface_hub could come to another token, endpoint, cache or none at all.
HOSTILE = {
    "HF_TOKEN": "hf_other",
    "HUGGING_FACE_HUB_TOKEN": "hf_older",
    "HF_OIDC_RESOURCE": "somebody",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HUGGINGFACE_CO_STAGING": "1",
    "HF_ENDPOINT": "https://huggingface.co",
    "HF_TOKEN_PATH": "/nonexistent",
    "HF_HUB_DISABLE_XET": "0",
    "HF_HOME": "/shared",
    "HF_HUB_CACHE": "/shared/hub",
    "HUGGINGFACE_HUB_CACHE": "/shared/hub",
    "HF_ASSETS_CACHE": "/shared/assets",
    "HF_XET_CACHE": "/shared/xet",
    "HF_DATASETS_CACHE": "/shared/datasets",
    "HF_DATASETS_DOWNLOADED_DATASETS_PATH": "/shared/downloads",
    "HF_DATASETS_EXTRACTED_DATASETS_PATH": "/shared/extracted",
    "HF_MODULES_CACHE": "/shared/modules",
}

# Where each tool sends its requests, and where it keeps what they brought, in its own words.
KEPT = {
    "datasets": """
import datasets.config as of
told = of.HF_ENDPOINT, [of.HF_DATASETS_CACHE, of.DOWNLOADED_DATASETS_PATH, of.EXTRACTED_DATASETS_PATH, of.HF_MODULES_CACHE]
""",
    "duckdb": """
import duckdb
from huggingface_hub import HfFileSystem, constants
duckdb.connect().register_filesystem(HfFileSystem())
told = HfFileSystem().endpoint, [constants.HF_HUB_CACHE]
""",
    "hub": """
import huggingface_hub.constants as of
told = of.ENDPOINT, [of.HF_HUB_CACHE, of.HF_ASSETS_CACHE, of.HF_XET_CACHE]
""",
    "pandas": """
import fsspec, pandas
from huggingface_hub import constants
told = fsspec.filesystem("hf").endpoint, [constants.HF_HUB_CACHE]
""",
    "transformers": """
import transformers.utils.hub as of
told = of.constants.ENDPOINT, [of.constants.HF_HUB_CACHE, of.HF_MODULES_CACHE]
""",
}


def profile_in(directory: Path) -> Profile:
    profile = Profile("p", directory / "it's a 'b'")
    profile.create()
    profile.write("hub/token", b"eyJ.token.one")
    return profile


def probe(environment: dict[str, str]) -> dict[str, object]:
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def expect(answer: dict[str, object], profile: Profile) -> None:
    headers, caches = answer.pop("headers"), answer.pop("caches")
    own = profile.create_cache(IDENTITY.subject)
    assert caches == [str(own / "hub"), str(own / "assets"), str(own / "xet")]
    assert isinstance(headers, dict)
    assert headers["authorization"] == "Bearer eyJ.token.one"
    assert answer == {"endpoint": IDENTITY.url, "token": "eyJ.token.one", "xet": True, "telemetry": True}


def test_no_other_setting_overrides_ours(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    settings = hub(profile, IDENTITY)
    expect(probe(settings.applied({"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **HOSTILE})), profile)


def test_no_profile_and_no_identity_shares_a_cache_with_another(tmp_path: Path) -> None:
    # Otherwise a client that is refused would take the file from what another one was given.
    one, other = profile_in(tmp_path / "one"), profile_in(tmp_path / "other")
    named = ("HF_HUB_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE", "HF_DATASETS_CACHE")
    settings = [hub(one, IDENTITY), hub(other, IDENTITY), hub(one, replace(IDENTITY, subject="person:../../b"))]
    caches = [made.set[name] for made in settings for name in named]
    assert len(set(caches)) == len(caches)
    for made, profile in zip(settings, (one, other, one), strict=True):
        folder = Path(made.set["HF_HUB_CACHE"]).parent
        assert folder.resolve().is_relative_to(profile.directory.resolve())
        assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}


def test_every_tool_has_its_words() -> None:
    assert set(KEPT) == set(TOOLS)


@pytest.mark.parametrize("tool", TOOLS)
def test_attack_a_folder_that_all_share_has_nothing_that_one_identity_was_given(tool: str, tmp_path: Path) -> None:
    """A client answers from it where the gateway refuses, and runs the code in it (transformers' modules)."""
    profile = profile_in(tmp_path)
    environment = hub(profile, IDENTITY).applied({"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **HOSTILE})
    script = KEPT[tool] + "\nimport json; print(json.dumps([told[0], [str(path) for path in told[1]]]))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    endpoint, kept = json.loads(done.stdout)
    assert endpoint == IDENTITY.url
    own = profile.create_cache(IDENTITY.subject)
    assert [path for path in kept if not Path(path).is_relative_to(own)] == []


def test_the_shell_lines_say_the_same(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    settings = hub(profile, IDENTITY)
    script = f'set -eu\n{settings.shell()}\nexec "$PYTHON" -c "$PROBE"\n'
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "PROBE": PROBE, **HOSTILE}
    done = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    expect(json.loads(done.stdout), profile)


def test_the_token_itself_is_in_no_variable(tmp_path: Path) -> None:
    settings = hub(profile_in(tmp_path), IDENTITY)
    assert "eyJ" not in settings.shell()


def test_a_replaced_token_is_used_by_the_next_request_of_a_running_program(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    program = "from huggingface_hub import get_token\nfor _ in range(2):\n  print(get_token(), flush=True); input()\n"
    environment = hub(profile, IDENTITY).applied({"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "eyJ.token.one\n"
        profile.write("hub/token", b"eyJ.token.two")
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "eyJ.token.two\n"
        child.stdin.write("\n")
        child.stdin.close()
        assert child.wait(10) == 0


def test_through_a_proxy_no_token_and_no_web_proxy_is_used(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    key = tmp_path / "key"
    key.write_text("nomoat-proxy-key")
    hostile = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **HOSTILE, "HTTP_PROXY": "http://web.proxy:3128"}
    settings = hub_through(Entrance("http://127.0.0.1:7000", key), profile, IDENTITY, {**hostile, "no_proxy": "corp"})
    environment = settings.applied(hostile)
    answer = probe(environment)
    assert (answer["endpoint"], answer["token"], answer["xet"]) == ("http://127.0.0.1:7000", "nomoat-proxy-key", True)
    assert environment["no_proxy"] == "corp,127.0.0.1,localhost,::1"
    assert environment["NO_PROXY"] == "127.0.0.1,localhost,::1"
    assert "SSL_CERT_FILE" not in settings.set, "its other connections keep the system's authorities"
    assert "eyJ.token.one" not in json.dumps(answer)


LED_ELSEWHERE = {
    "ANTHROPIC_API_KEY": "sk-ant-other",
    "ANTHROPIC_API_URL": "https://api.anthropic.com",
    "ANTHROPIC_BASE_URL": "https://api.anthropic.com",
    "ANTHROPIC_AUTH_TOKEN": "other",
    "CLAUDE_CODE_USE_BEDROCK": "1",
    "CLAUDE_CODE_OAUTH_TOKEN": "other",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_API_BASE": "https://api.openai.com/v1",
    "OPENAI_API_KEY": "sk-other",
    "AIDER_OPENAI_API_BASE": "https://api.openai.com/v1",
    "AIDER_SET_ENV": "OPENAI_BASE_URL=https://api.openai.com/v1",
}


@pytest.mark.parametrize("tool", MODEL_TOOLS)
def test_nothing_leads_a_client_of_models_elsewhere(tool: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("nomoat-proxy-key")
    settings = models_through(tool, Entrance("http://127.0.0.1:7000", key), LED_ELSEWHERE)
    environment = settings.applied(LED_ELSEWHERE)
    assert "other" not in str(environment)
    assert not {"api.openai.com", "api.anthropic.com"} & {
        str(value).split("/")[2] for value in environment.values() if "//" in value
    }
    assert key.read_text() not in str(settings.arguments), "what is on a command line is read by every process"


@pytest.mark.parametrize("tool", MODEL_TOOLS)
def test_the_shell_lines_give_an_assistant_its_arguments(tool: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("nomoat-proxy-key")
    settings = models_through(tool, Entrance("http://127.0.0.1:7000", key), {})
    program = tmp_path / (settings.program or "program")
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o700)
    script = f"set -eu\n{settings.shell()}\n{program.name} --its-own 'two words'\n"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*settings.arguments, "--its-own", "two words"]
