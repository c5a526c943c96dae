"""What the gateway tells its operator: lines on standard error, as text or as JSON.

Rules: only what this project's own modules say, and no access: those are in the log that is provable. A bug is
told by its type and its places in our source, never by its message, which may quote what a client sent.
"""

import json
import logging
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO, final

LOGGER: Final = "nomoat"
FRAMES: Final = 30  # places told of a bug, the innermost


def tell_operator(stream: TextIO, *, as_json: bool) -> None:
    """Have everything that this process says to its operator written to `stream`, a line each."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(as_json=as_json))
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


@final
class Lines(logging.Formatter):
    """One line for each message, whatever is in it."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level, said = record.levelname.lower(), record.getMessage()
        bug = _bug(record)
        if self._as_json:
            return json.dumps({"at": at, "level": level, "said": said, **bug})
        line = f"{at} {level}: {said}"
        if bug:
            line += f" ({bug['error'][0]} at {', '.join(bug['places'])})"
        return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def _bug(record: logging.LogRecord) -> dict[str, list[str]]:
    if not record.exc_info or record.exc_info[0] is None:
        return {}
    frames = traceback.extract_tb(record.exc_info[2])[-FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": [record.exc_info[0].__name__], "places": places}
