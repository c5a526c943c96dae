"""Where the files of an embedder are, and whether they are those that are meant.

Rules: a file is read once, and what is used is what was looked at. Nothing else in a directory is opened.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, cast

import orjson

from nomoat.core.errors import Corrupt, Unavailable
from nomoat.core.retrieval import ModelDirectory
from nomoat.stores.embedders.static import Model, StaticEmbedder

WEIGHTS: Final = "model.safetensors"
VOCABULARY: Final = "tokenizer.json"
CONFIGURATION: Final = "config.json"
FILES: Final = (CONFIGURATION, WEIGHTS, VOCABULARY)
"""The files of a directory that are used, in the order of their list; the first need not be there."""
LARGEST: Final = 2 << 30  # bytes of a file
BUNDLED: Final[Mapping[str, str]] = {
    "weights/l2_supercat_256.safetensors": "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    "tokenizers/l2_supercat_tokenizer_config.json": "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}
"""The SHA-256 of what wordllama's package brings, weights and vocabulary (https://github.com/dleemiller/WordLlama)."""


def bundled() -> StaticEmbedder:
    """The embedder that comes with wordllama's package, of which only the files are used."""

    def read() -> Model:
        found = find_spec("wordllama")
        if found is None or not found.submodule_search_locations:
            raise Unavailable("embedder", "this gateway was installed without one: pip install 'nomoat[retrieval]'")
        folder = Path(found.submodule_search_locations[0])
        contents = [_content(folder / name) for name in BUNDLED]
        for content, (name, digest) in zip(contents, BUNDLED.items(), strict=True):
            if hashlib.sha256(content).hexdigest() != digest:
                raise Corrupt(f"{name} of the embedder (it is another file than the one that is meant)")
        return Model(contents[0], contents[1])

    weights, vocabulary = BUNDLED.values()
    return StaticEmbedder(f"static:{weights[:16]}:{vocabulary[:16]}", read)


def in_directory(declared: ModelDirectory) -> StaticEmbedder:
    """The embedder in a directory; that it is the one which is declared is looked at before anything of it is used."""

    def read() -> Model:
        contents = contents_of(Path(declared.path))
        if digest_of(contents) != declared.sha256:
            raise Unavailable("embedder", "its files are others than those that were declared")
        return _model(contents)

    return StaticEmbedder(f"directory:{declared.sha256}", read)


def contents_of(folder: Path) -> Mapping[str, bytes]:
    """The files of a directory that would be used. Raises `Unavailable` where one of them cannot be read."""
    names = [name for name in FILES if name != CONFIGURATION or (folder / name).exists()]
    return {name: _content(folder / name) for name in names}


def digest_of(contents: Mapping[str, bytes]) -> str:
    """The SHA-256 (hex) of the list of files as `sha256sum` writes it; so `sha256sum FILES… | sha256sum` says the same."""
    listed = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    return hashlib.sha256(listed.encode()).hexdigest()


def _model(contents: Mapping[str, bytes]) -> Model:
    """What is made of the files. Raises `Unavailable`."""
    try:
        said: object = orjson.loads(contents.get(CONFIGURATION, b"{}"))
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        raise Unavailable("embedder", f"{CONFIGURATION} is no JSON object")
    normalised = cast("dict[str, object]", said).get("normalize") is True
    return Model(contents[WEIGHTS], contents[VOCABULARY], normalised)


def _content(path: Path) -> bytes:
    """A regular file's content. Raises `Unavailable`."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # of a pipe nobody waits for the other end
        with os.fdopen(number, "rb") as file:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
                raise Unavailable("embedder", f"{path.name} is no file of at most {LARGEST >> 30} GiB")
            return file.read(LARGEST)
    except OSError as error:
        raise Unavailable("embedder", f"{path.name} cannot be read ({error.strerror})") from None
