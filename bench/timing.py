"""Whether the time of an answer tells that there are documents one may not read: 10,000 searches of an index on a grid."""

import asyncio
import hashlib
import json
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.live import free_port, prepare, put, round_trips, running
from bench.measure import Figure

SEARCHES = 10_000
CLIENTS = 8
HIDDEN = 5_000  # documents with the word that is asked for, which the caller may not read
GRID_MS = 20
BINS = 20
DECLARED = f"""
[[group]]
name = "index-readers"
[[group]]
name = "librarians"
[[group]]
name = "others"
[[workload]]
name = "ingest"
segment = "ingestion"
groups = ["index-readers", "librarians"]
clearance = "confidential"
[[index]]
name = "timed"
classification = "internal"
owner = "group:librarians"
embedder = "none"
answer_every_ms = {GRID_MS}
"""


def measure() -> list[Figure]:
    """The area under the curve of what was trained on half of the times, for the other half; 0.5 is guessing."""
    with tempfile.TemporaryDirectory() as name:
        prepared = asyncio.run(prepare(Path(name) / "gateway", free_port(), large=0, more=DECLARED))
        with running("-m", "nomoat.cli", "serve", str(prepared.directory)) as gateway:
            for begin in range(0, HIDDEN, 500):
                documents = [_document(f"hidden{n}", ["group:others"]) for n in range(begin, begin + 500)]
                put(f"{gateway.url}/v1/indexes/timed/documents", {"documents": documents}, prepared.token)
            put(f"{gateway.url}/v1/indexes/timed/documents", {"documents": [_document("open", None)]}, prepared.token)
            with ThreadPoolExecutor(CLIENTS) as pool:
                asked = list(pool.map(lambda number: _times(gateway.url, prepared.token, number), range(CLIENTS)))
    times = np.array([time for part, _ in asked for time in part])
    truth = np.array([hidden for _, part in asked for hidden in part])
    remark = f"{len(times):,} searches, a grid of {GRID_MS} ms, {HIDDEN:,} hidden documents with the word; median {np.median(times) * 1e3:.1f} ms"
    return [Figure("hidden neighbours told from none by time, AUC", _auc(times, truth), "", "at most", 0.55, remark)]


def _document(name: str, readers: list[str] | None) -> dict[str, object]:
    text = f"{'secret' if readers else 'open'} plan of {name}"
    version = hashlib.sha256(text.encode()).hexdigest()
    return {"name": f"{name}.md", "version": version, "readers": readers, "passages": [text]}


def _times(url: str, token: str, number: int) -> tuple[list[float], list[bool]]:
    """Seconds of searches for a word that hidden documents have, and for one that none has, in no order."""
    chance = random.Random(number)  # noqa: S311
    hidden = [chance.random() < 0.5 for _ in range(SEARCHES // CLIENTS)]
    requests = [_request(url, token, "secret" if each else "absent") for each in hidden]
    return round_trips(url, requests, b'"next_page":null}'), hidden


def _request(url: str, token: str, word: str) -> bytes:
    body = json.dumps({"query": word}).encode()
    head = (
        f"POST /v1/vector_stores/timed/search HTTP/1.1\r\nHost: {url.removeprefix('https://')}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _auc(times: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Train on one half how often each of some lengths of time means hidden ones; then rank the other half."""
    half = len(times) // 2
    order = np.random.default_rng(0).permutation(len(times))
    train, test = order[:half], order[half:]
    edges = np.quantile(times[train], np.linspace(0, 1, BINS + 1)[1:-1])
    bins = np.digitize(times, edges)
    share = np.array(
        [truth[train][bins[train] == each].mean() if (bins[train] == each).any() else 0.5 for each in range(BINS)]
    )
    scores = share[bins[test]]
    hidden, none = scores[truth[test]], scores[~truth[test]]
    above = (hidden[:, None] > none[None, :]).mean() + 0.5 * (hidden[:, None] == none[None, :]).mean()
    return float(above)
