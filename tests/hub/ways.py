"""Stock clients as their users start them: with what `nomoat env TOOL` says, directly or by way of `nomoat proxy`."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cli.live import Caller
from tests.hub.live import Live, run_stock

# A repository of each kind for each way, so that all can share one gateway: `acme/direct` and `acme/proxy`.
DECLARED = """
[[dataset]]
name = "acme/{way}"
classification = "confidential"
owner = "group:data-engineers"
files = [
  {{ path = "metrics.json", labels = ["metrics"], classification = "internal" }},
  {{ path = "open/**", classification = "public" }},
]
[[dataset]]
name = "acme/{way}-shelf"
classification = "internal"
[[model]]
name = "acme/{way}"
classification = "internal"
review = "none"
[[model]]
name = "acme/{way}-reader"
classification = "internal"
review = "none"
"""
CREATED = """
    import os
    from huggingface_hub import create_repo
    create_repo(os.environ["REPOSITORY"], repo_type="{kind}")
"""
BINDING = {"direct": "none", "proxy": "dpop"}  # what policies see of it


@dataclass
class Way:
    """How stock clients come to the gateway: `name` is `direct` or `proxy`. Scripts find theirs in `REPOSITORY`."""

    live: Live
    name: str
    running: ExitStack
    proxied: set[str] = field(default_factory=set[str])

    @property
    def repository(self) -> str:
        return f"acme/{self.name}"

    @property
    def caller(self) -> Caller:
        return Caller(self.live.root / "home")

    def settings(self, who: str, tool: str = "hub") -> dict[str, str]:
        """The environment of `who` after `nomoat env`, as it is without anything else set."""
        profile = ("--profile", self.live.profiles[who].name)
        if self.name == "proxy" and who not in self.proxied:
            process = self.running.enter_context(self.caller.running("proxy", "--json", *profile))
            assert process.stdout is not None
            assert process.stdout.readline(), process.communicate(timeout=20)[1]
            self.proxied.add(who)
        said = self.caller.nomoat("env", tool, "--json", *profile, *(["--proxy"] if self.name == "proxy" else []))
        assert said.code == 0, said.err
        settings: dict[str, str] = json.loads(said.out)["set"]
        home = self.live.root / "homes" / who
        home.mkdir(parents=True, exist_ok=True)
        plain = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        return plain | settings | {"REPOSITORY": self.repository}

    def stock(self, who: str, script: str, tool: str = "hub", **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a script that knows nothing of this project as `who`, in a folder of this way."""
        folder = self.live.root / self.name
        folder.mkdir(exist_ok=True)
        return run_stock(script, self.settings(who, tool) | more, folder)

    def done(self, who: str, script: str, tool: str = "hub", **more: str) -> str:
        """Run such a script, which must succeed; return what it printed."""
        finished = self.stock(who, script, tool, **more)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def endings(self, query: str, count: int) -> list[dict[str, Any]]:
        """How the `count` accesses that a query finds ended, once all have."""
        deadline = time.monotonic() + 15
        while True:
            found = [record.get("outcome") for record in self.live.records(query) if record["kind"] == "opening"]
            ended = [outcome for outcome in found if outcome]
            if len(ended) == len(found) >= count:
                return ended
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Whatever stock clients are recorded to have done meanwhile was bound as this way is, and something was."""
        before = accesses(self.live)
        yield
        fresh = accesses(self.live).items() - before.items()
        assert {binding for _, binding in fresh} == {BINDING[self.name]}


def accesses(live: Live) -> Mapping[int, str]:
    """How what was shown for each recorded access of the Hub's protocol is bound, by the record's number.

    An upload URL is a credential by itself: it counts as what it was obtained with.
    """
    return {
        record["n"]: record["context"]["obtained"]
        if record["who"]["binding"] == "capability"
        else record["who"]["binding"]
        for record in live.records("", limit=1000)
        if record.get("request", {}).get("protocol") == "hub"
    }


@contextmanager
def way_of(live: Live, name: str) -> Iterator[Way]:
    with contextlib.ExitStack() as running:
        way = Way(live, name, running)
        live.declare(DECLARED.format(way=name))
        for who, kind in (("ingest", "dataset"), ("train", "model")):
            way.done(who, CREATED.format(kind=kind))
        yield way
