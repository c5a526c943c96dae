"""Setting the stage: a trust domain, its running gateway, a witness, and everybody's identity.

Rules: everything happens through the `nomoat` command, as it would for anybody. One-time codes go
from one process to the next through pipes and are never printed.
"""

import getpass
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from examples.pipeline.stage import DemoFailed, Stage, nomoat_command
from nomoat.identity.tokens import TOKEN_LIFE
from nomoat.server.configuration import FILE, load_configuration

TRUST_DOMAIN: Final = "acme.example"
ADMIN: Final = "admin@acme.example"
SHORT_S: Final = 10  # the life of tokens at first, so that one expires while somebody watches
WITNESS_USER: Final = "nobody"
START_S: Final = 30

PEOPLE: Final = {
    who: f"{who}@acme.example" for who in ("engineer", "scientist", "modeler", "approver", "developer", "colleague")
}
WORKLOADS: Final = ("ingest", "train", "deploy", "train-lm", "serving")


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
        *("--token-life", str(SHORT_S)),
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


def settle(stage: Stage, gateway: Gateway) -> Gateway:
    """Start the gateway again, at the same address, with tokens of the usual life."""
    port = urlsplit(gateway.url).port or 0
    return again(stage, gateway, lambda: configure(gateway.data, port=port, token_lifetime_s=TOKEN_LIFE))


def again(stage: Stage, gateway: Gateway, meanwhile: Callable[[], object]) -> Gateway:
    """End the gateway, do something `meanwhile`, and start it again."""
    stage.end(gateway.process)
    meanwhile()
    return serve(stage, gateway.data.name, gateway.log_key)


def configure(data: Path, **changes: Any) -> None:
    """Change a gateway's configuration, as its operator would in `nomoat.toml`."""
    (data / FILE).write_text(replace(load_configuration(data), **changes).dump())


@dataclass(frozen=True, slots=True)
class Witness:
    """A running witness: its verifier key, and the user that it runs as."""

    key: str
    user: str


def witness(stage: Stage, data: Path, log_key: str) -> Witness:
    """Start a witness for the log of a gateway, as another user if we may, and tell the gateway of it."""
    directory = stage.directory / "witness"
    if user := _another_user(stage, directory):
        try:
            return _witness_as(stage, directory, data, log_key, user)
        except DemoFailed:  # where nobody may become another, as in some containers
            shutil.rmtree(directory)
    return _witness_as(stage, directory, data, log_key, "")


def _witness_as(stage: Stage, directory: Path, data: Path, log_key: str, user: str) -> Witness:
    command = [sys.executable, "-m", "examples.pipeline.unprivileged", user] if user else nomoat_command()
    made = stage.run("witness", [*command, "witness", "init", str(directory), "--json"])
    if made.code:
        raise DemoFailed(f"the witness was not made: {made.err.strip()}")
    log = stage.directory / "witness.out"
    serving = ("witness", "serve", str(directory), "--log", log_key, "--listen", "127.0.0.1:0", "--json")
    process = stage.start("witness", [*command, *serving], log=log)
    url = json.loads(wait_for(process, log, r'\{"url": .*\}'))["url"]
    key = str(json.loads(made.out)["witness_key"])
    configure(data, witness=str(url), witness_key=key)
    return Witness(key, user or getpass.getuser())


def _another_user(stage: Stage, directory: Path) -> str:
    """The user to run the witness as ('' for this one); makes its directories where that user can go."""
    if os.geteuid() != 0:
        return ""
    try:
        entry = pwd.getpwnam(WITNESS_USER)
    except KeyError:
        return ""
    # Another user gets there only through directories that everybody may enter.
    if not all(parent.stat().st_mode & 0o001 for parent in directory.parents):
        return ""
    directory.mkdir(mode=0o700)
    for mine in (directory, stage.home("witness")):
        os.chown(mine, entry.pw_uid, entry.pw_gid)
    return WITNESS_USER


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
