"""Static embeddings: a vector for each token of a vocabulary; a text's is the mean of those of its tokens.

Rules: weights and vocabulary are bytes with a digest that is known before anything is made of them; nothing is fetched, and
nothing in them is run. A text's vector depends on that text alone, to the last bit. They are loaded when they are first needed.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast, final

import orjson

from nomoat.core.errors import Unavailable

ROWS: Final = ("embeddings", "embedding.weight")
"""What the tensor with a vector for each token is called: by model2vec and by sentence-transformers' static models."""
WEIGHTS: Final = "weights"  # of model2vec: how much each token counts
MAPPING: Final = "mapping"  # of model2vec: the row of each token, where several have one


class Model(NamedTuple):
    """The content of a model's files; `normalised`: its vectors are of length 1."""

    weights: bytes
    vocabulary: bytes
    normalised: bool = False


class _Loaded(NamedTuple):
    rows: Any
    counts: Any
    mapping: Any
    vocabulary: Any
    unknown: int | None
    normalised: bool


@final
class StaticEmbedder:
    """Makes vectors with what `read` returns, which is called in a thread, when they are first needed."""

    def __init__(self, identity: str, read: Callable[[], Model]) -> None:
        self.identity = identity
        self._read = read
        self._loaded: _Loaded | None = None
        self._loading = threading.Lock()

    async def dimensions(self) -> int:
        """How long a vector is. Raises `Corrupt`, `Unavailable`."""
        loaded = await asyncio.to_thread(self._load)
        return int(loaded.rows.shape[1])

    async def embed(self, texts: Sequence[str]) -> bytes:
        """The vectors of texts, one after the other: 32-bit floats in the order of x86. Raises `Corrupt`, `Unavailable`."""
        return await asyncio.to_thread(self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> bytes:
        import numpy as np  # noqa: PLC0415 - for whom there is an index

        model = self._load()
        found = np.zeros((len(texts), model.rows.shape[1]), "<f4")
        for number, encoding in enumerate(model.vocabulary.encode_batch_fast(list(texts), add_special_tokens=False)):
            ids = [token for token in encoding.ids if token != model.unknown]
            if not ids:
                continue
            rows = model.rows[ids if model.mapping is None else model.mapping[ids]].astype(np.float32)
            if model.counts is not None:
                rows = rows * model.counts[ids][:, None]
            found[number] = rows.mean(axis=0)
        if model.normalised:
            found /= np.linalg.norm(found, axis=1, keepdims=True) + np.float32(1e-32)
        return found.tobytes()

    def _load(self) -> _Loaded:
        with self._loading:
            if self._loaded is None:
                self._loaded = _loaded(self._read())
            return self._loaded


def _loaded(model: Model) -> _Loaded:
    """What a model is. Raises `Unavailable` for what is no static embeddings."""
    import numpy as np  # noqa: PLC0415 - for whom there is an index
    from safetensors import SafetensorError  # noqa: PLC0415 - as above
    from safetensors.numpy import load  # noqa: PLC0415 - as above
    from tokenizers import Tokenizer  # noqa: PLC0415 - as above

    try:
        tensors = cast("dict[str, Any]", load(model.weights))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Unavailable("embedder", f"its weights are none that are taken here: {error}") from None
    try:
        vocabulary = Tokenizer.from_buffer(model.vocabulary)
    except Exception as error:  # noqa: BLE001 - tokenizers has no errors of its own
        raise Unavailable("embedder", f"its tokenizer.json is none: {error}") from None
    vocabulary.no_truncation()
    vocabulary.no_padding()
    rows = [tensors.pop(name) for name in ROWS if name in tensors]
    counts, mapping = tensors.pop(WEIGHTS, None), tensors.pop(MAPPING, None)
    tokens = 1 + max(vocabulary.get_vocab(with_added_tokens=True).values(), default=-1)
    if tensors or len(rows) != 1 or not _is_table(rows[0], 2, "f") or not np.isfinite(rows[0]).all():
        raise Unavailable(
            "embedder",
            "its weights are none that are taken here: they are not static embeddings: one table of floating-point numbers",
        )
    if counts is not None and not (_is_table(counts, 1, "f") and len(counts) >= tokens and np.isfinite(counts).all()):
        raise Unavailable(
            "embedder", "its weights are none that are taken here: they do not say how much each token counts"
        )
    if mapping is not None and not (_is_table(mapping, 1, "iu") and len(mapping) >= tokens and _within(mapping, rows)):
        raise Unavailable(
            "embedder", "its weights are none that are taken here: they do not say which row is each token's"
        )
    if mapping is None and len(rows[0]) < tokens:
        raise Unavailable("embedder", "its weights are none that are taken here: there are fewer rows than tokens")
    unknown = vocabulary.token_to_id(_unknown(model.vocabulary))
    return _Loaded(rows[0], counts, mapping, vocabulary, unknown, model.normalised)


def _is_table(tensor: Any, rank: int, kinds: str) -> bool:
    return tensor.ndim == rank and tensor.size > 0 and tensor.dtype.kind in kinds


def _within(mapping: Any, rows: Sequence[Any]) -> bool:
    return bool(mapping.min() >= 0 and mapping.max() < len(rows[0]))


def _unknown(vocabulary: bytes) -> str:
    """The token that stands for what is not in a vocabulary, which says nothing; '' where there is none."""
    said = cast("dict[str, object]", orjson.loads(vocabulary)).get("model")
    model = cast("dict[str, object]", said) if isinstance(said, dict) else {}
    token = model.get("unk_token")
    if isinstance(token, str):
        return token
    number, words = model.get("unk_id"), model.get("vocab")  # of unigrams: pairs of a token and a number
    if isinstance(number, int) and isinstance(words, list):
        return str(cast("list[list[object]]", words)[number][0])  # tokenizers took it: it is one of them
    return ""
