"""A data scientist's afternoon: looks at the metrics, then wants the images behind them.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

import json
from pathlib import Path

from huggingface_hub import hf_hub_download

DATASET = "acme/digits"


def main() -> None:
    metrics = json.loads(Path(hf_hub_download(DATASET, "metrics.json", repo_type="dataset")).read_text())
    print(f"{metrics['train']['rows']} rows, {len(metrics['train']['columns'])} columns", flush=True)
    hf_hub_download(DATASET, "data/train.parquet", repo_type="dataset")
    print("the images are here")


if __name__ == "__main__":
    main()
