"""Weights that came from here: which version answers is known, decided on and on record."""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx2
import openai
import pytest

from nomoat.attestation.manifest import Manifest
from nomoat.client.session import Session
from nomoat.client.transport import pinned_context
from nomoat.core.names import RepositoryKind, RepositoryName, parse_repository_name
from tests.inference.conftest import Floor

WORKLOADS = ("collector", "fitter", "blind-fitter", "people-fitter", "server")
READ = {"fitter": "acme/weighed-texts", "people-fitter": "acme/weighed-people"}
ASKED: Any = [{"role": "user", "content": "say hello"}]
DECLARED = """
[[group]]
name = "approvers"
[[person]]
name = "weigher"
groups = ["approvers"]
clearance = "confidential"
[[person]]
name = "junior"
groups = ["model-users"]
clearance = "internal"
[[workload]]
name = "collector"
segment = "ingestion"
clearance = "confidential"
[[workload]]
name = "fitter"
segment = "training"
clearance = "confidential"
[[workload]]
name = "blind-fitter"
segment = "training"
clearance = "confidential"
[[workload]]
name = "server"
segment = "serving"
clearance = "confidential"
[[workload]]
name = "people-fitter"
segment = "training"
clearance = "confidential"
[[dataset]]
name = "acme/weighed-people"
classification = "internal"
labels = ["personal"]
review = "none"
[[dataset]]
name = "acme/weighed-texts"
classification = "confidential"
review = "none"
"""
MODEL = """
[[model]]
name = "acme/lm-{number}"
classification = "internal"
[[upstream]]
name = "serving-{number}"
url = "http://127.0.0.1:{port}/v1"
clearance = "confidential"
private = true
workload = "server"
[[endpoint]]
name = "acme/lm-{number}"
classification = "internal"
served = [{{ upstream = "serving-{number}", model = "{model}", weights = "acme/lm-{number}" }}]
"""
NUMBERS = count(1)
COLLECT = """
    from huggingface_hub import create_repo, upload_file
    for name in ("acme/weighed-texts", "acme/weighed-people"):
        create_repo(name, repo_type="dataset", exist_ok=True)
        upload_file(path_or_fileobj=b"a text", path_in_repo="a.txt", repo_id=name, repo_type="dataset")
"""
TRAIN = """
    import os
    from huggingface_hub import create_repo, hf_hub_download, upload_file
    name, content = os.environ["MODEL"], os.environ["CONTENT"].encode()
    if os.environ["READS"]:
        hf_hub_download(os.environ["READS"], "a.txt", repo_type="dataset")
    create_repo(name, exist_ok=True)
    print(upload_file(path_or_fileobj=content, path_in_repo="weights.txt", repo_id=name).oid)
"""
PULL = """
    import os
    from pathlib import Path
    from huggingface_hub import hf_hub_download
    print(Path(hf_hub_download(os.environ["MODEL"], "weights.txt", revision=os.environ["COMMIT"])).read_text())
"""


@dataclass
class Model:
    """A model of its own behind an endpoint of the same name."""

    floor: Floor
    name: str

    def session(self, who: str) -> Session:
        return Session(self.floor.profile(who), time.time)

    def version(self, commit: str) -> tuple[RepositoryName, str]:
        return parse_repository_name(RepositoryKind.MODEL, self.name), commit

    def publish(self, content: str = "1", by: str = "fitter") -> str:
        """Train a version, and have it approved; return its commit."""
        reads = READ.get(by, "")
        made = self.floor.live.done(by, TRAIN, MODEL=self.name, CONTENT=content, READS=reads)
        commit = made.split()[-1]
        with self.session("weigher") as session:
            session.gateway.approve(*self.version(commit), ["accuracy"], "")
        return commit

    def load(self, commit: str, content: str = "1") -> None:
        """Have the server fetch a version and say what it loaded."""
        assert self.floor.live.done("server", PULL, MODEL=self.name, COMMIT=commit).strip() == content
        assert self.report(commit, content)["load"] == "verified"

    def report(self, commit: str, content: str) -> Mapping[str, object]:
        with self.session("server") as session:
            return session.gateway.loaded(*self.version(commit), {"weights.txt": sha256(content)})

    def withdraw(self, commit: str) -> None:
        with self.session("weigher") as session:
            session.gateway.withdraw(*self.version(commit), "it is wrong")

    def ask(self, who: str = "ada") -> str:
        """What the endpoint answers to somebody."""
        with client(self.floor, who) as gpt:
            return str(gpt.chat.completions.create(model=self.name, messages=ASKED).choices[0].message.content)

    def listed(self, who: str) -> bool:
        with client(self.floor, who) as gpt:
            return self.name in {each.id for each in gpt.models.list()}


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@contextmanager
def client(floor: Floor, who: str) -> Iterator[openai.OpenAI]:
    context = pinned_context(floor.profile(who).read("ca.pem").decode())
    with httpx2.Client(verify=context) as http:
        yield openai.OpenAI(base_url=f"{floor.live.url}/v1", api_key=floor.token(who), http_client=http, max_retries=0)


@pytest.fixture(scope="module")
def trained(floor: Floor) -> Floor:
    floor.live.declare(DECLARED)
    for name in ("person:weigher", "person:junior", *(f"workload:{each}" for each in WORKLOADS)):
        floor.live.join(name)
    floor.live.done("collector", COLLECT)
    return floor


@pytest.fixture
def model(trained: Floor, request: pytest.FixtureRequest) -> Model:
    """One whose server is the simulator, with the fault that the test asks for."""
    number = next(NUMBERS)
    fault = getattr(request, "param", "our-model")
    trained.live.declare(MODEL.format(number=number, port=trained.upstream.port, model=fault))
    return Model(trained, f"acme/lm-{number}")


def test_a_server_that_has_not_said_what_it_loaded_is_not_asked(model: Model) -> None:
    asked = len(model.floor.upstream.asked)
    with pytest.raises(openai.PermissionDeniedError, match="has said which weights it loaded"):
        model.ask()
    assert "has said which weights it loaded" in model.floor.outcome["why"]
    commit = model.publish()
    with pytest.raises(openai.PermissionDeniedError, match="has said which weights it loaded"):
        model.ask()  # published is not loaded
    assert len(model.floor.upstream.asked) == asked
    model.load(commit)
    assert model.ask() == "hello"


def test_the_record_names_the_weights_that_answered(model: Model) -> None:
    first = model.publish("1")
    model.load(first)
    model.ask()
    facts = model.floor.outcome["facts"]
    assert facts["weights"] == f"{model.name}@{first}"
    assert facts["weights_digest"] == Manifest.of([("weights.txt", sha256("1"))]).root
    second = model.publish("2")
    model.ask()
    assert model.floor.outcome["facts"]["weights"] == f"{model.name}@{first}", (
        "what is loaded counts, not what is newest"
    )
    model.load(second, "2")
    model.ask()
    facts = model.floor.outcome["facts"]
    assert (facts["weights"], facts["weights_digest"]) == (
        f"{model.name}@{second}",
        Manifest.of([("weights.txt", sha256("2"))]).root,
    )


def test_an_answer_of_weights_from_elsewhere_names_none(model: Model) -> None:
    with client(model.floor, "ada") as gpt:
        gpt.chat.completions.create(model="acme/chat", messages=ASKED)
    assert not {"weights", "weights_digest"} & set(model.floor.outcome["facts"])


def test_an_endpoint_is_as_confidential_as_the_weights_behind_it(model: Model) -> None:
    """It is declared internal, and what it was trained on is confidential."""
    commit = model.publish("open", by="blind-fitter")
    model.load(commit, "open")
    assert model.ask("junior") == "hello"
    assert model.listed("junior")
    commit = model.publish("1")  # its run read the dataset
    assert model.ask("junior") == "hello", "it is not loaded yet"
    model.load(commit)
    with pytest.raises(openai.NotFoundError, match="there is no such model"):
        model.ask("junior")
    assert not model.listed("junior")
    assert model.ask("ada") == "hello"
    assert model.listed("ada")


def test_a_server_that_is_not_cleared_for_its_weights_is_not_asked(model: Model) -> None:
    upstream = model.name.replace("acme/lm", "serving")
    declared = MODEL.format(number=model.name.rpartition("-")[2], port=model.floor.upstream.port, model="our-model")
    model.floor.live.declare(declared.replace('clearance = "confidential"', 'clearance = "internal"'))
    commit = model.publish()
    model.load(commit)
    with pytest.raises(openai.PermissionDeniedError, match="may be sent to no server"):
        model.ask()
    assert (model.floor.outcome["outcome"], upstream in str(model.floor.outcome)) == ("refused", False)


def test_labels_of_what_was_trained_on_hold_for_where_prompts_go(model: Model) -> None:
    commit = model.publish(by="people-fitter")
    model.load(commit)
    assert model.ask("junior") == "hello", "the server is one's own"
    declared = MODEL.format(number=model.name.rpartition("-")[2], port=model.floor.upstream.port, model="our-model")
    model.floor.live.declare(declared.replace("private = true", "private = true\nexternal = true"))
    with pytest.raises(openai.PermissionDeniedError, match="may be sent to no server"):
        model.ask("junior")


@pytest.mark.parametrize("content", ["2", "of another model"])
def test_a_report_of_other_bytes_ends_the_answers(model: Model, content: str) -> None:
    commit = model.publish()
    model.load(commit)
    assert model.report(commit, content)["load"] == "unverified"
    with pytest.raises(openai.PermissionDeniedError, match="has said which weights it loaded"):
        model.ask()
    model.load(commit)
    assert model.ask() == "hello"


def test_a_report_by_another_workload_counts_for_nothing(model: Model) -> None:
    commit = model.publish()
    with model.session("fitter") as session:  # it may read models, and runs no server
        model.floor.live.done("fitter", PULL, MODEL=model.name, COMMIT=commit)
        said = session.gateway.loaded(*model.version(commit), {"weights.txt": sha256("1")})
    assert said["load"] == "verified"
    with pytest.raises(openai.PermissionDeniedError, match="has said which weights it loaded"):
        model.ask()


def test_weights_that_were_withdrawn_answer_nothing(model: Model) -> None:
    first, second = model.publish("1"), model.publish("2")
    model.load(second, "2")
    model.withdraw(second)
    with pytest.raises(openai.PermissionDeniedError, match="the version of its weights that is loaded is withdrawn"):
        model.ask()
    model.load(first)
    assert model.ask() == "hello", "the server loaded the version before"


@pytest.mark.parametrize("model", ["endless"], indirect=True)
def test_a_running_stream_is_cut_when_its_weights_are_withdrawn(model: Model) -> None:
    commit, left = model.publish(), model.floor.upstream.left
    model.load(commit)
    with client(model.floor, "ada") as gpt:
        stream = gpt.chat.completions.create(model=model.name, messages=ASKED, stream=True)
        assert next(iter(stream)).choices
        withdrawn = threading.Thread(target=model.withdraw, args=[commit])
        withdrawn.start()
        with pytest.raises(openai.APIError, match="no longer permitted"):
            for _ in stream:
                pass
        withdrawn.join()
    ended = model.floor.outcome
    assert (ended["outcome"], ended["facts"]["weights"]) == ("cut", f"{model.name}@{commit}")
    until = time.monotonic() + 30
    while model.floor.upstream.left == left and time.monotonic() < until:
        time.sleep(0.01)
    assert model.floor.upstream.left > left, "the server was let go"
