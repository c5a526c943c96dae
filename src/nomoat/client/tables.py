"""Arrow streams from the gateway → tables; pyarrow is needed here and nowhere else at the caller's side."""

from importlib import import_module
from typing import Any, TypeAlias

from nomoat.client.errors import Unintelligible
from nomoat.core.errors import Unavailable

Table: TypeAlias = Any
"""A `pyarrow.Table`; the package has no types."""


def require_pyarrow() -> None:
    """Raise `Unavailable` where there is no pyarrow: better before the query runs than after."""
    try:
        import_module("pyarrow")
    except ImportError:
        raise Unavailable("pyarrow", "it reads the rows and is not installed: pip install 'nomoat[query]'") from None


def parse_table(stream: bytes) -> Table:
    """Parse an Arrow stream, every value of it checked. Raises `Unintelligible`."""
    pyarrow: Any = import_module("pyarrow")
    ipc: Any = import_module("pyarrow.ipc")
    try:
        table = ipc.open_stream(stream).read_all()
        table.validate(full=True)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise Unintelligible(f"its rows are no Arrow stream ({type(error).__name__})") from None
    return table
