"""Static embeddings: a vector for each token of a vocabulary; a text's is the mean of those of its tokens.

Rules: weights and vocabulary are files with digests that are known before a byte of them is used; nothing is fetched. A text's
vector depends on that text alone, to the last bit. They are loaded when they are first needed.
"""

import asyncio
import hashlib
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, final

from nomoat.core.errors import Corrupt, Unavailable

WEIGHTS: Final = "weights/l2_supercat_256.safetensors"
VOCABULARY: Final = "tokenizers/l2_supercat_tokenizer_config.json"
DIMENSIONS: Final = 256
BUNDLED: Final[Mapping[str, str]] = {
    WEIGHTS: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    VOCABULARY: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}
"""The SHA-256 of what wordllama's package brings (https://github.com/dleemiller/WordLlama)."""


@final
class StaticEmbedder:
    """Makes vectors of `dimensions` with weights and a vocabulary in files; `digests` has the SHA-256 of each."""

    def __init__(
        self, folder: Path, weights: str, vocabulary: str, digests: Mapping[str, str], dimensions: int
    ) -> None:
        self._folder = folder
        self._weights = weights
        self._vocabulary = vocabulary
        self._digests = digests
        self.dimensions = dimensions
        self.identity = f"static:{digests[weights][:16]}:{digests[vocabulary][:16]}"
        self._loaded: tuple[Any, Any] | None = None
        self._loading = threading.Lock()

    async def embed(self, texts: Sequence[str]) -> bytes:
        """The vectors of texts, one after the other: 32-bit floats in the order of x86. Raises `Corrupt`, `Unavailable`."""
        return await asyncio.to_thread(self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> bytes:
        import numpy as np  # noqa: PLC0415 - for whom there is an index

        weights, vocabulary = self._load()
        rows = np.zeros((len(texts), self.dimensions), "<f4")
        for row, encoding in enumerate(vocabulary.encode_batch_fast(list(texts), add_special_tokens=False)):
            if encoding.ids:
                rows[row] = weights[encoding.ids].astype(np.float32).mean(axis=0)
        return rows.tobytes()

    def _load(self) -> tuple[Any, Any]:
        with self._loading:
            if self._loaded is None:
                from safetensors.numpy import load  # noqa: PLC0415 - as above
                from tokenizers import Tokenizer  # noqa: PLC0415 - as above

                (weights,) = load(self._read(self._weights)).values()
                if weights.ndim != 2 or weights.shape[1] != self.dimensions:
                    raise Corrupt(f"the embedder's weights are not of {self.dimensions} dimensions")
                vocabulary = Tokenizer.from_buffer(self._read(self._vocabulary))
                vocabulary.no_truncation()
                vocabulary.no_padding()
                self._loaded = weights, vocabulary
            return self._loaded

    def _read(self, name: str) -> bytes:
        """A file, if it is the one that is meant."""
        try:
            content = (self._folder / name).read_bytes()
        except OSError as error:
            raise Unavailable("embedder", f"{name} cannot be read ({error.strerror})") from None
        if hashlib.sha256(content).hexdigest() != self._digests[name]:
            raise Corrupt(f"{name} of the embedder (it is another file than the one that is meant)")
        return content


def bundled() -> StaticEmbedder:
    """The embedder that comes with wordllama's package, of which only the files are used. Raises `Unavailable`."""
    found = find_spec("wordllama")
    if found is None or not found.submodule_search_locations:
        raise Unavailable("embedder", "this gateway was installed without one: pip install 'nomoat[retrieval]'")
    return StaticEmbedder(Path(found.submodule_search_locations[0]), WEIGHTS, VOCABULARY, BUNDLED, DIMENSIONS)
