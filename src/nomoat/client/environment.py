"""What a stock client needs in its environment to work through the gateway.

Rules: whatever could make the client send another credential, or send ours elsewhere, is unset. The
token is in a file, never in the environment, so that it can be replaced while a program runs. The
caches are the profile's own, whatever the caller chose: clients answer a refusal from their cache, so
a shared one would hand one identity what another was given.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from nomoat.client.profiles import Identity, Profile


@dataclass(frozen=True, slots=True)
class Settings:
    """Variables to set, and variables to remove because they would override those."""

    set: Mapping[str, str]
    unset: tuple[str, ...]

    def applied(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return `environment` with these settings."""
        kept = {name: value for name, value in environment.items() if name not in self.unset}
        return {**kept, **self.set}

    def shell(self) -> str:
        """Return the settings as quoted lines for a POSIX shell's `eval`."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.set.items()]
        return "\n".join([f"unset {' '.join(self.unset)}", *lines])


def hub(profile: Profile, identity: Identity) -> Settings:
    """Return the settings for Hugging Face clients (huggingface_hub and what is built on it).

    Makes the folder of their caches.
    """
    cache = profile.create_cache(identity.subject)
    return Settings(
        set={
            "HF_ENDPOINT": identity.url,
            "HF_TOKEN_PATH": str(profile.token_path),  # read anew for every request
            "SSL_CERT_FILE": str(profile.ca_path),  # replaces the system's authorities
            "HF_HUB_DISABLE_XET": "1",  # uploads would go to another service than the endpoint
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_CACHE": str(cache / "hub"),
            "HF_ASSETS_CACHE": str(cache / "assets"),
            "HF_XET_CACHE": str(cache / "xet"),
            "HF_DATASETS_CACHE": str(cache / "datasets"),
        },
        unset=(
            "HF_TOKEN",  # these three come before the token file
            "HUGGING_FACE_HUB_TOKEN",
            "HF_OIDC_RESOURCE",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN",  # would send no token at all
            "HUGGINGFACE_CO_STAGING",  # comes before HF_ENDPOINT and HF_TOKEN_PATH
            "TRANSFORMERS_CACHE",  # these three come before HF_HUB_CACHE in older clients
            "PYTORCH_TRANSFORMERS_CACHE",
            "PYTORCH_PRETRAINED_BERT_CACHE",
        ),
    )


TOOLS = {"hub": hub}
