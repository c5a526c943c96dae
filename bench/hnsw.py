"""Approximate search with a filter (faiss, HNSW), to compare with: as a system is built that filters what it searches."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.beside import beside

LINKS: Final = 16  # of each vector
EFFORT: Final = 256  # candidates that a search keeps


class FilteredGraph:
    """Vectors of length 1 in a graph, searched by one thread."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._faiss: Any = beside("faiss")
        self._graph = self._faiss.IndexHNSWFlat(rows.shape[1], LINKS, self._faiss.METRIC_INNER_PRODUCT)
        self._graph.add(rows)
        self._faiss.omp_set_num_threads(1)

    def filter(self, mask: NDArray[np.bool_]) -> object:
        """What a search takes that is to find nothing but these rows."""
        bits = np.packbits(mask, bitorder="little")
        chosen = self._faiss.SearchParametersHNSW(sel=self._faiss.IDSelectorBitmap(bits), efSearch=EFFORT)
        chosen.kept = bits  # faiss has a pointer to them, and no reference
        return chosen

    def search(self, query: NDArray[np.float32], most: int, chosen: object) -> list[int]:
        """The rows that are found, at most so many: a filter leaves it fewer, and it does not look for more."""
        _, found = self._graph.search(query.reshape(1, -1), most, params=chosen)
        return [int(row) for row in found[0] if row >= 0]
