"""What a stock client needs in its environment to work through the gateway.

Rules: whatever could make the client send another credential, or send ours elsewhere, is unset. The
token, or the key of the proxy, is in a file and not in the environment, where every child would have it; but for the clients of
models, which read it nowhere else, and get the key of the proxy alone: it means nothing anywhere else. The
caches are the profile's own, whatever the caller chose: clients answer a refusal from their cache, so
a shared one would hand one identity what another was given. Coding assistants also read where their server is from the
repository that they work in, whose author may be anybody: what they are told on their command line goes before that.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nomoat.client.entrance import Entrance
from nomoat.client.profiles import Identity, Profile


@dataclass(frozen=True, slots=True)
class Settings:
    """Variables to set, and variables to remove because they would override those.

    `program` is the command that has to be given `arguments` besides, before its own; '' for none.
    """

    set: Mapping[str, str]
    unset: tuple[str, ...]
    program: str = ""
    arguments: tuple[str, ...] = ()

    def applied(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return `environment` with these settings."""
        kept = {name: value for name, value in environment.items() if name not in self.unset}
        return {**kept, **self.set}

    def shell(self) -> str:
        """Return the settings as quoted lines for a POSIX shell's `eval`."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.set.items()]
        if self.program:
            lines.append(f'{self.program}() {{ command {shlex.join([self.program, *self.arguments])} "$@"; }}')
        return "\n".join([f"unset {' '.join(self.unset)}", *lines])


_UNSET = (
    "HF_TOKEN",  # these three come before the token file
    "HUGGING_FACE_HUB_TOKEN",
    "HF_OIDC_RESOURCE",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",  # would send no token at all
    "HUGGINGFACE_CO_STAGING",  # comes before HF_ENDPOINT and HF_TOKEN_PATH
    "TRANSFORMERS_CACHE",  # these three come before HF_HUB_CACHE in older clients
    "PYTORCH_TRANSFORMERS_CACHE",
    "PYTORCH_PRETRAINED_BERT_CACHE",
    "HF_DATASETS_DOWNLOADED_DATASETS_PATH",  # these two are in HF_DATASETS_CACHE otherwise
    "HF_DATASETS_EXTRACTED_DATASETS_PATH",
)

_UNSET_MODELS = (
    "ANTHROPIC_API_KEY",  # would be sent besides
    "ANTHROPIC_API_URL",  # LangChain's name, which comes first there
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_BEDROCK_BASE_URL",  # these lead Claude Code elsewhere
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_OAUTH_TOKEN",  # of an account with Anthropic
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "AIDER_OPENAI_API_BASE",  # these lead aider elsewhere
    "AIDER_OPENAI_API_KEY",
    "AIDER_SET_ENV",
    "AIDER_API_KEY",
)


def hub(profile: Profile, identity: Identity) -> Settings:
    """Return the settings for Hugging Face clients (huggingface_hub and what is built on it), straight to the gateway.

    Makes the folder of their caches.
    """
    straight = {"SSL_CERT_FILE": str(profile.ca_path)}  # replaces the system's authorities
    return _hub(profile, identity, identity.url, profile.token_path, straight)


def hub_through(entrance: Entrance, profile: Profile, identity: Identity, environment: Mapping[str, str]) -> Settings:
    """Return the same for the proxy at `entrance`, in addition to `environment`. Makes the folder of their caches."""
    return _hub(profile, identity, entrance.url, entrance.token_path, _around_web_proxies(environment))


def models_through(tool: str, entrance: Entrance, environment: Mapping[str, str]) -> Settings:
    """Return the settings of one of `MODEL_TOOLS` for the proxy at `entrance`, in addition to `environment`."""
    key = entrance.token_path.read_text(encoding="ascii")
    program, arguments = _ASSISTANTS.get(tool, ("", lambda _: ()))
    return Settings(
        set={
            "OPENAI_BASE_URL": f"{entrance.url}/v1",
            "OPENAI_API_BASE": f"{entrance.url}/v1",  # of older clients, and aider
            "OPENAI_API_KEY": key,
            "ANTHROPIC_BASE_URL": entrance.url,
            "ANTHROPIC_AUTH_TOKEN": key,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",  # telemetry, reports of errors, updates
            "AIDER_ANALYTICS_DISABLE": "true",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # aider would ask GitHub for prices
            **_around_web_proxies(environment),
        },
        unset=_UNSET_MODELS,
        program=program,
        arguments=arguments(entrance.url),
    )


def _aider(url: str) -> tuple[str, ...]:
    # It reads the repository's .env over its environment, and this over that.
    return tuple(word for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE") for word in ("--set-env", f"{name}={url}/v1"))


def _claude(url: str) -> tuple[str, ...]:
    # The "env" of the repository's .claude/settings.json goes before its environment, and this before that.
    return ("--settings", json.dumps({"env": {"ANTHROPIC_BASE_URL": url}}))


def _codex(url: str) -> tuple[str, ...]:
    # It has no variable for an address: without these it would ask OpenAI.
    provider = f'{{name="NoMoat",base_url="{url}/v1",env_key="OPENAI_API_KEY",wire_api="responses"}}'
    return ("-c", "model_provider=nomoat", "-c", f"model_providers.nomoat={provider}")


def _around_web_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Otherwise a client that uses a web proxy would send the key, and what it reads, by way of that one."""
    given = {name: environment.get(name, "") for name in ("NO_PROXY", "no_proxy")}
    return {name: ",".join(filter(None, [value, "127.0.0.1,localhost,::1"])) for name, value in given.items()}


def _hub(profile: Profile, identity: Identity, url: str, token_path: Path, more: Mapping[str, str]) -> Settings:
    cache = profile.create_cache(identity.subject)
    return Settings(
        set={
            "HF_ENDPOINT": url,
            "HF_TOKEN_PATH": str(token_path),  # read anew for every request
            **more,
            "HF_HUB_DISABLE_XET": "1",  # uploads would go to another service than the endpoint
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_CACHE": str(cache / "hub"),
            "HF_ASSETS_CACHE": str(cache / "assets"),
            "HF_XET_CACHE": str(cache / "xet"),
            "HF_DATASETS_CACHE": str(cache / "datasets"),
            "HF_MODULES_CACHE": str(cache / "modules"),  # code that came with a model or dataset, which they run
        },
        unset=_UNSET,
    )


# What each tool is built on: these speak to the Hub by huggingface_hub …
TOOLS = ("datasets", "duckdb", "hub", "pandas", "transformers")
# … and these to a model, the assistants among them by a command of their own.
_ASSISTANTS: Final[Mapping[str, tuple[str, Callable[[str], tuple[str, ...]]]]] = {
    "aider": ("aider", _aider),
    "claude-code": ("claude", _claude),
    "codex": ("codex", _codex),
}
MODEL_TOOLS = ("anthropic", "openai", *_ASSISTANTS)
