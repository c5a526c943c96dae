"""Source fingerprints: what looking for copies costs, and how much is kept of a source."""

import sysconfig
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.measure import Figure
from nomoat.content.copies import KnownSources, Source, keyed
from nomoat.content.fingerprints import fingerprints
from nomoat.content.sources import SourceDetector
from nomoat.content.texts import Text
from nomoat.core.lineage import Label
from nomoat.core.names import Classification

KEY = bytes(range(32))
ROUNDS = 5
PROMPT = 76_000  # characters


def measure() -> list[Figure]:
    """CPU time for text and for a prompt, and bytes of the index; of Python's own library."""
    files = [file.read_bytes() for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))]
    code = b"\n".join(files)
    made = {way: np.unique(words) for way, words in fingerprints(code).items()}
    kept = {way: keyed(KEY, words.tobytes(), way) for way, words in made.items()}
    source = Source("acme/engine", Label(Classification.CONFIDENTIAL, frozenset({"source-code"})), "engine-team", kept)
    registered = KnownSources(1, KEY, [source])
    detector = SourceDetector(lambda: registered)
    strange = files[0].decode()[:PROMPT] + "x = [1]\n" * (PROMPT // 8)
    made_of = len(code) / 1e6 / _cpu_s(lambda: fingerprints(code))
    texts = [Text((), strange[:PROMPT])]
    known_text = [Text((), code[-PROMPT:].decode("utf-8", "replace"))]
    size = sum(map(len, kept.values())) / len(code)
    clean, copied = (_cpu_s(partial(detector.look, looked)) * 1e3 for looked in (texts, known_text))
    remark = f"{len(code) / 1e6:.1f} MB of Python; {clean:.1f} ms for 76,000 characters of nobody's"
    return [
        Figure("fingerprints of code, a second of CPU", made_of, "MB", "at least", 10, remark),
        Figure("76,000 characters that are all a copy", copied, "ms CPU", "at most", 20),
        Figure("index of a source ÷ the source", size, "×", "at most", 1),
    ]


def _cpu_s(call: Callable[[], object]) -> float:
    """The least CPU time of a few calls, in seconds: others on this machine only add to it."""
    spent: list[float] = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        call()
        spent.append(time.process_time() - begun)
    return min(spent)
