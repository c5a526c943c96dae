"""`nomoat publish`: a directory becomes a version by the stock client, with its publisher's own signature."""

import json
from pathlib import Path

import pytest

from tests.attestation.models import CONTENTS, write_model
from tests.cli.live import Caller, Said
from tests.hub.live import Live

DOWNLOAD = """
    import json
    from huggingface_hub import snapshot_download
    print(json.dumps([snapshot_download("acme/published", local_dir="taken")]))
"""


@pytest.fixture
def publisher(live: Live) -> Caller:
    live.declare('[[model]]\nname = "acme/published"\nclassification = "internal"\nreview = "none"\n')
    return Caller(live.root / "home")


def publish(live: Live, caller: Caller, folder: Path, *more: str) -> Said:
    return caller.nomoat("publish", str(folder), "acme/published", "--profile", live.profiles["train"].name, *more)


def test_a_published_model_carries_both_signatures_and_verifies_offline(live: Live, publisher: Caller) -> None:
    folder, profile = write_model(live.root / "mine"), ["--profile", live.profiles["train"].name]
    said = publish(live, publisher, folder, "--json")
    assert said.code == 0, said.err + said.out
    assert said.json()["files"] == len(CONTENTS)
    assert said.json()["signer"] == "spiffe://acme.example/train"
    (folder / "added.txt").write_text("more")
    (folder / "config.json").unlink()
    said = publish(live, publisher, folder)
    assert said.code == 0, said.err + said.out
    assert "nomoat versions acme/published" in said.err
    (taken,) = map(Path, json.loads(live.done("train", DOWNLOAD)))
    assert (taken / "added.txt").exists()
    assert not (taken / "config.json").exists(), "the branch is exactly the directory"
    said = publisher.nomoat("verify", str(taken), "--publisher-signed", *profile, "--json")
    assert said.code == 0, said.out
    assert (said.json()["publisher"], said.json()["publisher_signed"]) == ("workload:train", True)
    assert "who signed it too" in publisher.nomoat("verify", str(taken), *profile).out
    # Published again from what was downloaded, without a change: nothing is.
    before = said.json()["root"]
    assert publish(live, publisher, taken).code == 0
    # Another commit, by a stock client: the signature goes with what it was over.
    live.done("train", 'from huggingface_hub import HfApi; HfApi().delete_file("added.txt", "acme/published")')
    (taken / "publisher.sig").unlink()
    live.done("train", DOWNLOAD)
    (taken / "added.txt").unlink()
    said = publisher.nomoat("verify", str(taken), *profile, "--json")
    assert (said.code, said.json()["publisher_signed"]) == (0, False), said.out
    assert said.json()["root"] != before
    said = publisher.nomoat("verify", str(taken), "--publisher-signed", *profile)
    assert (said.code, "its publisher did not sign it" in said.out) == (4, True)


def test_what_cannot_be_published_says_why(live: Live, publisher: Caller) -> None:
    empty = live.root / "empty"
    empty.mkdir()
    said = publish(live, publisher, empty)
    assert (said.code, "no files to publish" in said.err) == (1, True)
    live.declare('[[model]]\nname = "acme/forbidden"\nclassification = "restricted"\n')
    folder = write_model(live.root / "other")
    said = publisher.nomoat("publish", str(folder), "acme/forbidden", "--profile", live.profiles["train"].name)
    assert (said.code, "not" in said.err, "Traceback" in said.err) == (1, True, False), said.err


def test_a_model_whose_newest_version_nobody_approved_becomes_exactly_the_directory_too(
    live: Live, publisher: Caller
) -> None:
    """What is served is another version than the one that the commit goes on."""
    live.declare('[[model]]\nname = "acme/reviewed"\nclassification = "internal"\n')
    folder, profile = write_model(live.root / "reviewed"), ["--profile", live.profiles["train"].name]
    said = publisher.nomoat("publish", str(folder), "acme/reviewed", *profile)
    assert said.code == 0, said.err
    (folder / "config.json").unlink()
    (folder / "more.txt").write_text("more")
    said = publisher.nomoat("publish", str(folder), "acme/reviewed", *profile)
    assert said.code == 0, said.err
    files = "from huggingface_hub import HfApi; print(HfApi().list_repo_files('acme/reviewed', revision='candidate'))"
    assert "more.txt" in live.done("train", files)
    assert "config.json" not in live.done("train", files)


def test_a_content_that_is_refused_is_told_in_a_sentence(live: Live, publisher: Caller) -> None:
    folder = write_model(live.root / "bad")
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    said = publish(live, publisher, folder)
    assert (said.code, "pickle.dangerous-global" in said.err) == (1, True), said.err
    assert "Traceback" not in said.err
    assert "refused: refused" not in said.err


def test_code_that_lies_in_a_model_is_published_and_never_run(
    live: Live, publisher: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(live.root / "with-code")
    for name in ("huggingface_hub.py", "json.py", "nomoat.py"):
        (folder / name).write_text(f"open({str(live.root / 'ran')!r}, 'w').close()\n")
    monkeypatch.chdir(folder)  # as who publishes the directory they are in
    profile = live.profiles["train"].name
    said = publisher.nomoat("publish", ".", "acme/published", "--profile", profile, "--json", PYTHONPATH="")
    assert not (live.root / "ran").exists(), "it ran with the profile's identity at hand"
    assert (said.code, said.json()["files"]) == (0, len(CONTENTS) + 3), said.err + said.out


def test_a_link_in_a_model_does_not_have_the_signature_written_over_another_file(live: Live, publisher: Caller) -> None:
    folder = write_model(live.root / "with-link")
    (folder / ".publisher.sig.partial").symlink_to("config.json")
    before = (folder / "config.json").read_bytes()
    said = publish(live, publisher, folder)
    assert (said.code, (folder / "config.json").read_bytes()) == (0, before), said.err
