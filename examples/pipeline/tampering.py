"""What was changed after it was signed: on the gateway's disk, in its state, and in a copy that somebody downloaded.

Rules: each is seen to be good first and again afterwards: whatever is changed at the gateway is put back.
"""

import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select, update

from examples.pipeline.gateway import again
from examples.pipeline.ledger import Expected, Row
from examples.pipeline.review import deployed, served
from examples.pipeline.stage import DemoFailed, nomoat_command
from examples.pipeline.story import MODEL, Scene, forget_downloads, profile
from nomoat.attestation.model_signature import FILE_NAME
from nomoat.server.configuration import load_configuration
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.state.schema import stage as stages
from nomoat.stores.streaming import ciphertext_size

WEIGHTS: Final = "model.safetensors"
DOWNLOADED: Final = "downloaded"
TOLD: Final = "failed verification"
NOTES: Final = ".cache"  # of the stock client, about its own downloads


def offline(scene: Scene) -> list[Row]:
    """Download the model with a stock client; two tools verify it there, and refuse it once a byte of it is another one."""
    directory = scene.stage.home("deploy") / DOWNLOADED
    hub = ("-m", "huggingface_hub.cli.hf", "download", MODEL, "--local-dir", str(directory))
    done = scene.stage.finish(scene.stage.program("deploy", *hub))
    if done.code:
        raise DemoFailed(f"the model was not downloaded ({done.code}): {done.err.strip()[-500:]}")
    ca = profile(scene.stage, "deploy") / "ca.pem"
    tools = {
        "nomoat verify": nomoat_command("verify", str(directory)),
        "model_signing": [
            *(sys.executable, "-m", "model_signing", "verify", "certificate", str(directory)),
            *("--signature", str(directory / FILE_NAME), "--certificate_chain", str(ca)),
            *("--ignore-paths", str(directory / NOTES), "--no-ignore-git-paths"),
        ],
    }
    calls = [partial(scene.stage.run, "deploy", command) for command in tools.values()]
    good = [done.code == 0 for done in scene.stage.together(*calls)]
    with flipped(directory / WEIGHTS):
        bad = [done.code == 0 for done in scene.stage.together(*calls)]
    scene.say("deploy: OpenSSF's tool and ours verify the downloaded model, and refuse it with one byte changed")
    return [
        row
        for tool, before, after in zip(tools, good, bad, strict=True)
        for row in (
            _row(tool, f"{MODEL}, downloaded", "verified" if before else "REFUSED", held=before),
            _row(tool, f"{MODEL}, one byte changed", "ACCEPTED" if after else "found", held=not after),
        )
    ]


def on_the_disk(scene: Scene) -> None:
    """Flip one byte of the stored weights, then of their signature, and deploy them."""
    for name, what in ((WEIGHTS, "weights"), (FILE_NAME, "signature")):
        with flipped(_stored(scene, name)):
            _refused(scene, f"one byte of the stored {what} is another one")
    scene.say("one flipped byte in the stored weights or in their signature, and nothing of them is served")


def in_the_state(scene: Scene) -> Scene:
    """Flip one byte of the signed summary of the approval, as whoever holds the gateway's key could, and deploy."""
    flip = partial(_flip_summary, scene.gateway.data, served(scene))
    scene = replace(scene, gateway=again(scene.stage, scene.gateway, flip))
    _refused(scene, "one byte of the summary of its approval is another one")
    scene = replace(scene, gateway=again(scene.stage, scene.gateway, flip))  # the same bit: it is as it was
    deployed(scene, "the summary is as it was signed again")
    scene.say("one flipped byte in the signed summary of the approval, and nothing of the model is served")
    return scene


@contextmanager
def flipped(path: Path) -> Generator[None]:
    """Have one byte in the middle of a file be another one for the time of the `with`."""

    def flip() -> None:
        with path.open("r+b") as content:
            middle = path.stat().st_size // 2
            content.seek(middle)
            byte = content.read(1)[0]
            content.seek(middle)
            content.write(bytes([byte ^ 1]))

    flip()
    try:
        yield
    finally:
        flip()


def _flip_summary(data: Path, commit: str) -> None:
    """Flip one bit of the newest summary of a version, in the state of a gateway that does not run."""
    newest = select(stages.c.number, stages.c.statement).where(stages.c.revision == commit)

    def flip(connection: Connection) -> None:
        number, statement = connection.execute(newest.order_by(stages.c.number.desc()).limit(1)).one()
        middle = len(statement) // 2
        forged = statement[:middle] + bytes([statement[middle] ^ 1]) + statement[middle + 1 :]
        connection.execute(update(stages).where(stages.c.number == number).values(statement=forged))

    key = KeyEncryptionKey.load(load_configuration(data).kek)
    state = State.open(data / "state.db", key.derive("state"))
    try:
        asyncio.run(state.write(flip))
    finally:
        state.close()


def _stored(scene: Scene, name: str) -> Path:
    """The stored content of a file of the model, found by the size that the downloaded one has."""
    size = ciphertext_size((scene.stage.home("deploy") / DOWNLOADED / name).stat().st_size)
    objects = [path for path in (scene.gateway.data / "objects").rglob("*") if path.is_file()]
    found = [path for path in objects if path.stat().st_size == size]
    if len(found) != 1:
        raise DemoFailed(f"{len(found)} stored contents could be {name}")
    return found[0]


def _refused(scene: Scene, what: str) -> None:
    """The deployment is allowed to read the weights, and gets nothing of them."""
    forget_downloads(scene.stage, "deploy")
    after = scene.line.newest()
    done = scene.stage.finish(scene.stage.program("deploy", "deploy.py"))
    told = [line for line in done.err.splitlines() if TOLD in line]
    scene.ledger.expect(
        Expected(
            *(after, "workload deploy", "ReadFile", f"{MODEL}@*:{WEIGHTS}", "allowed", "deployment-reads-models"),
            ending="failed",
            note=f"{what}: {told[-1].strip()}" if told else f"{what}, AND IT WAS NOT NOTICED",
            also=bool(told) and done.code != 0,
        )
    )


def _row(tool: str, on: str, found: str, *, held: bool) -> Row:
    return Row("", "deploy, offline", tool, on, found, "by the certificate of the gateway's authority", held)
