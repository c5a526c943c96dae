"""A soak: a gateway under steady load while clients come and go, some slowly, some never finishing.

    python -m bench.soak                    10 minutes at 70 % of what it can do
    python -m bench.soak --minutes 2        shorter

Measures the peak first, then keeps to a share of it. Memory and descriptors are read at the end of each
tenth of the time; the first three tenths are warm-up. Ends with 1 when a bound does not hold.
"""

import argparse
import asyncio
import resource
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.live import Prepared, Process, free_port, prepare, running
from bench.measure import percentile

SMALL = "/datasets/acme/bench/resolve/main/metrics.json"
BIG = "/datasets/acme/bench/resolve/main/large.bin"
LARGE = 32 << 20
CLIENTS = 32
LIFE = 200  # requests of a connection before its client leaves and another comes
SLOW = 8  # clients that read a large file a few KiB at a time
HALF_OPEN = 16  # connections that never finish a handshake or a request
WARM = 3  # tenths
MOST_GROWTH = 1.10  # memory at the end ÷ after the warm-up
MOST_DRIFT = 2.0  # p99 of the last tenths ÷ of those after the warm-up


@dataclass
class Tenth:
    """What a tenth of the time was like: memory in bytes, times in seconds."""

    memory: int = 0
    descriptors: int = 0
    times: list[float] = field(default_factory=list[float])
    failed: int = 0


@dataclass
class Result:
    """A soak that was done. `peak` and `rate` are in requests a second."""

    peak: float
    rate: float
    tenths: list[Tenth]

    @property
    def growth(self) -> float:
        """Memory at the end as a multiple of that after the warm-up."""
        return self.tenths[-1].memory / self.tenths[WARM - 1].memory

    @property
    def leaked(self) -> int:
        """How many more descriptors there were at the end than at most after the warm-up."""
        return self.tenths[-1].descriptors - max(tenth.descriptors for tenth in self.tenths[WARM - 1 : -1])

    @property
    def drift(self) -> float:
        """The p99 of the last two tenths as a multiple of that of the two after the warm-up."""
        first = [each for tenth in self.tenths[WARM : WARM + 2] for each in tenth.times]
        last = [each for tenth in self.tenths[-2:] for each in tenth.times]
        return percentile(last, 0.99) / percentile(first, 0.99)

    @property
    def failed(self) -> int:
        """Requests that were not answered as they should."""
        return sum(tenth.failed for tenth in self.tenths)


class Soak:
    """Clients of one gateway."""

    def __init__(self, process: Process, prepared: Prepared, clients: int) -> None:
        self._process = process
        self._token = prepared.token
        self._clients = clients
        host, _, port = process.url.removeprefix("https://").partition(":")
        self._address = (host, int(port))
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE  # loopback, ours
        self._now = Tenth()
        self._stop = asyncio.Event()

    async def run(self, seconds: float, share: float, probe: float) -> Result:
        """Measure the peak for `probe` seconds, then soak at `share` of it."""
        peak = await self._measure(probe)
        rate = peak * share
        tenths: list[Tenth] = []
        pause = self._clients / rate
        clients = [self._forever(lambda: self._client(pause)) for _ in range(self._clients)]
        beside = [self._forever(self._slow) for _ in range(SLOW)] + [
            self._forever(self._half) for _ in range(HALF_OPEN)
        ]
        tasks = [asyncio.create_task(each) for each in (*clients, *beside)]
        for _ in range(10):
            self._now = tenth = Tenth()
            begun = time.perf_counter()
            await asyncio.sleep(seconds / 10)
            tenth.memory = self._process.memory("VmRSS")
            tenth.descriptors = self._process.descriptors()
            rate = len(tenth.times) / (time.perf_counter() - begun)
            tenths.append(tenth)
            print(
                f"{rate:7.0f} requests/s  p50 {percentile(tenth.times, 0.5) * 1000:6.1f} ms  "
                f"p99 {percentile(tenth.times, 0.99) * 1000:6.1f} ms  {tenth.memory / 2**20:6.1f} MiB  "
                f"{tenth.descriptors} descriptors  {tenth.failed} failed",
                flush=True,
            )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return Result(peak, rate, tenths)

    async def _measure(self, seconds: float) -> float:
        """How many requests a second it answers when nobody waits; this measures the clients with it."""
        self._now = Tenth()
        tasks = [asyncio.create_task(self._forever(lambda: self._client(0.0))) for _ in range(self._clients)]
        await asyncio.sleep(seconds / 4)
        self._now = measured = Tenth()
        begun = time.perf_counter()
        await asyncio.sleep(seconds * 3 / 4)
        peak = len(measured.times) / (time.perf_counter() - begun)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return peak

    async def _forever(self, client: Callable[[], Coroutine[None, None, None]]) -> None:
        while True:
            try:
                await client()
            except (OSError, EOFError, asyncio.LimitOverrunError):
                self._now.failed += 1
                await asyncio.sleep(0.1)

    async def _client(self, pause: float) -> None:
        """Come, ask LIFE times at a steady rate, leave."""
        reader, writer = await asyncio.open_connection(*self._address, ssl=self._context)
        try:
            due = time.perf_counter()
            for _ in range(LIFE):
                begun = time.perf_counter()
                writer.write(self._request(SMALL))
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_length(head))
                self._now.times.append(time.perf_counter() - begun)
                self._now.failed += not head.startswith(b"HTTP/1.1 200")
                due = max(due + pause, time.perf_counter() - pause)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
        finally:
            writer.transport.abort()

    async def _slow(self) -> None:
        """Read a large file a few KiB at a time for a while, then leave in the middle."""
        reader, writer = await asyncio.open_connection(*self._address, ssl=self._context, limit=4096)
        try:
            writer.write(self._request(BIG))
            for _ in range(20):
                await reader.read(4096)
                await asyncio.sleep(0.1)
        finally:
            writer.transport.abort()

    async def _half(self) -> None:
        """Open a connection and never finish: neither handshake nor request. The gateway ends it."""
        with socket.socket() as channel:
            channel.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(channel, self._address)
            with suppress(OSError):
                await loop.sock_recv(channel, 1)

    def _request(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n\r\n".encode()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise EOFError("an answer without a length")


def soak(directory: Path, seconds: float, *, share: float = 0.7, clients: int = CLIENTS, probe: float = 8.0) -> Result:
    """Soak a gateway that is made in `directory`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    prepared = asyncio.run(prepare(directory / "gateway", free_port(), large=LARGE))
    with running("-m", "nomoat.cli", "serve", str(prepared.directory)) as process:
        return asyncio.run(Soak(process, prepared, clients).run(seconds, share, probe))


def main() -> int:
    """Soak and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--share", type=float, default=0.7, help="of the peak")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        done = soak(Path(name), chosen.minutes * 60, share=chosen.share, clients=chosen.clients)
    print(f"peak {done.peak:.0f} requests/s; soaked at {chosen.share:.0%} of it")
    holds = True
    for what, value, most in (
        ("memory at the end ÷ after the warm-up", done.growth, MOST_GROWTH),
        ("descriptors more than before", done.leaked, HALF_OPEN),
        ("p99 at the end ÷ after the warm-up", done.drift, MOST_DRIFT),
        ("failed requests", done.failed, 0),
    ):
        holds &= value <= most
        print(f"{what:<40} {value:8.2f}  at most {most:5.2f}  {'holds' if value <= most else 'MISSED'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
