"""Publishes the source of the pitch controller as a dataset, for a model of the team's own.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

from pathlib import Path

from huggingface_hub import create_repo, upload_folder

DATASET = "acme/pitch-control"
SOURCE = Path(__file__).parents[1] / "turbine"


def main() -> None:
    create_repo(DATASET, repo_type="dataset", exist_ok=True)
    upload_folder(repo_id=DATASET, repo_type="dataset", folder_path=SOURCE, allow_patterns="*.py")
    print(f"{len(list(SOURCE.glob('*.py')))} files of source are a dataset")


if __name__ == "__main__":
    main()
