"""Models, which are signed and verified, beside the same contents where nothing of that is done.

Publishing is compared with the plain encrypted upload: the same client, TLS, server and bytes, hashed, encrypted and
synced by the same store (`bench.bare`), without an identity, a decision, a record, a scan or a signature. Reading is
compared with the same file in a dataset, whose versions carry no signature, by turns and within one gateway.
"""

import asyncio
import hashlib
import json
import random
import secrets
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bench.live import ADMIN, Process, bearer, connected, free_port, join, post, presented, running
from bench.measure import Figure, require
from nomoat.core.connection import Bearer, Capability
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import ApplyDirectory, Change, CreateRepository, GrantUpload, UploadBlob, WriteFile
from nomoat.core.principal import PrincipalKind
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize

PUBLISHED, SERVED = 256 << 20, 2 << 30  # bytes of tensors
UPLOADS, DOWNLOADS, RANGES = 7, 30, 2_000
RANGE = 4096
PART = 1 << 20
LFS_JSON = "application/vnd.git-lfs+json"
MODEL = RepositoryName(RepositoryKind.MODEL, "acme", "bench")
DATASET = RepositoryName(RepositoryKind.DATASET, "acme", "bench")
DECLARED = """
[[workload]]
name = "ingest"
segment = "ingestion"
clearance = "confidential"
[[workload]]
name = "train"
segment = "training"
clearance = "confidential"
[[dataset]]
name = "acme/bench"
classification = "confidential"
review = "none"
[[model]]
name = "acme/bench"
classification = "confidential"
review = "none"
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A data directory with one large file, as a model and as a dataset; who trains may read both."""

    directory: Path
    ingest: str
    train: str


def measure() -> list[Figure]:
    """What signing and verifying cost who publishes and who reads; needs `curl`."""
    require("curl")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        prepared = asyncio.run(prepare(directory / "gateway"))
        plain = stack.enter_context(running("-m", "bench.bare", str(free_port())))
        gateway = stack.enter_context(running("-m", "nomoat.cli", "serve", str(prepared.directory)))
        return [_publishing(gateway, plain, prepared, directory), *_reading(gateway, prepared)]


# -- Publishing -------------------------------------------------------------------------------------


def _publishing(gateway: Process, plain: Process, prepared: Prepared, directory: Path) -> Figure:
    path, tensors = directory / "model.safetensors", secrets.token_bytes(PUBLISHED)
    ratios, beside, scores = list[float](), list[float](), list[float]()
    for number in range(UPLOADS + 1):
        content = _header(PUBLISHED, number) + tensors
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        sent = path, digest, len(content)
        alone = _seconds(partial(_put, path, f"{plain.url}/{digest}/{len(content)}"))
        signed = _seconds(partial(_publish, gateway, MODEL, prepared.train, *sent))
        unsigned = _seconds(partial(_publish, gateway, DATASET, prepared.ingest, *sent))
        if number:  # the first one starts processes
            ratios.append((signed / alone - 1) * 100)
            beside.append((signed / unsigned - 1) * 100)
            scores.append(signed)
    remark = (
        f"256 MiB in {statistics.median(scores):.2f} s; {statistics.median(beside):+.0f} % over the same in a dataset,"
        " which is scanned and not signed"
    )
    name = "publishing a model, over a plain encrypted upload"
    return Figure(name, statistics.median(ratios), "%", "at most", 15, remark)


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _put(path: Path, href: str) -> None:
    subprocess.run(["curl", "-sSfk", "-T", str(path), href], check=True, stdout=subprocess.DEVNULL)


def _publish(gateway: Process, name: RepositoryName, token: str, path: Path, digest: str, size: int) -> None:
    """As a stock client does it: ask where to, send, commit."""
    kind = "datasets/" if name.kind is RepositoryKind.DATASET else ""
    wanted = {"operation": "upload", "transfers": ["basic"], "hash_algo": "sha256"}
    batch = json.dumps({**wanted, "objects": [{"oid": digest, "size": size}]})
    answer = post(f"{gateway.url}/{kind}{name}.git/info/lfs/objects/batch", batch.encode(), token, LFS_JSON)
    _put(path, json.loads(answer)["objects"][0]["actions"]["upload"]["href"])
    header = json.dumps({"key": "header", "value": {"summary": "bench"}})
    sent = {"path": path.name, "algo": "sha256", "oid": digest, "size": size}
    body = f"{header}\n{json.dumps({'key': 'lfsFile', 'value': sent})}\n"
    post(f"{gateway.url}/api/{name.kind}s/{name}/commit/main", body.encode(), token, "application/x-ndjson")


# -- Reading ----------------------------------------------------------------------------------------


def _reading(gateway: Process, prepared: Prepared) -> list[Figure]:
    paths = ("/acme/bench/resolve/main/large.safetensors", "/datasets/acme/bench/resolve/main/large.safetensors")
    begun = time.perf_counter()
    _first_byte(gateway, paths[0], prepared.train)  # verified here, and not again
    whole = time.perf_counter() - begun
    _first_byte(gateway, paths[1], prepared.train)
    firsts = [[_first_byte(gateway, path, prepared.train) for path in paths] for _ in range(DOWNLOADS)]
    ranges = _ranges(gateway, paths, prepared.train)
    return [
        _added("first byte of a verified 2 GB model", firsts, 1e3, "ms", 5, f"the first time {whole:.1f} s"),
        _added("a random 4 KiB range of it", ranges, 1e6, "µs", 60, ""),
    ]


def _added(name: str, pairs: list[list[float]], scale: float, unit: str, target: float, more: str) -> Figure:
    model, dataset = [statistics.median(times) * scale for times in zip(*pairs, strict=True)]
    remark = f"{model:.2f} {unit}; a dataset's {dataset:.2f} {unit}" + (f"; {more}" if more else "")
    return Figure(f"verifying adds to {name}", model - dataset, unit, "at most", target, remark)


def _request(gateway: Process, path: str, token: str, span: str = "") -> bytes:
    host = urlsplit(gateway.url).netloc
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{span}\r\n".encode()


def _first_byte(gateway: Process, path: str, token: str) -> float:
    """Seconds until the first byte of the content is here, on a connection that is open."""
    with connected(gateway.url) as channel:
        begun = time.perf_counter()
        channel.sendall(_request(gateway, path, token))
        _receive(channel, 1)
        return time.perf_counter() - begun


def _ranges(gateway: Process, paths: tuple[str, str], token: str) -> list[list[float]]:
    """Seconds of each pair of requests for the same range, one after the other on one connection."""
    drawn, pairs = random.Random(4), list[list[float]]()  # noqa: S311 - where to read
    with connected(gateway.url) as channel:
        for _ in range(RANGES):
            first, times = drawn.randrange(SERVED), {}
            for path in drawn.sample(paths, 2):
                request = _request(gateway, path, token, f"Range: bytes={first}-{first + RANGE - 1}\r\n")
                begun = time.perf_counter()
                channel.sendall(request)
                _receive(channel, RANGE)
                times[path] = time.perf_counter() - begun
            pairs.append([times[path] for path in paths])
    return pairs


def _receive(channel: socket.socket, size: int) -> None:
    """Read an answer's head and `size` bytes of its body."""
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0 or len(answer) < end + 4 + size:
        if not (received := channel.recv(65536)):
            raise RuntimeError(f"the connection was closed after {answer[:500]!r}")
        answer += received
    if not answer.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(answer[:500].decode("latin-1"))


# -- What is read -----------------------------------------------------------------------------------


def _header(size: int, number: int = 0) -> bytes:
    """The header of a safetensors file of two tensors of `size` bytes together, and the `number` of the file."""
    half = size // 2
    tensors = {
        name: {"dtype": "F32", "shape": [half // 4], "data_offsets": [begin, begin + half]}
        for name, begin in (("a", 0), ("b", half))
    }
    encoded = json.dumps({"__metadata__": {"number": str(number)}, **tensors}).encode()
    return struct.pack("<Q", len(encoded)) + encoded


async def prepare(directory: Path) -> Prepared:
    """Make a data directory with the large file in both repositories."""
    configuration = Configuration("acme.example", "127.0.0.1", 0, ("127.0.0.1",), directory.with_suffix(".kek"))
    made = await initialize(directory, configuration, ADMIN, time.time)
    async with open_gateway(directory, configuration, time.time) as gateway:
        admin = await join(gateway, made.code, PrincipalKind.PERSON)
        async with gateway.guard.admit(presented(None, admin), ApplyDirectory(DECLARED, dry_run=False)) as permit:
            await gateway.declarations.apply(permit)
        tokens = dict[str, Bearer]()
        for who in ("ingest", "train"):
            code, _ = await gateway.identity.enroll(PrincipalKind.WORKLOAD, who)
            tokens[who] = await bearer(gateway, await join(gateway, code, PrincipalKind.WORKLOAD))
        digest = hashlib.sha256()
        async for part in _large():
            digest.update(part)
        await _fill(gateway, MODEL, tokens["train"], digest.hexdigest())
        await _fill(gateway, DATASET, tokens["ingest"], digest.hexdigest())
    return Prepared(directory, tokens["ingest"].token, tokens["train"].token)


async def _fill(gateway: Gateway, name: RepositoryName, token: Bearer, digest: str) -> None:
    who, size = presented(token), len(_header(SERVED)) + SERVED
    async with gateway.guard.admit(who, CreateRepository(name)) as creation:
        await gateway.writing.create_repository(creation)
    async with gateway.guard.admit(who, GrantUpload(name, ((digest, size),))) as granting:
        [granted] = gateway.writing.grant_upload(granting)
    async with gateway.guard.admit(presented(Capability(granted.secret)), UploadBlob(name, digest, size)) as permit:
        await gateway.writing.upload_blob(permit, _large())
    change = Change("large.safetensors", None, digest, size)
    async with gateway.guard.admit(who, WriteFile(name, "main", (change,), "bench")) as writing:
        await gateway.writing.write_file(writing)


async def _large() -> AsyncIterator[bytes]:
    yield _header(SERVED)
    zeros = bytes(PART)
    for _ in range(SERVED // PART):
        yield zeros


if __name__ == "__main__":
    for figure in measure():
        print(
            f"{figure.name}: {figure.value:.2f} {figure.unit}  {'holds' if figure.holds else 'MISSED'}  {figure.remark}"
        )
