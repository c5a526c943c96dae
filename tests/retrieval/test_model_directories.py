"""Embedders in a directory: pinned, read once, and nothing of them run."""

import asyncio
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from nomoat.core.errors import Unavailable
from nomoat.core.retrieval import ModelDirectory
from nomoat.stores.embedders import bundled, contents_of, digest_of, in_directory
from nomoat.stores.embedders.files import BUNDLED
from tests.cli.live import Caller
from tests.retrieval.conftest import Library

TEXTS = ["Vacation allowance is thirty days a year.", "The server ended with a segmentation fault.", ""]
WORDS = {"[UNK]": 0, "leave": 1, "holiday": 2, "crash": 3}
ROWS = np.array([[9, 9], [1, 0], [1, 0], [0, 2]], np.float32)
INDEX = """
[[index]]
name = "{name}"
classification = "internal"
owner = "group:librarians"
{embedder}
"""


def vocabulary() -> bytes:
    tokenizer = Tokenizer(WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer.to_str().encode()


def model(
    folder: Path,
    *,
    config: object = None,
    words: bytes | None = None,
    **tensors: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]",
) -> Path:
    """A model of four words, as model2vec saves one."""
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(save({"embeddings": ROWS, **tensors}))
    (folder / "tokenizer.json").write_bytes(vocabulary() if words is None else words)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def like_wordllama(folder: Path) -> Path:
    """The files of wordllama's package, under the names that a directory has."""
    found = find_spec("wordllama")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder.mkdir()
    for name, as_named in zip(BUNDLED, ("model.safetensors", "tokenizer.json"), strict=True):
        shutil.copy(Path(found.submodule_search_locations[0]) / name, folder / as_named)
    return folder


def pinned(folder: Path) -> ModelDirectory:
    return ModelDirectory(str(folder), digest_of(contents_of(folder)))


def vectors(declared: ModelDirectory, *texts: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    embedder = in_directory(declared)
    found = asyncio.run(embedder.embed(texts))
    return np.frombuffer(found, "<f4").reshape(len(texts), asyncio.run(embedder.dimensions()))


def test_a_directory_makes_the_vectors_that_its_files_make(tmp_path: Path) -> None:
    copied = in_directory(pinned(like_wordllama(tmp_path / "copied")))
    assert asyncio.run(copied.embed(TEXTS)) == asyncio.run(bundled().embed(TEXTS))
    assert asyncio.run(copied.dimensions()) == asyncio.run(bundled().dimensions()) == 256


def test_a_vector_is_the_mean_of_those_of_its_tokens(tmp_path: Path) -> None:
    plain = pinned(model(tmp_path / "plain"))
    assert vectors(plain, "leave crash", "leave nothing", "nothing", "").tolist() == [[0.5, 1], [1, 0], [0, 0], [0, 0]]
    weighed = model(tmp_path / "weighed", weights=np.array([1, 1, 1, 3], np.float32), mapping=np.array([0, 1, 3, 3]))
    assert vectors(pinned(weighed), "leave crash", "holiday").tolist() == [[0.5, 3], [0, 2]]
    normal = pinned(model(tmp_path / "normal", config={"normalize": True}))
    assert np.allclose(vectors(normal, "crash", "nothing"), [[0, 1], [0, 0]])


def test_the_digest_is_what_sha256sum_says(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", config={})
    command = "sha256sum config.json model.safetensors tokenizer.json | sha256sum"
    said = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    assert pinned(folder).sha256 == said.stdout.split()[0]
    (folder / "config.json").unlink()
    assert pinned(folder).sha256 != said.stdout.split()[0]


def _flip(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)


def _instead(folder: Path, make: Callable[[Path], None]) -> None:
    (folder / "tokenizer.json").unlink()
    make(folder / "tokenizer.json")


CHANGES: dict[str, Callable[[Path], object]] = {
    "weights": lambda folder: _flip(folder, "model.safetensors"),
    "vocabulary": lambda folder: _flip(folder, "tokenizer.json"),
    "configuration": lambda folder: (folder / "config.json").write_text('{"normalize": true}'),
    "configuration-gone": lambda folder: (folder / "config.json").unlink(),
    "exchanged": lambda folder: shutil.copy(folder / "tokenizer.json", folder / "model.safetensors"),
    "gone": lambda folder: (folder / "model.safetensors").unlink(),
    "a-pipe": lambda folder: _instead(folder, os.mkfifo),
    "a-device": lambda folder: _instead(folder, lambda path: path.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_attack_a_directory_is_another_one_than_was_pinned(tmp_path: Path, change: str) -> None:
    folder = model(tmp_path / "m", config={})
    declared = pinned(folder)
    CHANGES[change](folder)
    embedder = in_directory(declared)
    with pytest.raises(Unavailable):
        asyncio.run(embedder.embed(["leave"]))
    with pytest.raises(Unavailable):
        asyncio.run(embedder.dimensions())


def test_what_is_not_used_of_a_directory_is_not_opened(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    declared = pinned(folder)
    (folder / "modeling.py").write_text("raise SystemExit")
    os.mkfifo(folder / "pytorch_model.bin")
    assert vectors(declared, "crash").tolist() == [[0, 2]]


class Trap:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(Path(os.environ["TRAP"])),)


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"\xff" * 64,
        save({"embeddings": ROWS[:3]}),
        save({"embeddings": ROWS, "more": ROWS}),
        save({"something": ROWS}),
        save({"embeddings": ROWS, "embedding.weight": ROWS}),
        save({"embeddings": ROWS.reshape(2, 2, 2)}),
        save({"embeddings": ROWS.astype(np.int8)}),
        save({"embeddings": np.array([[np.nan, 1]] * 4, np.float32)}),
        save({"embeddings": ROWS, "weights": np.ones(3, np.float32)}),
        save({"embeddings": ROWS, "mapping": np.array([0, 1, 2, 4])}),
        save({"embeddings": ROWS, "mapping": np.array([0, 1, 2, -1])}),
        save({"embeddings": ROWS, "mapping": np.ones(4, np.float32)}),
    ],
)
def test_attack_what_was_pinned_is_no_static_embeddings(tmp_path: Path, weights: bytes) -> None:
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(Unavailable):
        vectors(pinned(folder), "leave")


def test_attack_a_pickle_is_named_as_weights_or_a_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAP", str(tmp_path / "ran"))
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        folder = model(tmp_path / name)
        (folder / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(Unavailable):
            vectors(pinned(folder), "leave")
    assert not (tmp_path / "ran").exists()


def test_an_index_has_its_vectors_from_a_directory_as_it_was_pinned(library: Library, tmp_path: Path) -> None:
    caller, folder = Caller(tmp_path / "home"), like_wordllama(tmp_path / "model")
    printed = caller.nomoat("index", "pin", str(folder))
    assert printed.code == 0, printed.err
    assert printed.out.strip().startswith("embedder = { directory = ")
    by_vector = {"ranker": "vector"}
    asked = "how many days of holiday do I get"
    library.live.declare(INDEX.format(name="local", embedder=""))
    library.put(
        {"name": "leave.md", "passages": ["Vacation allowance is thirty days a year."]},
        {"name": "crash.md", "passages": ["The server ended with a segmentation fault."]},
        index="local",
    )
    library.live.declare(INDEX.format(name="local", embedder=printed.out))
    assert library.found("bob", asked, index="local", ranking_options=by_vector)[0] == "leave.md"
    small = model(tmp_path / "small")
    library.live.declare(INDEX.format(name="local", embedder=caller.nomoat("index", "pin", str(small)).out))
    library.put({"name": "own.md", "passages": ["holiday"]}, index="local")
    assert library.found("bob", "leave", index="local", ranking_options=by_vector)[0] == "own.md", "all of them anew"
    (small / "config.json").write_text("{}")
    library.live.declare(INDEX.format(name="other", embedder=printed.out.replace(str(folder), str(small))))
    status, said = library.search("bob", "leave", index="other")
    assert status == 503
    assert "others than those that were declared" in str(said)
    assert library.search("eve", "leave", index="other") == library.search("eve", "leave", index="nothing")
    assert library.search("bob", "leave", index="other", ranking_options={"ranker": "keyword"})[0] == 200
    assert library.put({"name": "own.md", "passages": ["holiday"]}, index="other")[0] == 503
    (small / "config.json").unlink()
    library.live.declare(INDEX.format(name="other", embedder=caller.nomoat("index", "pin", str(small)).out))
    assert library.put({"name": "own.md", "passages": ["holiday"]}, index="other")[0] == 200
    assert library.found("bob", "leave", index="other", ranking_options=by_vector) == ["own.md"]
    assert str(tmp_path) not in str(said), "where it is on the gateway's machine is nobody's to know"


def test_a_directory_that_is_mended_is_used_without_more(library: Library, tmp_path: Path) -> None:
    caller, folder = Caller(tmp_path / "home"), model(tmp_path / "model")
    library.live.declare(INDEX.format(name="mended", embedder='embedder = "none"'))
    library.put({"name": "own.md", "passages": ["holiday"]}, index="mended")
    pin, weights = caller.nomoat("index", "pin", str(folder)).out, folder / "model.safetensors"
    moved = weights.rename(tmp_path / "elsewhere")
    library.live.declare(INDEX.format(name="mended", embedder=pin))
    by_vector = {"ranker": "vector"}
    assert library.search("bob", "leave", index="mended", ranking_options=by_vector)[0] == 503
    assert library.found("bob", "holiday", index="mended", ranking_options={"ranker": "keyword"}) == ["own.md"]
    moved.rename(weights)
    status, said = library.search("bob", "leave", index="mended", ranking_options=by_vector)
    assert (status, "try again" in str(said)) == (503, True)
    assert library.found("bob", "leave", index="mended", ranking_options=by_vector) == ["own.md"]
