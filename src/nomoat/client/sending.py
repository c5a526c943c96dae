"""Sends a model's files by the stock client, in one commit: `nomoat publish` runs this as a process of its own.

Rules: it reads what to send as JSON from its standard input, and its settings from the environment, before the client
is imported. It answers with the commit's id, or with why there is none and 1.
"""

import json
import sys
from typing import Any


def main() -> int:
    """Make a branch exactly the files that are named."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError  # noqa: PLC0415

    asked = json.load(sys.stdin)
    files: dict[str, str] = asked["files"]
    repository, branch = asked["repository"], asked["branch"]
    client = HfApi()
    try:
        try:
            there = client.list_repo_files(repository, revision=branch)
        except RepositoryNotFoundError:  # it may be declared, and nobody made it yet
            client.create_repo(repository)
            there = []
        operations: list[Any] = [CommitOperationAdd(path, place) for path, place in files.items()]
        operations += [CommitOperationDelete(path) for path in there if path not in files and path != "model.sig"]
        made = client.create_commit(repository, operations, commit_message=asked["title"], revision=branch)
    except (HfHubHTTPError, OSError, ValueError) as error:
        sys.stdout.write(f"{getattr(error, 'server_message', None) or error}\n")
        return 1
    sys.stdout.write(f"{made.oid}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
