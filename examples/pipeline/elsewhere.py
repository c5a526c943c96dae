"""Somebody else's model, trained on a text that everybody has: what the other house would serve.

python -m examples.pipeline.elsewhere FOLDER
"""

import codecs
import contextlib
import io
import sys
from pathlib import Path

from examples.pipeline.language import save, train

STEPS = 250


def main() -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        import this  # noqa: PLC0415 - importing it prints it
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    weights, losses = train(codecs.decode(this.s, "rot13"), STEPS)
    save(weights, folder)
    print(f"the loss fell from {losses[0]:.2f} to {losses[-1]:.2f} nats")


if __name__ == "__main__":
    main()
