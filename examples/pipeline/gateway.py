"""Setting the stage: a trust domain, its running gateway, a witness, and everybody's identity.

Rules: everything happens through the `nomoat` command, as it would for anybody. One-time codes go
from one process to the next through pipes and are never printed.
"""

import json
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.pipeline.stage import DemoFailed, Stage, nomoat_command

TRUST_DOMAIN: Final = "acme.example"
ADMIN: Final = "admin@acme.example"
TOKEN_LIFE_S: Final = 20  # instead of 900, so that a token expires while somebody watches
START_S: Final = 30

PEOPLE: Final = {"engineer": "engineer@acme.example", "scientist": "scientist@acme.example"}
WORKLOADS: Final = ("ingest", "train", "deploy")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway. `log_key` verifies its log."""

    process: subprocess.Popen[str]
    data: Path
    url: str
    log_key: str


def make(stage: Stage, name: str, domain: str, admin: str) -> Mapping[str, object]:
    """Make the trust domain `domain` in the directory `name`; its administrator is not logged in yet."""
    return stage.nomoat(
        name,
        "init",
        str(stage.directory / name),
        *("--trust-domain", domain, "--admin", admin, "--listen", "127.0.0.1:0"),
        *("--kek", str(stage.directory / "keys" / f"{domain}.kek")),
        *("--token-life", str(TOKEN_LIFE_S)),
    )


def serve(stage: Stage, name: str, log_key: str) -> Gateway:
    """Start the gateway of a directory and wait until it listens, on a port that the system chose."""
    data, log = stage.directory / name, stage.directory / f"{name}.out"
    process = stage.start(name, nomoat_command("serve", str(data), "--json"), log=log)
    url = json.loads(wait_for(process, log, r'\{"url": .*\}'))["url"]
    return Gateway(process, data, str(url), log_key)


def wait_for(process: subprocess.Popen[str], log: Path, pattern: str) -> str:
    """Wait for a line in a started program's output; raise `DemoFailed` when it ends or takes too long."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        ended = process.poll() is not None
        if found := re.search(pattern, log.read_text()):
            return found[0]
        if ended:
            break
        time.sleep(0.02)
    raise DemoFailed(f"{log.stem} did not start: {log.read_text().strip()[-500:]}")


def log_in(stage: Stage, who: str, url: str, code: object) -> Mapping[str, object]:
    """Turn a one-time code into the actor's profile."""
    return stage.nomoat(who, "login", url, "--code", "-", given=f"{code}\n")


def enroll(stage: Stage, who: str, url: str) -> Mapping[str, object]:
    """Have the administrator enrol an actor, and the actor log in."""
    name, options = (PEOPLE[who], ()) if who in PEOPLE else (who, ("--workload",))
    made = stage.nomoat("admin", "enroll", name, *options)
    return log_in(stage, who, url, made["code"])


def rival(stage: Stage) -> Mapping[str, object]:
    """Make another trust domain, with a workload of the same name; returns that one's log-in."""
    made = make(stage, "rival", "rival.example", "mallory")
    declaration = stage.directory / "rival.toml"
    declaration.write_text('[[workload]]\nname = "train"\nsegment = "training"\nclearance = "restricted"\n')
    gateway = serve(stage, "rival", str(made["log_key"]))
    log_in(stage, "mallory", gateway.url, made["code"])
    stage.nomoat("mallory", "apply", str(declaration), "--yes")
    code = stage.nomoat("mallory", "enroll", "train", "--workload")["code"]
    joined = log_in(stage, "rival-train", gateway.url, code)
    stage.end(gateway.process)
    return joined
