"""An approved model in the hands of tools that know nothing of this project, each way: loaded by transformers and by
safetensors, refused as long as nobody approved it and once it is withdrawn, and verified by the command of OpenSSF."""

import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from time import time

import pytest

from tests.attestation.models import DAY, SIGNER, new_authority, new_key, write_certificates, write_key, write_public
from tests.cli.live import Said
from tests.hub.live import Live, printed
from tests.hub.ways import Way

NOW = int(time())  # the other command has a clock of its own
DECLARED = """
[[group]]
name = "approvers"
[[person]]
name = "judge-{way}"
groups = ["approvers"]
clearance = "confidential"
[[workload]]
name = "maker-{way}"
segment = "training"
clearance = "confidential"
[[workload]]
name = "deploy-{way}"
segment = "deployment"
clearance = "confidential"
[[model]]
name = "acme/{way}-words"
classification = "internal"
"""
PUBLISH = """
    import json, os
    import numpy
    from huggingface_hub import create_repo, upload_folder
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, PreTrainedTokenizerFast
    name = os.environ["REPOSITORY"]
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained("words")
    BertConfig(hidden_size=12, num_attention_heads=2, vocab_size=SIZE).save_pretrained("words")
    save_file({"embedding": numpy.full((SIZE, 12), SIZE, dtype=numpy.float32)}, "words/model.safetensors")
    create_repo(name, exist_ok=True)
    print(json.dumps(upload_folder(folder_path="words", repo_id=name).oid))
"""
# Neither torch nor any other framework is needed for this; it loads as they do, and says how it ended.
SIZES = count(5)  # every version is another one
LOAD = """
    import json, os
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
    from safetensors import safe_open
    from safetensors.numpy import load_file
    from transformers import AutoConfig, AutoTokenizer
    name, revision = os.environ["REPOSITORY"], os.environ["REVISION"]
    said = {}
    def attempt(what, load):
        try:
            said[what] = load()
        except Exception as error:
            chain = [error]
            while chain[-1].__cause__ or chain[-1].__context__:
                chain.append(chain[-1].__cause__ or chain[-1].__context__)
            said[what] = [type(error).__name__, " ".join(str(each) for each in chain)]
    weights = lambda: hf_hub_download(name, "model.safetensors", revision=revision)
    def opened():
        with safe_open(weights(), framework="numpy") as content:
            return [list(content.keys()), float(content.get_slice("embedding")[0:1].max())]
    attempt("config", lambda: AutoConfig.from_pretrained(name, revision=revision).vocab_size)
    attempt("tokenizer", lambda: AutoTokenizer.from_pretrained(name, revision=revision)("a b c").input_ids)
    attempt("safe_open", opened)
    attempt("load_file", lambda: list(load_file(weights())["embedding"].shape))
    print(json.dumps(said))
"""
DOWNLOAD = """
    import os
    from huggingface_hub import snapshot_download
    print(snapshot_download(os.environ["REPOSITORY"], local_dir=os.environ["INTO"]))
"""


class Words:
    """A model that somebody publishes, somebody else judges, and a deployment loads."""

    def __init__(self, way: Way) -> None:
        self.way, self.repository = way, f"acme/{way.name}-words"
        way.live.declare(DECLARED.format(way=way.name))
        for who in ("person:judge", "workload:maker", "workload:deploy"):
            way.live.join(f"{who}-{way.name}")

    def publish(self, size: int) -> str:
        script = PUBLISH.replace("SIZE", str(size))
        maker = f"maker-{self.way.name}"
        return str(printed(self.way.done(maker, script, "transformers", REPOSITORY=self.repository)))

    def judge(self, verb: str, commit: str, *options: str) -> None:
        profile = ("--profile", self.way.live.profiles[f"judge-{self.way.name}"].name)
        said = self.way.caller.nomoat(verb, self.repository, commit, *options, *profile)
        assert said.code == 0, said.err

    def load(self, revision: str) -> dict[str, object]:
        """What the deployment's tools say of a revision; nothing is cached from before."""
        shutil.rmtree(self.way.live.profiles[f"deploy-{self.way.name}"].directory / "hub" / "cache", ignore_errors=True)
        more = {"REPOSITORY": self.repository, "REVISION": revision}
        told = printed(self.way.done(f"deploy-{self.way.name}", LOAD, "transformers", **more))
        assert isinstance(told, dict)
        return told

    def download(self, into: Path) -> Path:
        shutil.rmtree(into, ignore_errors=True)
        more = {"REPOSITORY": self.repository, "INTO": str(into)}
        return Path(self.way.done(f"deploy-{self.way.name}", DOWNLOAD, **more).splitlines()[-1])


@pytest.fixture(scope="module")
def words(taken: Way) -> Words:
    return Words(taken)


def refusals(told: dict[str, object]) -> None:
    for what, said in told.items():
        assert isinstance(said, list), (what, said)
        kind, why = said
        assert kind in {"OSError", "GatedRepoError", "HfHubHTTPError", "LocalEntryNotFoundError"}, (what, said)
        assert "refused: deploy-" in why, (what, said)
        assert "only-approved-versions-are-read" in why, (what, said)


def loaded(size: int) -> dict[str, object]:
    return {
        "config": size,
        "tokenizer": [0, 1, 2],
        "safe_open": [["embedding"], float(size)],
        "load_file": [size, 12],
    }


@pytest.mark.usefixtures("way")  # what it does is recorded as bound in this way
def test_it_loads_once_it_is_approved_and_not_any_more_once_it_is_withdrawn(words: Words) -> None:
    first = words.publish(3)
    refusals(words.load(first))
    words.judge("approve", first)
    assert words.load(first) == words.load("main") == loaded(3)
    second = words.publish(4)
    refusals(words.load(second))
    assert words.load("main") == loaded(3)
    words.judge("approve", second)
    assert words.load("main") == loaded(4)
    words.judge("withdraw", second, "--reason", "it was a mistake")
    refusals(words.load(second))
    assert words.load("main") == loaded(3)


def model_signing(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


class Snapshot:
    """A downloaded model, and who verifies it."""

    def __init__(self, live: Live, words: Words, directory: Path) -> None:
        self.directory = directory
        self.profile = live.profiles[f"deploy-{words.way.name}"]
        self.authority = directory.parent / "authority.pem"
        self.authority.write_bytes(self.profile.read("ca.pem"))
        self.caller = words.way.caller

    def theirs(self, method: str, *options: object, signature: str = "model.sig") -> "subprocess.CompletedProcess[str]":
        """The command of OpenSSF; of what lies here it knows the signature, and not the notes of the stock client."""
        given = ("--signature", self.directory / signature, "--ignore-paths", self.directory / ".cache")
        return model_signing("verify", method, self.directory, *given, "--no-ignore-git-paths", *options)

    def sign(self, method: str, signature: Path, *options: object) -> None:
        ignored = [option for name in (".cache", "model.sig") for option in ("--ignore-paths", self.directory / name)]
        given = ("--signature", signature, "--no-ignore-git-paths", *ignored)
        done = model_signing("sign", method, self.directory, *given, *options)
        assert done.returncode == 0, done.stderr

    def ours(self, *options: object) -> Said:
        return self.caller.nomoat("verify", str(self.directory), *map(str, options), "--json")

    def flip(self) -> None:
        weights = self.directory / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)


@pytest.fixture
def snapshot(words: Words, live: Live, tmp_path: Path) -> Snapshot:
    words.judge("approve", words.publish(next(SIZES)))
    return Snapshot(live, words, words.download(tmp_path / "words"))


def test_the_command_of_openssf_verifies_what_the_gateway_signed(snapshot: Snapshot) -> None:
    """By the certificate of the gateway's authority, which every profile has."""
    trust = ("--certificate_chain", snapshot.authority)
    done = snapshot.theirs("certificate", *trust)
    assert done.returncode == 0, done.stderr
    said = snapshot.ours("--profile", snapshot.profile.name)
    assert (said.code, said.json()["verified"]) == (0, True)
    other = write_certificates(snapshot.directory.parent / "other.pem", new_authority().certificate)
    assert snapshot.theirs("certificate", "--certificate_chain", other).returncode != 0
    snapshot.flip()
    assert snapshot.theirs("certificate", *trust).returncode != 0
    said = snapshot.ours("--profile", snapshot.profile.name)
    assert (said.code, said.json()["differences"]) == (4, [{"path": "model.safetensors", "fault": "changed"}])


def test_we_verify_what_the_command_of_openssf_signed_of_a_download(snapshot: Snapshot) -> None:
    """Beside the gateway's own signature, which stays what it is: a file that another one does not cover."""
    key, root, near = new_key(), new_authority(), snapshot.directory.parent
    private, public = write_key(near / "key.pem", key), write_public(near / "public.pem", key)
    snapshot.sign("key", near / "by-key.sig", "--private_key", private)
    trust = write_certificates(near / "root.pem", root.certificate)
    leaf = write_certificates(near / "leaf.pem", root.certify(key, at=NOW - DAY, lifetime=2 * DAY))
    certified = ("--private_key", private, "--signing_certificate", leaf, "--certificate_chain", trust)
    snapshot.sign("certificate", near / "by-certificate.sig", *certified)
    (snapshot.directory / "model.sig").unlink()
    for name, demanded in (("by-key", ("--key", public)), ("by-certificate", ("--ca", trust, "--identity", SIGNER))):
        given = ("--signature", near / f"{name}.sig", *demanded)
        said = snapshot.ours(*given)
        assert (said.code, said.json()["verified"]) == (0, True), said.out
    snapshot.flip()
    for name, demanded in (("by-key", ("--key", public)), ("by-certificate", ("--ca", trust))):
        said = snapshot.ours("--signature", near / f"{name}.sig", *demanded)
        assert (said.code, said.json()["differences"]) == (4, [{"path": "model.safetensors", "fault": "changed"}])
