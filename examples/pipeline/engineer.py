"""A data engineer fetches the augmented images over a slow line.

An ordinary program of the Hugging Face client. It knows of no gateway.
"""

import time

from huggingface_hub import get_session, get_token, hf_hub_url

DATASET = "acme/digits"
FILE = "data/augmented.npy"
RATE = 12e6  # bytes a second


def main() -> None:
    address = hf_hub_url(DATASET, FILE, repo_type="dataset")
    received = 0
    with get_session().stream("GET", address, headers={"Authorization": f"Bearer {get_token()}"}) as response:
        response.raise_for_status()
        expected = int(response.headers["content-length"])
        for chunk in response.iter_bytes():
            received += len(chunk)
            print(f"{time.time():.3f} received {received} of {expected}", flush=True)
            time.sleep(len(chunk) / RATE)
    print("that is all of it")


if __name__ == "__main__":
    main()
