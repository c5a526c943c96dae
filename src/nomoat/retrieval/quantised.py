"""Vectors in eight bits, and how wrong a product of two of them can be.

Rules: a vector's form depends on that vector alone. With x̂ for what eight bits keep of x, by Cauchy and Schwarz
|q·x - q̂·x̂| ≤ |q - q̂| |x| + |q̂| |x - x̂|; so whatever is among the k best is at most twice the largest such bound below the
k-th best of the approximate products, and only that is computed exactly. INVARIANT (exact): the k best that are found are the k best.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STEPS: Final = 127
SLACK: Final = 1e-5  # for the rounding of sums of 32-bit floats; a product of two vectors of length 1 is at most 1
UNIT: Final = 1.0 + 1e-5  # more than the length of what was made to have length 1


class Quantised(NamedTuple):
    """Rows in eight bits: each is `scale` times its integers, and `off` is at least how far that is from the row."""

    rows: NDArray[np.int8]
    scale: Floats
    off: Floats


def normalised(vectors: Floats) -> Floats:
    """Rows of length 1; those of length 0 stay so. Raises `ValueError` for what is no number."""
    if not np.isfinite(vectors).all():
        raise ValueError("a vector has something that is no finite number")
    wide = vectors.astype(np.float64)
    length = np.sqrt((wide * wide).sum(axis=1))
    length[length == 0] = 1.0
    unit: Floats = (wide / length[:, None]).astype(np.float32)
    return unit


def quantised(vectors: Floats) -> Quantised:
    """Rows of length 1 (or 0) in eight bits."""
    most = np.abs(vectors).max(axis=1, initial=0.0)
    scale = (np.where(most == 0, 1.0, most) / STEPS).astype(np.float32)
    rows = np.rint(vectors / scale[:, None]).clip(-STEPS, STEPS).astype(np.int8)
    rest = vectors.astype(np.float64) - rows.astype(np.float64) * scale[:, None].astype(np.float64)
    off = np.sqrt((rest * rest).sum(axis=1)) * (1 + 1e-6) + 1e-9
    return Quantised(rows, scale, np.nextafter(off.astype(np.float32), np.float32(np.inf)))


class Sought(NamedTuple):
    """A query: as it is, in eight bits, and what bounds the error of its products."""

    exact: NDArray[np.float64]
    rows: NDArray[np.int8]  # one
    scale: float
    off: float
    length: float

    def bound(self, off: float) -> float:
        """How wrong an approximate product can be, with rows that are at most `off` from their form in eight bits."""
        return self.off * UNIT + self.length * off + SLACK


def sought(vector: Floats) -> Sought:
    """A query of one row. Raises `ValueError`."""
    unit = normalised(vector.reshape(1, -1))
    form = quantised(unit)
    length = float(np.sqrt((form.rows.astype(np.float64) ** 2).sum())) * float(form.scale[0])
    return Sought(unit[0].astype(np.float64), form.rows, float(form.scale[0]), float(form.off[0]), length * (1 + 1e-6))


def exact_products(rows: Floats, query: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product of each row with a query. Each is summed by itself, so it does not depend on which others there are."""
    found: NDArray[np.float64] = (rows.astype(np.float64) * query).sum(axis=1)
    return found
