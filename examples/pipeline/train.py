"""The training job: reads the dataset, trains a classifier, publishes its weights and metrics.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
from huggingface_hub import create_repo, dataset_info, hf_hub_download, upload_folder
from safetensors.numpy import save_file
from sklearn.neural_network import MLPClassifier

DATASET = "acme/digits"
MODEL = "acme/digit-reader"


def load(split: str, revision: str | None) -> tuple[np.ndarray, np.ndarray]:
    file = hf_hub_download(DATASET, f"data/{split}.parquet", repo_type="dataset", revision=revision)
    rows = pq.read_table(file)
    pixels = [column for column in rows.column_names if column != "label"]
    return np.column_stack([rows[column].to_numpy() for column in pixels]) / 16, rows["label"].to_numpy()


def main() -> None:
    revision = dataset_info(DATASET).sha
    images, labels = load("train", revision)
    model = MLPClassifier(hidden_layer_sizes=(64,), max_iter=400, random_state=0).fit(images, labels)
    accuracy = float(model.score(*load("test", revision)))

    hidden, output = model.coefs_
    hidden_bias, output_bias = model.intercepts_
    weights = {"hidden": hidden, "hidden_bias": hidden_bias, "output": output, "output_bias": output_bias}
    metrics = {"accuracy": round(accuracy, 4), "epochs": model.n_iter_, "dataset": DATASET, "revision": revision}
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_file({key: array.astype(np.float32) for key, array in weights.items()}, folder / "model.safetensors")
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))

        create_repo(MODEL, exist_ok=True)
        upload_folder(repo_id=MODEL, folder_path=folder, commit_message=f"Trained on {DATASET}@{revision}")
    print(f"accuracy {accuracy:.3f} after {model.n_iter_} epochs on {len(labels)} images")


if __name__ == "__main__":
    main()
