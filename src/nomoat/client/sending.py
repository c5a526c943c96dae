"""Sends a model's files by the stock client, in one commit: `nomoat publish` runs this as a process of its own.

Rules: it reads what to send as JSON from its standard input, and its settings from the environment, before the client
is imported. It answers with the commit's id, or with why there is none and 1.
"""

import json
import sys
from typing import Any, Final

from nomoat.attestation.model_signature import FILE_NAME

INTERRUPTED: Final = 130  # 128 + SIGINT


def main() -> int:
    """Make a branch exactly the files that are named, and say what came of it."""
    try:
        sys.stdout.write(f"{_send(json.load(sys.stdin))}\n")
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the boundary: whatever the client raises is told in a sentence
        sys.stdout.write(f"{_sentence(error)}\n")
        return 1
    return 0


def _send(asked: dict[str, Any]) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError  # noqa: PLC0415

    files: dict[str, str] = asked["files"]
    repository, branch = asked["repository"], asked["branch"]
    client = HfApi()
    try:
        # The commit goes on top of the newest version, which need not be the one that is served.
        there = client.list_repo_files(repository, revision="candidate" if branch == "main" else branch)
    except RepositoryNotFoundError:  # it may be declared, and nobody made it yet
        client.create_repo(repository)
        there = []
    except HfHubHTTPError:  # the newest one is not for who publishes to see
        there = client.list_repo_files(repository, revision=branch)
    operations: list[Any] = [CommitOperationAdd(path, place) for path, place in files.items()]
    operations += [CommitOperationDelete(path) for path in there if path not in files and path != FILE_NAME]
    made = client.create_commit(repository, operations, commit_message=asked["title"], revision=branch)
    return str(made.oid)


def _sentence(error: BaseException) -> str:
    """What the gateway said of it, which may be the cause of what the client says."""
    cause: BaseException | None = error
    while cause is not None:
        if said := getattr(cause, "server_message", None):
            return str(said).removeprefix("refused: ")
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
