"""The releaser: a process of the gateway's own that keeps the exact numbers of metrics, and tells them with noise alone.

Rules: `python -P -m nomoat.server.releaser`, started by the gateway and by nothing else; it ends when its standard input
closes. No environment and no key; once OpenDP is loaded it gives up files, network and processes as well. All noise is
drawn by OpenDP's measurements: discrete Laplace noise on vectors of whole numbers, for which OpenDP itself says what
epsilon a scale is worth (`measurement.map`). What the tabulator's children found is parsed as strictly as a stranger's.

Questions are lines of JSON, each answered by one. Nothing in an answer depends on the data but the noisy numbers.
"""

import contextlib
import json
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple, cast, final

from nomoat.core.errors import NoMoatError
from nomoat.core.metrics import MILLION
from nomoat.resources.metrics.mechanism import LARGEST_SUM
from nomoat.server.confinement import Confinement

dp: Any = import_module("opendp.prelude")  # its types are partly unknown; what comes from it is typed where it enters

NICENESS: Final = 5
MEMORY: Final = 2 << 30
CPU_S: Final = 1 << 30
KEPT: Final = 256  # versions' numbers, each of at most 4,096 cells
ALPHA: Final = 0.025  # how often a number may be further off than its accuracy says
_WIDER: Final = 1 + 2**-40


class Numbers(NamedTuple):
    """The exact count and sum of each cell."""

    counts: list[int]
    sums: list[int]


def noisy(values: Sequence[int], sensitivity: int, epsilon: int) -> tuple[list[int], float, float]:
    """Draw noise once: the noisy numbers, the scale, and the accuracy at `ALPHA`.

    `sensitivity` is the L1 distance that one unit can make, `epsilon` is in millionths. OpenDP says whether the scale
    keeps to it; a scale that rounding made too small is widened.
    """
    most = epsilon / MILLION
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    scale = sensitivity / most
    measurement = dp.m.make_laplace(*space, scale=scale)
    while measurement.map(d_in=sensitivity) > most:
        scale *= _WIDER
        measurement = dp.m.make_laplace(*space, scale=scale)
    accuracy: float = dp.discrete_laplacian_scale_to_accuracy(scale=scale, alpha=ALPHA)
    return list(measurement(list(values))), scale, accuracy


def added(tables: Sequence[object], shape: Mapping[str, int]) -> Numbers | None:
    """Add up what was found in the files of a version; None when that is not what was asked for.

    A row is (cell, count, sum), or, where persons may be in several files, (person, cell, value): of each person the
    first `rows` count, which are chosen by that person's rows alone.
    """
    numbers = Numbers([0] * shape["cells"], [0] * shape["cells"])
    seen: dict[str, int] = {}
    for table in tables:
        for row in _list(table):
            match _list(row):
                case [str(person), int(cell), int(value)] if shape["rows"] and abs(value) <= shape["most"]:
                    seen[person] = seen.get(person, 0) + 1
                    counted, summed = (1, value) if seen[person] <= shape["rows"] else (0, 0)
                case [int(cell), int(counted), int(summed)] if counted > 0 and abs(summed) <= counted * shape["most"]:
                    pass
                case _:
                    return None
            if not 0 <= cell < shape["cells"]:
                return None
            numbers.counts[cell] += counted
            numbers.sums[cell] += summed
    return Numbers(*([max(-LARGEST_SUM, min(each, LARGEST_SUM)) for each in part] for part in numbers))


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [None]


@final
class Kept:
    """The numbers of the versions that were asked for last."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, Numbers] = OrderedDict()

    def answer(self, question: Mapping[str, Any]) -> object:
        """Answer one question."""
        key: str = question["key"]
        match question["do"]:
            case "knows":
                return key in self._numbers
            case "learn":
                numbers = added([_parsed(table) for table in question["tables"]], question["shape"])
                if numbers is None:
                    return False
                self._numbers[key] = numbers
                if len(self._numbers) > KEPT:
                    self._numbers.popitem(last=False)
                return True
            case _:
                self._numbers.move_to_end(key)
                numbers = self._numbers[key]
                return [
                    noisy(numbers.counts if of == "count" else numbers.sums, reach, epsilon)
                    for of, reach, epsilon in question["parts"]
                ]


def _parsed(table: str) -> object:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(table)
    return None


def main() -> int:
    """Answer questions until standard input closes; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway ends it, orderly
    os.nice(NICENESS)
    confinement, kept = Confinement(), Kept()
    dp.enable_features("contrib")  # what OpenDP calls what is proven but not yet vetted by a second person
    noisy([0], 1, MILLION)  # whatever is loaded when first needed is loaded now
    confinement.enter(keep={0, 1}, memory=MEMORY, cpu_s=CPU_S)
    _write(True)
    for line in sys.stdin.buffer:
        _write(kept.answer(json.loads(line)))
    return 0


def _write(said: object) -> None:
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NoMoatError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
