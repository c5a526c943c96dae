"""A model that the gateway signed, downloaded by a stock client in both of its ways, and verified as it lies there."""

import json
from pathlib import Path

from nomoat.attestation.model_signature import sign_model
from tests.attestation.models import CONTENTS, manifest_of, new_key, write_model, write_public
from tests.cli.live import Caller
from tests.hub.live import Live

PUBLISH = """
    from huggingface_hub import HfApi
    HfApi().create_repo("acme/signed")
    HfApi().upload_folder(folder_path="signed", repo_id="acme/signed")
"""
DOWNLOAD = """
    import json
    from huggingface_hub import snapshot_download
    print(json.dumps([snapshot_download("acme/signed"), snapshot_download("acme/signed", local_dir="downloaded")]))
"""


def test_a_snapshot_verifies_as_the_stock_client_leaves_it(live: Live) -> None:
    live.declare('[[model]]\nname = "acme/signed"\nclassification = "internal"\nreview = "none"\n')
    key = new_key()
    folder = write_model(live.root / "signed")
    (folder / "model.sig").write_bytes(sign_model("acme/signed", manifest_of(), key))
    live.done("train", PUBLISH)
    cache, local = map(Path, json.loads(live.done("train", DOWNLOAD)))
    assert (cache / "config.json").is_symlink()
    assert (local / ".cache" / "huggingface" / "download").is_dir()
    caller = Caller(live.root / "home")
    demanded = ["--profile", live.profiles["train"].name, "--json"]  # signed by the gateway that it is logged in to
    sent = ["--key", str(write_public(live.root / "key.pem", key)), "--json"]
    for snapshot in (cache, local):
        said = caller.nomoat("verify", str(snapshot), *demanded)
        assert said.code == 0, said.out
        assert said.json()["files"] == len(CONTENTS)
        assert said.json()["publisher"] == "workload:train"
        said = caller.nomoat("verify", str(snapshot), *sent)
        assert (said.code, said.json()["reason"]) == (4, "signer"), "what was sent as a signature is replaced"
        (snapshot / "model.safetensors").unlink()
        (snapshot / "model.safetensors").write_bytes(b"others")
        said = caller.nomoat("verify", str(snapshot), *demanded)
        assert said.code == 4
        assert said.json()["differences"] == [{"path": "model.safetensors", "fault": "changed"}]
