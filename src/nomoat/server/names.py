"""Names in a data directory that more than one process must agree on."""

from typing import Final

from nomoat.server.configuration import Configuration

INDEX_FILE: Final = "index.db"
"""The index beside the log: derived, encrypted, safe to remove at any time."""
CONTENTS: Final = "contents"
"""The folder of what was asked of models and what they said, where that is kept."""
KEYS: Final = ("authority", "authority-certificate", "tokens", "server", "log", "pseudonyms")
"""The wrapped keys of a data directory: none of them can be made again."""


def log_origin(configuration: Configuration) -> str:
    """Return what the log of a trust domain calls itself in checkpoints."""
    return f"{configuration.trust_domain}/log"
