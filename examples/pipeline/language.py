"""A small language model: the next character from the ones before, by a network of one hidden layer, in numpy alone.

After Bengio et al., A Neural Probabilistic Language Model (2003). It learns a text by heart within seconds, which is what
it is here for: what went into a model can come out of it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

Array = NDArray[np.float32]
Weights = dict[str, Array]

ALPHABET: Final = "\n" + "".join(map(chr, range(32, 127)))
CONTEXT: Final = 24  # characters that the next one is predicted from
WIDTH: Final = 24  # of a character's embedding
HIDDEN: Final = 160
RATE, FIRST, SECOND = 2e-3, 0.9, 0.99  # of Adam


def encode(text: str) -> NDArray[np.int64]:
    """A text as numbers of characters; what the alphabet does not have is a space."""
    numbers = {character: number for number, character in enumerate(ALPHABET)}
    return np.array([numbers.get(character, numbers[" "]) for character in text], dtype=np.int64)


def new_weights(random: np.random.Generator) -> Weights:
    size = len(ALPHABET)
    shapes = {"embedding": (size, WIDTH), "hidden": (CONTEXT * WIDTH, HIDDEN), "output": (HIDDEN, size)}
    weights = {
        name: (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32) for name, shape in shapes.items()
    }
    return weights | {"hidden_bias": np.zeros(HIDDEN, np.float32), "output_bias": np.zeros(size, np.float32)}


def forward(weights: Weights, before: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """The embedded contexts, the hidden layer, and the probabilities of what comes next, one row for each context."""
    embedded = weights["embedding"][before].reshape(len(before), -1)
    hidden = np.tanh(embedded @ weights["hidden"] + weights["hidden_bias"])
    scores = hidden @ weights["output"] + weights["output_bias"]
    scores -= scores.max(axis=1, keepdims=True)
    likely = np.exp(scores)
    return embedded, hidden, likely / likely.sum(axis=1, keepdims=True)


def loss_and_gradients(
    weights: Weights, before: NDArray[np.int64], following: NDArray[np.int64]
) -> tuple[float, Weights]:
    """The mean loss (nats a character), and its gradient by each weight."""
    embedded, hidden, likely = forward(weights, before)
    rows = np.arange(len(before))
    loss = float(-np.log(likely[rows, following] + 1e-9).mean())
    likely[rows, following] -= 1
    likely /= len(before)
    at_hidden = (likely @ weights["output"].T) * (1 - hidden**2)
    at_embedded = (at_hidden @ weights["hidden"].T).reshape(len(before), CONTEXT, WIDTH)
    embedding = np.zeros_like(weights["embedding"])
    np.add.at(embedding, before, at_embedded)
    return loss, {
        "embedding": embedding,
        "hidden": embedded.T @ at_hidden,
        "hidden_bias": at_hidden.sum(axis=0),
        "output": hidden.T @ likely,
        "output_bias": likely.sum(axis=0),
    }


def train(text: str, steps: int, batch: int = 192, seed: int = 0) -> tuple[Weights, list[float]]:
    """Learn a text; returns the weights and the loss of each step."""
    random = np.random.default_rng(seed)
    padded = np.concatenate([encode("\n" * CONTEXT), encode(text)])
    contexts = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT)[:-1]
    following = padded[CONTEXT:]
    weights = new_weights(random)
    slow = {name: np.zeros_like(array) for name, array in weights.items()}
    square = {name: np.zeros_like(array) for name, array in weights.items()}
    losses: list[float] = []
    for step in range(1, steps + 1):
        chosen = random.integers(0, len(following), batch)
        loss, gradients = loss_and_gradients(weights, contexts[chosen], following[chosen])
        losses.append(loss)
        for name, gradient in gradients.items():
            slow[name] += (1 - FIRST) * (gradient - slow[name])
            square[name] += (1 - SECOND) * (gradient**2 - square[name])
            unbiased = np.sqrt(square[name] / (1 - SECOND**step)) + 1e-8
            weights[name] -= RATE * slow[name] / (1 - FIRST**step) / unbiased
    return weights, losses


def save(weights: Weights, folder: Path) -> None:
    """Write the weights as safetensors, and beside them what they are of."""
    save_file(weights, folder / "model.safetensors")
    shape = {"context": CONTEXT, "width": WIDTH, "hidden": HIDDEN, "alphabet": ALPHABET}
    (folder / "config.json").write_text(json.dumps({"model_type": "character-mlp", **shape}, indent=1))


def load(folder: Path) -> Weights:
    """Read what `save` wrote."""
    config = json.loads((folder / "config.json").read_text())
    if (config["context"], config["alphabet"]) != (CONTEXT, ALPHABET):
        raise ValueError("these weights are of another model")
    return load_file(folder / "model.safetensors")


def continued(weights: Weights, prompt: str, temperature: float = 0.0, seed: int = 0) -> Iterator[str]:
    """What comes after a prompt, one character after the other, without an end."""
    random = np.random.default_rng(seed)
    window = np.concatenate([encode("\n" * CONTEXT), encode(prompt)])[-CONTEXT:]
    while True:
        _, _, likely = forward(weights, window[None, :])
        chances = likely[0].astype(np.float64)
        if temperature > 0:
            chances = chances ** (1 / temperature)
            number = int(random.choice(len(chances), p=chances / chances.sum()))
        else:
            number = int(chances.argmax())
        yield ALPHABET[number]
        window = np.append(window[1:], number)
