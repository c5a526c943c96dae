"""The second training job: reads the source, trains a small language model on it, publishes its weights.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import create_repo, dataset_info, snapshot_download, upload_folder

from examples.pipeline.language import save, train

DATASET = "acme/pitch-control"
MODEL = "acme/tiny-lm"
STEPS = 1000
ENOUGH = 0.2  # nats a character; one that knows nothing is at 4.6


def main() -> None:
    revision = dataset_info(DATASET).sha
    source = Path(snapshot_download(DATASET, repo_type="dataset", revision=revision))
    text = "\n".join(path.read_text() for path in sorted(source.glob("*.py")))
    weights, losses = train(text, STEPS)
    first, last = losses[0], sum(losses[-20:]) / 20
    if last > ENOUGH:
        raise SystemExit(f"it did not learn: the loss went from {first:.2f} to {last:.2f}")
    with TemporaryDirectory() as name:
        folder = Path(name)
        save(weights, folder)
        metrics = {"loss": round(last, 4), "steps": STEPS, "dataset": DATASET, "revision": revision}
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
        create_repo(MODEL, exist_ok=True)
        upload_folder(repo_id=MODEL, folder_path=folder, commit_message=f"Trained on {DATASET}@{revision}")
    print(f"{len(text)} characters of source learned: the loss fell from {first:.2f} to {last:.2f} nats")


if __name__ == "__main__":
    main()
