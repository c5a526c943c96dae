"""A proxy in this process before the live gateway, and clients that come through it."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

from nomoat.client.environment import hub_through
from nomoat.client.proxy.serving import Proxy
from nomoat.core.errors import NoMoatError
from tests.hub.live import Live, run_stock


@dataclass
class Through:
    """A running proxy of `name`; `told` is what it said of its identity."""

    live: Live
    name: str
    proxy: Proxy
    told: list[NoMoatError] = field(default_factory=list[NoMoatError])

    @property
    def url(self) -> str:
        return self.proxy.url

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def key(self) -> str:
        return self.proxy.entrance.token_path.read_text()

    def http(self, **headers: str) -> httpx2.Client:
        """A plain client that shows the key."""
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}", **headers}, timeout=30)

    def done(self, script: str) -> str:
        """Run a script that knows nothing of this project, which must succeed; return what it printed."""
        profile = self.live.profiles[self.name]
        plain = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        home = {"HF_HOME": str(self.live.root / "hf" / f"{self.name}-proxy"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        settings = hub_through(self.proxy.entrance, profile, profile.identity(), plain).applied(plain) | home
        finished = run_stock(script, settings, self.live.root)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout


@contextmanager
def through(live: Live, name: str, listen: str = "127.0.0.1:0", *, by_certificate: bool = False) -> Generator[Through]:
    told: list[NoMoatError] = []
    with Proxy(live.profiles[name], time.time, told.append, listen=listen, by_certificate=by_certificate) as proxy:
        yield Through(live, name, proxy, told)
    assert not proxy.entrance.token_path.exists()
