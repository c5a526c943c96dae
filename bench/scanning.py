"""Inspecting what is published: a checkpoint as large as its weights, and formats of which only the header is read."""

import io
import json
import struct

from bench.measure import Figure, median_us
from nomoat.core.verdict import Verdict
from nomoat.inspection.inspect import inspect
from tests.inspection.building import checkpoint

LAYERS, SHAPE = 100, (512, 512)  # 100 MB of float32, 200 tensors
TENSORS = 1000


def measure() -> list[Figure]:
    """The time of whole inspections, in one process, of contents in memory."""
    weights = checkpoint(LAYERS, SHAPE)
    header = {
        f"layers.{number}.weight": {
            "dtype": "F32",
            "shape": [1024],
            "data_offsets": [number * 4096, (number + 1) * 4096],
        }
        for number in range(TENSORS)
    }
    encoded = json.dumps(header).encode()
    tensors = struct.pack("<Q", len(encoded)) + encoded + bytes(4096 * TENSORS)
    return [
        Figure("inspect a 100 MB checkpoint", _ms(weights), "ms", "at most", 100, f"{2 * LAYERS} tensors"),
        Figure("inspect a safetensors header", _ms(tensors), "ms", "at most", 20, f"{TENSORS} tensors"),
    ]


def _ms(data: bytes) -> float:
    report = inspect(io.BytesIO(data), len(data))
    assert report.verdict is Verdict.CLEAN, report
    return median_us(lambda: inspect(io.BytesIO(data), len(data)), each=1) / 1000
