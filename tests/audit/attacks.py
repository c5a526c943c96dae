"""Hands of an attacker: a log's files taken apart into frames and put together again."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nomoat.audit.segments import DamagedFrame, FrameKind, encode_frame, iterate_frames, list_segments, read_header


@dataclass
class Part:
    """One frame, free to be changed; written with a right CRC."""

    kind: int
    entry: bytes
    body: bytes

    def encode(self) -> bytes:
        return encode_frame(self.kind, self.entry, self.body)


def segments(directory: Path) -> list[Path]:
    return [path for _, path in list_segments(directory)]


def take_apart(path: Path) -> list[Part]:
    """All frames after the header."""
    data = path.read_bytes()
    try:
        _, start = read_header(data)
    except DamagedFrame as damage:
        if not damage.torn:
            raise
        return []  # the writer died before the header was whole, so nothing can have followed it
    return [Part(frame.kind, frame.entry, frame.body) for frame in iterate_frames(data, start)]


def put_together(path: Path, parts: list[Part]) -> None:
    data = path.read_bytes()
    _, start = read_header(data)
    path.write_bytes(data[:start] + b"".join(part.encode() for part in parts))


def edit(path: Path, change: Callable[[list[Part]], None]) -> None:
    parts = take_apart(path)
    change(parts)
    put_together(path, parts)


def records(parts: list[Part]) -> list[int]:
    """Positions of record frames."""
    return [at for at, part in enumerate(parts) if part.kind == FrameKind.RECORD]


def forget_tree(directory: Path) -> None:
    """Take away the stored hashes, so that only the signatures are left."""
    (directory / "tree").unlink()


def copy(directory: Path, to: Path) -> Path:
    shutil.copytree(directory, to)
    return to


def frame_offsets(path: Path) -> list[tuple[int, int, int]]:
    """(kind, start, end) of every frame after the header."""
    data = path.read_bytes()
    _, start = read_header(data)
    return [(frame.kind, frame.start, frame.end) for frame in iterate_frames(data, start)]


def flip(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)
