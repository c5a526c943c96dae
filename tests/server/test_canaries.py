"""Nothing confidential lies in plaintext in the data directory: not data, names of files, repositories or people,
not a token, a code or an upload URL."""

from pathlib import Path

from tests.hub.live import ADMIN, Live, gateway

DECLARED = """
[[group]]
name = "canary-group-4f1"
[[person]]
name = "canary.person.7c2@acme.example"
groups = ["canary-group-4f1"]
[[dataset]]
name = "canary-space-9d3/canary-name-1b8"
classification = "confidential"
labels = ["canary-label-3e5"]
"""
CANARIES = [
    b"canary-group-4f1",
    b"canary.person.7c2",
    b"canary_2e",
    b"canary-space-9d3",
    b"canary-name-1b8",
    b"canary-label-3e5",
    b"canary-file-5a6",
    b"CANARY-CONTENT-8b7",
    b"canary-title-2c4",
    b"canary-missing-6d9",
    ADMIN.encode(),
    b"person:scientist",
]
SCRIPT = """
from huggingface_hub import HfApi
api = HfApi()
name = "canary-space-9d3/canary-name-1b8"
api.create_repo(name, repo_type="dataset")
small, large = b"CANARY-CONTENT-8b7 small", b"CANARY-CONTENT-8b7 large" * 500_000
for path, content in (("canary-file-5a6.txt", small), ("deep/canary-file-5a6.bin", large)):
    api.upload_file(
        path_or_fileobj=content, path_in_repo=path, repo_id=name, repo_type="dataset",
        commit_message="canary-title-2c4",
    )
print(len(open(api.hf_hub_download(name, "canary-file-5a6.txt", repo_type="dataset"), "rb").read()))
try:
    api.hf_hub_download(name, "canary-missing-6d9", repo_type="dataset")
except Exception as error:
    print(type(error).__name__)
"""


def everything(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def secrets_of(live: Live) -> list[bytes]:
    token = live.profiles["ingest"].read("hub/token")
    return [token, *(part for part in token.split(b".") if len(part) > 40)]


def test_no_canary_is_found_in_the_data_directory(tmp_path: Path) -> None:
    with gateway(tmp_path) as live:
        live.declare(DECLARED)
        assert "EntryNotFound" in live.done("ingest", SCRIPT)
        live.join("person:canary.person.7c2@acme.example")
        secrets = secrets_of(live)
        while_running = everything(live.directory)
    for files in (while_running, everything(live.directory)):
        assert len(files) > 8
        for path, content in files.items():
            for canary in [*CANARIES, *secrets]:
                assert canary.lower() not in content.lower(), f"{canary!r} lies in {path.name}"
                assert canary.lower() not in str(path.relative_to(live.directory)).lower().encode()


def test_the_canaries_were_really_there(tmp_path: Path) -> None:
    """The test above could find them: the log, read with its keys, speaks of every one."""
    with gateway(tmp_path) as live:
        live.declare(DECLARED)
        live.done("ingest", SCRIPT)
        told = repr(live.records(""))
        for canary in (
            b"canary-space-9d3",
            b"canary-name-1b8",
            b"canary-file-5a6",
            b"canary-missing-6d9",
            ADMIN.encode(),
        ):
            assert canary.decode() in told
