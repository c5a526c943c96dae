"""The ingestion job: scikit-learn's handwritten digits become a dataset of Parquet files.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import create_repo, upload_folder
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DATASET = "acme/digits"
COPIES = 192  # of each training image in the augmented set: 70 MB, something to download for a while


def table(images: np.ndarray, labels: np.ndarray) -> pa.Table:
    pixels = {f"pixel_{number:02}": images[:, number] for number in range(images.shape[1])}
    return pa.table({**pixels, "label": labels})


def statistics(rows: pa.Table) -> dict[str, object]:
    def of(column: str) -> dict[str, float]:
        values = rows[column].to_numpy()
        return {"mean": round(float(values.mean()), 3), "deviation": round(float(values.std()), 3)}

    return {"rows": rows.num_rows, "columns": {column: of(column) for column in rows.column_names}}


def augmented(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((COPIES, *images.shape), dtype=np.float32)
    return np.clip(images.astype(np.float32) / 16 + noise / 10, 0, 1)


def main() -> None:
    digits = load_digits()
    train_images, test_images, train_labels, test_labels = train_test_split(
        digits.data, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        train, test = table(train_images, train_labels), table(test_images, test_labels)
        pq.write_table(train, folder / "data/train.parquet")
        pq.write_table(test, folder / "data/test.parquet")
        np.save(folder / "data/augmented.npy", augmented(train_images))
        metrics = {"train": statistics(train), "test": statistics(test)}
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))

        create_repo(DATASET, repo_type="dataset", exist_ok=True)
        upload_folder(
            repo_id=DATASET,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Handwritten digits, split and augmented",
        )
    print(f"{train.num_rows} images to train on, {test.num_rows} to test with")


if __name__ == "__main__":
    main()
