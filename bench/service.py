"""The gateway over TLS: requests, downloads, uploads, fairness and memory, from the outside."""

import asyncio
import hashlib
import json
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from bench.live import LARGE, Prepared, Process, free_port, post, prepare, round_trips, running, wrk
from bench.measure import Figure, percentile, require

SMALL = "/datasets/acme/bench/resolve/main/metrics.json"
BIG = "/datasets/acme/bench/resolve/main/large.bin"
SECONDS = 6
UPLOAD = 2 << 30


def measure() -> list[Figure]:
    """Everything that needs a live gateway; needs `wrk` and `curl` (Debian packages of these names)."""
    require("wrk", "curl")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        prepared = asyncio.run(prepare(directory / "gateway", free_port(), large=LARGE))
        bare = stack.enter_context(running("-m", "bench.bare", str(free_port())))
        _warm(bare, "", "/")
        gateway = stack.enter_context(running("-m", "nomoat.cli", "serve", str(prepared.directory)))
        idle = _idle(gateway, prepared)
        return [
            *_requests(gateway, bare, prepared),
            *_download(gateway, prepared),
            *_fairness(gateway, prepared),
            *_memory(gateway, prepared, directory, idle),
        ]


def _warm(server: Process, token: str, path: str) -> None:
    for _ in range(50):
        try:
            _get(server.url + path, token)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{server.url} does not answer")


def _get(url: str, token: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as answer:  # noqa: S323, SLF001 - loopback, ours
        return bytes(answer.read())


def _idle(gateway: Process, prepared: Prepared) -> int:
    for _ in range(20):
        _get(gateway.url + SMALL, prepared.token)
    return gateway.memory("VmRSS")


def _wrk(server: Process, path: str, token: str) -> tuple[float, float]:
    """(requests a second, CPU microseconds a request) at 256 connections."""
    requests, cost = wrk(server, server.url + path, f"Bearer {token}", connections=256, seconds=SECONDS)
    return requests / SECONDS, cost


def _size(gateway: Process) -> int:
    return int(_get(gateway.url + "/v1/checkpoint", "").split(b"\n")[1])


def _requests(gateway: Process, bare: Process, prepared: Prepared) -> list[Figure]:
    ratios, rates, costs = [], [], []
    for _ in range(3):
        _, alone = _wrk(bare, "/", prepared.token)
        before, begun = _size(gateway), time.perf_counter()
        _, cost = _wrk(gateway, SMALL, prepared.token)
        rates.append((_size(gateway) - before) / (time.perf_counter() - begun))
        ratios.append(cost / alone)
        costs.append(cost)
    remark = f"{statistics.median(costs):.0f} µs of CPU a request"
    return [
        Figure("TLS request ÷ bare handler's CPU", statistics.median(ratios), "×", "at most", 5, remark),
        Figure("over HTTPS, 256 in flight", statistics.median(rates), "records/s", "at least", 10_000),
    ]


def _curl(url: str, token: str) -> list[str]:
    return ["curl", "-sSfk", "-o", "/dev/null", "-H", f"Authorization: Bearer {token}", url]


def _download(gateway: Process, prepared: Prepared) -> list[Figure]:
    speeds = []
    for _ in range(3):
        begun = gateway.cpu()
        subprocess.run(_curl(gateway.url + BIG, prepared.token), check=True)
        speeds.append(LARGE / (gateway.cpu() - begun) / 1e9)
    return [Figure("download over TLS", statistics.median(speeds), "GB/s of CPU", "at least", 0.8)]


def _fairness(gateway: Process, prepared: Prepared) -> list[Figure]:
    """The time of a small request while four clients download as fast as they can."""
    stop = threading.Event()

    def download() -> None:
        while not stop.is_set():
            with subprocess.Popen(_curl(gateway.url + BIG, prepared.token)) as process:
                while process.poll() is None:
                    if stop.wait(0.05):
                        process.kill()

    threads = [threading.Thread(target=download) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    times = _small_requests(gateway, prepared, 600)
    stop.set()
    for thread in threads:
        thread.join()
    remark = f"p50 {percentile(times, 0.5) * 1000:.1f} ms"
    name = "small request's p99 beside four downloads"
    return [Figure(name, percentile(times, 0.99) * 1000, "ms", "at most", 25, remark)]


def _small_requests(gateway: Process, prepared: Prepared, count: int) -> list[float]:
    host = gateway.url.removeprefix("https://")
    request = f"GET {SMALL} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {prepared.token}\r\n\r\n".encode()
    return round_trips(gateway.url, (request for _ in range(count)), b'"accuracy"')


def _memory(gateway: Process, prepared: Prepared, directory: Path, idle: int) -> list[Figure]:
    """Peak memory above idle while 2 GB go up and come down."""
    source = directory / "upload.bin"
    with source.open("wb") as file:
        file.truncate(UPLOAD)
    digest = hashlib.sha256()
    for _ in range(UPLOAD >> 20):
        digest.update(bytes(1 << 20))
    oid = digest.hexdigest()
    gateway.forget_peak()
    batch = {
        "operation": "upload",
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "objects": [{"oid": oid, "size": UPLOAD}],
    }
    url = f"{gateway.url}/datasets/acme/bench.git/info/lfs/objects/batch"
    answer = post(url, json.dumps(batch).encode(), prepared.token, "application/vnd.git-lfs+json")
    href = json.loads(answer)["objects"][0]["actions"]["upload"]["href"]
    subprocess.run(["curl", "-sSfk", "-T", str(source), href], check=True, stdout=subprocess.DEVNULL)
    up = gateway.memory("VmHWM") - idle
    header = json.dumps({"key": "header", "value": {"summary": "2 GB"}})
    entry = json.dumps({"key": "lfsFile", "value": {"path": "two.bin", "algo": "sha256", "oid": oid, "size": UPLOAD}})
    commit = f"{gateway.url}/api/datasets/acme/bench/commit/main"
    post(commit, f"{header}\n{entry}\n".encode(), prepared.token, "application/x-ndjson")
    gateway.forget_peak()
    subprocess.run(_curl(f"{gateway.url}/datasets/acme/bench/resolve/main/two.bin", prepared.token), check=True)
    down = gateway.memory("VmHWM") - idle
    return [
        Figure("memory above idle, 2 GB up", up / 2**20, "MiB", "at most", 64),
        Figure("memory above idle, 2 GB down", down / 2**20, "MiB", "at most", 64),
    ]
