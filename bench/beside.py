"""What NoMoat is measured beside: libraries in a folder of their own, which nothing but a bench imports."""

import importlib
import sys
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parent.parent / ".venv" / "beside"


def beside(module: str) -> Any:
    """A module of one of them. Ends with a line that says what to do where it is not installed."""
    if str(PLACE) not in sys.path:
        sys.path.append(str(PLACE))
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise SystemExit(f"{module} is needed, to compare with; run: make beside") from missing


def file_beside(name: str) -> Path:
    """A file that one of them ships. Ends with a line that says what to do where it is not installed."""
    path = PLACE / name
    if not path.exists():
        raise SystemExit(f"{name} is needed, to be measured with; run: make beside")
    return path
