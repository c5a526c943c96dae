"""The demonstration: a pipeline through a live gateway, the attacks on it, the table, the proof.

    python -m examples.pipeline [--directory DIR]

Everything lies in one directory (`.demo`, made anew by each run), on loopback ports that the system
chooses. In a terminal the gateway stays up afterwards, until Ctrl-C; otherwise everything ends with
exit code 0, or 1 if anything was not as it must be.
"""

import argparse
import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, cast

from rich.console import Console
from rich.text import Text

from examples.pipeline import (
    coding,
    gateway,
    handbook,
    metrics,
    poisoning,
    proof,
    review,
    serving,
    story,
    tampering,
    tracing,
)
from examples.pipeline.attacks import ATTACKS
from examples.pipeline.ledger import Expected, Json, Ledger, Row, draw
from examples.pipeline.line import Line, other_address
from examples.pipeline.stage import ROOT, DemoFailed, Stage

WIDTH: Final = 200  # of the table where there is no terminal
VERIFIED: Final = "log verified"
COUNTED_S: Final = 15  # what fails in the TLS handshake is recorded, counted, every 10 s

Say = Callable[[str], None]


def main() -> int:
    """Run the demonstration and return its exit code."""
    arguments = _arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, soft_wrap=False)
    started = time.monotonic()

    def say(what: str) -> None:
        console.print(Text.assemble((f"{time.monotonic() - started:5.1f} s  ", "dim"), what), soft_wrap=True)

    try:
        with Stage(arguments.directory) as stage:
            scene = _set(stage, say)
            rows, verified = _play(scene)
            say("every step compared with the log, and the log verified on a copy")
            console.print()
            draw(rows, console)
            console.print(f"\n{verified}", markup=False, soft_wrap=True)
            missed = sum(not row.held for row in rows) + (not verified.startswith(VERIFIED))
            console.print(f"{missed} of {len(rows)} expectations NOT met" if missed else "every expectation met")
            if sys.stdin.isatty() and sys.stdout.isatty():
                _stay(scene, rows, console)
            return 1 if missed else 0
    except DemoFailed as failure:
        print(f"the demonstration failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.pipeline", description=__doc__)
    parser.add_argument("--directory", type=Path, default=ROOT / ".demo", help="where everything goes (made anew)")
    return parser.parse_args()


def _set(stage: Stage, say: Say) -> story.Scene:
    """Make the trust domain, start its gateway and witness, and give everybody an identity."""
    made = gateway.make(stage, "gateway", gateway.TRUST_DOMAIN, gateway.ADMIN)
    log_key = str(made["log_key"])
    witness = gateway.witness(stage, stage.directory / "gateway", log_key)
    live = gateway.serve(stage, "gateway", log_key)
    say(f"a gateway for {gateway.TRUST_DOMAIN} serves {live.url}, a witness (user {witness.user}) co-signs its log")
    admin = gateway.log_in(stage, "admin", live.url, made["code"])
    declared = Path(__file__).with_name("acme.toml")
    stage.nomoat("admin", "apply", str(declared), "--yes")
    who = [*gateway.WORKLOADS, *gateway.PEOPLE]
    enrolments = [partial(gateway.enroll, stage, name, live.url) for name in who]
    _, *joined = stage.together(partial(gateway.rival, stage), *enrolments)
    say(f"{declared.name} is applied; {', '.join(who)} each joined with a one-time code and a key of their own")
    ca = story.profile(stage, "admin") / "ca.pem"
    identities = {"admin": admin, **dict(zip(who, joined, strict=True))}
    line, thief = Line(live.url, ca), Line(live.url, ca, other_address())
    scene = story.Scene(stage, live, witness, line, thief, identities, Ledger(), say)
    story.short_token(scene)
    return replace(scene, gateway=gateway.settle(stage, live))


def _play(scene: story.Scene) -> tuple[list[Row], str]:
    """Run the pipeline, then the attacks; return the table and what verification says."""
    stage, laptop = scene.stage, proof.Laptop(scene.stage, scene.gateway.log_key, scene.witness.key)
    scene.ledger.expect(Expected(-1, "person admin@*", "ApplyDirectory", "*", "allowed", "administrators-administer"))
    story.ingest(scene)
    poisoning.approved(scene)
    story.train(scene)
    yesterday = laptop.take(scene.gateway.data / "log", "yesterday")
    review.unapproved(scene)
    story.deploy(scene)
    review.malicious(scene)
    review.quarantined(scene)
    poisoning.held_back(scene)
    tracing.both_ways(scene)
    story.scientist(scene)
    story.query(scene)
    metrics.budget(scene)
    _infer(scene)
    checked = tampering.offline(scene)
    scene = tampering.in_the_state(scene)
    for attack in ATTACKS:
        attack(scene)
    rows = [*_compared(scene), *checked]

    laptop.keep(story.profile(stage, "admin") / "checkpoint")
    proof.wait_for_witness(scene.gateway.data / "log", scene.line.newest() + 1)
    copy = laptop.take(scene.gateway.data / "log", "log")
    rows += [proof.edited(laptop, copy, _refusal(rows)), *proof.rolled_back(laptop, yesterday)]
    _, found = laptop.verify(copy)
    return rows, f"{proof.sentence(found)}          next: nomoat audit search 'on {story.DATASET}'"


def _infer(scene: story.Scene) -> None:
    """Train a language model, serve it, and work with it."""
    served = serving.served(scene, serving.trained(scene))
    coding.in_public(scene, served)
    coding.inside(scene, served)
    coding.remembered(scene)
    coding.outside(scene, served)
    coding.of_another_team(scene)
    folder = handbook.kept(scene)
    handbook.asked_by_two(scene)
    handbook.raised(scene, folder)
    coding.registered(scene, served)
    coding.revoked(scene)
    coding.withdrawn(scene, served)


def _refusal(rows: Sequence[Row]) -> int:
    """The record that somebody would like to have said otherwise: the scientist's refusal."""
    numbers = [int(row.record) for row in rows if "scientist" in row.who and row.decision == "refused" and row.record]
    if not numbers:
        raise DemoFailed("the log does not know that the scientist was refused")
    return numbers[0]


def _compared(scene: story.Scene) -> list[Row]:
    """Compare with the log; what was refused before there was a request takes up to 10 s to be counted."""
    until = time.monotonic() + COUNTED_S
    while True:
        found = scene.stage.nomoat("admin", "audit", "search", "--limit", "1000")
        rows = scene.ledger.compare(cast("list[Json]", found["records"]))
        if all(row.record for row in rows) or time.monotonic() > until:
            return rows
        time.sleep(1)


def _stay(scene: story.Scene, rows: Sequence[Row], console: Console) -> None:
    """Leave the gateway running, say what to try, and wait for Ctrl-C."""

    def home(who: str) -> str:
        return f"NOMOAT_HOME={shlex.quote(str(scene.stage.home(who) / 'nomoat'))}"

    lines = (
        f"the gateway keeps running at {scene.gateway.url} until Ctrl-C; in another terminal, try:",
        f"  cd {shlex.quote(str(ROOT))} && . .venv/bin/activate",
        f"  export {home('admin')}",
        f"  nomoat audit search 'on {story.DATASET}'",
        f"  nomoat audit show {_refusal(rows)}",
        f"  nomoat audit search 'on {serving.CODER}'",
        f"  {home('scientist')} nomoat exec -- hf download {story.DATASET} metrics.json --repo-type dataset",
        "  nomoat revoke person scientist@acme.example   (and the line before once more)",
    )
    console.print("\n" + "\n".join(lines), markup=False, soft_wrap=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
