"""Retention: content whose time is over is blanked, and a statement signed by the log says which.

Rules: a sealed box is overwritten with zeros of its length, in a segment that is not written to any
more, which is replaced as a whole; entries, checkpoints and tree stay byte for byte. The statement
(`nomoat.audit.forgotten`) is durable before the first box is blanked. A segment with damage in it is
left as it is: that is evidence.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast, final

import orjson

from nomoat.audit.checkpoint import NoteSigner
from nomoat.audit.forgotten import FORGOTTEN_FILE, Forgotten, is_blank, read_forgotten
from nomoat.audit.segments import Frame, FrameKind, encode_frame, iterate_frames, list_segments, read_header
from nomoat.core.errors import Corrupt
from nomoat.stores.segments import Files

_CLOCK_TOLERANCE_MS: Final = 5000


@final
class Blanking:
    """Blanks boxes of one log's directory, as often as it is asked; in one thread at a time."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self._directory = directory
        self._files = files or Files()
        self._done: set[int] = set()  # segments with nothing left in them, now and later

    def due(self, forgotten: Forgotten, pause: Callable[[], None] = lambda: None) -> dict[int, int]:
        """Return how many boxes of which segments a statement lets blank; `pause` is called between segments.

        Raises `OSError`, and `Corrupt` when a segment is no segment.
        """
        found: dict[int, int] = {}
        latest, earliest = max(forgotten.before.values(), default=""), min(forgotten.before.values(), default="")
        segments = list_segments(self._directory)
        for ordinal, path in segments:
            if ordinal in self._done:
                continue
            data = path.read_bytes()
            header, start = read_header(data)
            if _stamp(header.latest - _CLOCK_TOLERANCE_MS) >= latest:  # so is everything from here on
                break
            newest, count = "", 0
            for frame in iterate_frames(data, start):
                if frame.kind == FrameKind.RECORD:
                    newest, count = max(newest, str(_entry(frame)["at"])), count + _is_due(frame, forgotten)
            if count:
                found[ordinal] = count
            elif ordinal != segments[-1][0] and newest < earliest:
                self._done.add(ordinal)
            pause()
        return found

    def blank(self, ordinals: Mapping[int, int], forgotten: Forgotten, pause: Callable[[], None]) -> int:
        """Blank what is due in these segments, but for the newest; return how many boxes. Raises as `due` does."""
        segments = list_segments(self._directory)
        blanked = 0
        for ordinal, path in segments[:-1]:
            if ordinal in ordinals:
                blanked += self._replace(path, forgotten)
                pause()
        return blanked

    def _replace(self, path: Path, forgotten: Forgotten) -> int:
        data = path.read_bytes()
        _, start = read_header(data)
        parts, blanked, end = [data[:start]], 0, start
        for frame in iterate_frames(data, start):
            if _is_due(frame, forgotten):
                parts.append(encode_frame(FrameKind.RECORD, frame.entry, bytes(len(frame.body))))
                blanked += 1
            else:
                parts.append(data[frame.start : frame.end])
            end = frame.end
        if end != len(data):
            raise Corrupt("a segment of the log")
        if blanked:
            self._files.replace(path, b"".join(parts))
        return blanked


def _is_due(frame: Frame, forgotten: Forgotten) -> bool:
    return frame.kind == FrameKind.RECORD and not is_blank(frame.body) and forgotten.covers(_entry(frame))


def _stamp(milliseconds: int) -> str:
    at = datetime.fromtimestamp(max(0, milliseconds) / 1000, UTC)
    return at.isoformat(timespec="milliseconds")


def _entry(frame: Frame) -> Mapping[str, object]:
    return cast("Mapping[str, object]", orjson.loads(frame.entry))


def keep_statement(directory: Path, forgotten: Forgotten, signer: NoteSigner, files: Files | None = None) -> Forgotten:
    """Add to the statement beside a log, durably; return all that it now says. Raises as `read_forgotten` does."""
    whole = read_forgotten(directory, signer.key).joined(forgotten)
    (files or Files()).replace(directory / FORGOTTEN_FILE, whole.sign(signer))
    return whole
