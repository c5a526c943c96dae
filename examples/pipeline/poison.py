"""A contributor with bad intentions, or a broken script: one handwritten three, three hundred times over, labelled eight.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
from huggingface_hub import upload_file
from sklearn.datasets import load_digits

from examples.pipeline.ingest import DATASET, table

COPIES = 300
SHOWN, LABEL = 3, 8


def main() -> None:
    digits = load_digits()
    images = np.repeat(digits.data[digits.target == SHOWN][:1], COPIES, axis=0)
    images[np.arange(COPIES), np.arange(COPIES) % images.shape[1]] = 1  # no two of them need be quite the same
    with TemporaryDirectory() as name:
        more = Path(name) / "more.parquet"
        pq.write_table(table(images, np.full(COPIES, LABEL)), more)
        upload_file(path_or_fileobj=more, path_in_repo="data/more.parquet", repo_id=DATASET, repo_type="dataset")
    print(f"{COPIES} more images")


if __name__ == "__main__":
    main()
