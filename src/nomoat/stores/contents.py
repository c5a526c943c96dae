"""Contents: what was asked of models and what they said, where that is kept, each part sealed for who asked.

Rules: a part is sealed under a key that is derived from its subject's, the one that what the log says of them is sealed
with: destroying that erases both, wherever the files may still lie. The directory is trusted with nothing: a file that
was changed, swapped or renamed does not open. A part has a bound; what is over it is not kept, and the part says so.
Files are written in one thread, in the order of the calls.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol, cast, final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nomoat.core.errors import Corrupt, Unavailable

LARGEST: Final = 1 << 20
"""Bytes of a request or an answer that are kept."""
REQUEST: Final = "request"
ANSWER: Final = "answer"
_NONCE_SIZE: Final = 12
_LENGTH_SIZE: Final = 4
_BUCKET: Final = 1000  # numbers of records that share a folder


class SubjectKeys(Protocol):
    """The keys that what the log says of subjects is sealed with."""

    def find(self, pseudonym: str) -> bytes | None:
        """The subject's key, None when there is none (any more)."""
        ...

    def erased(self, pseudonym: str) -> int | None:
        """The number of the newest record that erased the subject's content, or None."""
        ...


class Part(NamedTuple):
    """A request or an answer: what was said of it when it was kept, and the text as far as it was kept."""

    facts: Mapping[str, object]
    content: bytes


class Place(NamedTuple):
    """Whose content of which record it is, and when that was (Unix seconds)."""

    pseudonym: str
    record: int
    at: int

    def path(self, part: str) -> str:
        """Where such a part lies within the directory."""
        return f"{self.record // _BUCKET:09d}/{self.record:012d}.{self.pseudonym}.{self.at}.{part}"


@final
class Copy:
    """What a model says, while it says it; `end` has to be called, and keeps it."""

    def __init__(self, keep: Callable[[Mapping[str, object], bytes], None]) -> None:
        self._keep = keep
        self._parts: list[bytes] = []
        self._room = LARGEST
        self._size = 0

    def feed(self, part: bytes) -> None:
        """Take the next of it."""
        self._size += len(part)
        if self._room:
            self._parts.append(part[: self._room])
            self._room -= len(self._parts[-1])

    def end(self, *, whole: bool) -> None:
        """Keep what was taken; `whole`: nothing more would have come."""
        self._keep({"size": self._size, "whole": whole}, b"".join(self._parts))
        self._parts.clear()


@final
class StoredContents:
    """The contents in one directory, sealed under the keys of their subjects. Not safe for threads: the event loop owns it."""

    def __init__(self, directory: Path, keys: SubjectKeys, pseudonym: Callable[[str], str]) -> None:
        self._directory = directory
        self._keys = keys
        self._pseudonym = pseudonym
        self._thread = ThreadPoolExecutor(1, "contents")  # begins with its first work

    async def keep(self, subject: str, record: int, at: float, facts: Mapping[str, object], request: bytes) -> Copy:
        """Keep a request, durably, and return what takes its answer.

        Raises `Unavailable` when it cannot be kept.
        """
        place = Place(self._pseudonym(subject), record, int(at))
        key = self._keys.find(place.pseudonym)
        if key is None:
            raise Unavailable(
                "contents", "what is asked cannot be kept: its subject was erased a moment ago; try again"
            )
        sealed = _sealed(key, place, REQUEST, {**facts, "size": len(request)}, request[:LARGEST])
        path = self._directory / place.path(REQUEST)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, _write, path, sealed)
        except OSError as error:
            raise Unavailable("contents", f"what is asked cannot be kept ({error.strerror})") from error

        def answered(facts: Mapping[str, object], answer: bytes) -> None:
            erased = self._keys.erased(place.pseudonym)
            if erased is not None and erased > record:
                return
            sealed = _sealed(key, place, ANSWER, facts, answer)
            self._thread.submit(_write_if_possible, self._directory / place.path(ANSWER), sealed)

        return Copy(answered)

    def find(self, record: int, part: str) -> Part | None:
        """A part of a record's contents; None where none was kept, or it was erased. Raises `Corrupt`, `Unavailable`."""
        try:
            places = [place for place, kind, _ in _listed(self._directory, record) if kind == part]
            sealed = [(self._directory / place.path(part)).read_bytes() for place in places[:1]]
        except FileNotFoundError:  # it was erased or forgotten just now
            return None
        except OSError as error:
            raise Unavailable("contents", f"what was kept cannot be read ({error.strerror})") from error
        return self._open(places[0], part, sealed[0]) if sealed else None

    def _open(self, place: Place, part: str, sealed: bytes) -> Part | None:
        key = self._keys.find(place.pseudonym)
        if key is None:
            return None
        try:
            return _opened(key, place, part, sealed)
        except InvalidTag:
            erased = self._keys.erased(place.pseudonym)
            if erased is not None and erased > place.record:  # who is back has another key
                return None
            raise Corrupt(f"the {part} that was kept of record {place.record}") from None

    async def settle(self) -> None:
        """Wait until what was to be written is."""
        await asyncio.get_running_loop().run_in_executor(self._thread, _nothing)

    async def forget(self, subject: str) -> None:
        """Remove a subject's files; what they say is gone with the key already."""
        pseudonym = self._pseudonym(subject)
        forgets: Callable[[Place], bool] = lambda place: place.pseudonym == pseudonym  # noqa: E731
        await asyncio.get_running_loop().run_in_executor(self._thread, _remove, self._directory, forgets)

    def close(self) -> None:
        """Write what is to be written, and end."""
        self._thread.shutdown()


def remove_before(directory: Path, at: float) -> None:
    """Remove the contents of records that are older than Unix second `at`, for good. Raises `OSError`."""
    _remove(directory, lambda place: place.at < at)


def kept_in(directory: Path) -> Iterator[tuple[Place, str]]:
    """Every part in a directory: whose it is, and its path within. Raises `OSError`."""
    buckets = sorted(directory.iterdir()) if directory.exists() else []
    for bucket in [each for each in buckets if each.name.isdigit()]:
        for place, _, path in _listed(directory, int(bucket.name) * _BUCKET, whole=True):
            yield place, str(path.relative_to(directory))


def _listed(directory: Path, record: int, *, whole: bool = False) -> Iterator[tuple[Place, str, Path]]:
    """The parts of a record, or of all in its folder. What is not called as we call them is none."""
    folder = directory / f"{record // _BUCKET:09d}"
    with suppress(FileNotFoundError):
        for path in sorted(folder.glob("*" if whole else f"{record:012d}.*")):
            match path.name.split("."):
                case [number, pseudonym, at, part] if number.isdigit() and at.isdigit():
                    yield Place(pseudonym, int(number), int(at)), part, path
                case _:
                    pass


def _sealed(key: bytes, place: Place, part: str, facts: Mapping[str, object], content: bytes) -> bytes:
    head = orjson.dumps(facts)
    plain = len(head).to_bytes(_LENGTH_SIZE, "big") + head + content
    nonce = os.urandom(_NONCE_SIZE)
    return nonce + AESGCM(_derived(key)).encrypt(nonce, plain, _bound(place, part))


def _opened(key: bytes, place: Place, part: str, sealed: bytes) -> Part:
    if len(sealed) < _NONCE_SIZE:
        raise InvalidTag
    plain = AESGCM(_derived(key)).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _bound(place, part))
    end = _LENGTH_SIZE + int.from_bytes(plain[:_LENGTH_SIZE], "big")
    return Part(cast("dict[str, object]", orjson.loads(plain[_LENGTH_SIZE:end])), plain[end:])


def _derived(key: bytes) -> bytes:
    """The key for contents, so that the log's own is used for the log alone (RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=b"nomoat-contents-v1").derive(key)


def _bound(place: Place, part: str) -> bytes:
    return f"nomoat-contents-v1/{place.path(part)}".encode()


def _write(path: Path, sealed: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(sealed)
        file.flush()
        os.fsync(descriptor)


def _write_if_possible(path: Path, sealed: bytes) -> None:
    # Its client has the answer already; who reads what was kept is told that it is missing.
    with suppress(OSError):
        _write(path, sealed)


def _remove(directory: Path, over: Callable[[Place], bool]) -> None:
    for place, path in list(kept_in(directory)):
        if over(place):
            (directory / path).unlink(missing_ok=True)


def _nothing() -> None:
    """Do nothing, after what was to be done before."""
