"""The deployment: pulls the published weights and reads digits that training never saw.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

import sys

import numpy as np
from huggingface_hub import hf_hub_download
from safetensors.numpy import load_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

MODEL = "acme/digit-reader"


def requests() -> tuple[np.ndarray, np.ndarray]:
    """What arrives to be read: the images that the ingestion job kept apart, and the right answers."""
    digits = load_digits()
    _, images, _, labels = train_test_split(
        digits.data, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    return images / 16, labels


def predict(weights: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    hidden = np.maximum(images @ weights["hidden"] + weights["hidden_bias"], 0)
    digits: np.ndarray = np.argmax(hidden @ weights["output"] + weights["output_bias"], axis=1)
    return digits


def main() -> None:
    revision = sys.argv[1] if len(sys.argv) > 1 else None
    weights = load_file(hf_hub_download(MODEL, "model.safetensors", revision=revision))
    images, labels = requests()
    accuracy = float((predict(weights, images) == labels).mean())
    print(f"read {len(labels)} digits, {accuracy:.1%} of them right")
    if accuracy <= 0.9:
        raise SystemExit("these weights are not fit to be deployed")


if __name__ == "__main__":
    main()
