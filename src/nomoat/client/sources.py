"""Registering source code at the gateway: fingerprints are made here, and nothing else of the code leaves.

Rules: what is committed is registered, never what lies in the working tree beside it. A file's name leaves as a digest.
What public packages have, too, is left out: it would accuse whoever uses them. This loads numpy (`nomoat[sources]`).
"""

import base64
import hashlib
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

import numpy as np

from nomoat.client.errors import Unintelligible
from nomoat.client.gateway import Gateway
from nomoat.client.transport import Answer
from nomoat.content.fingerprints import Words, fingerprints
from nomoat.core.errors import Conflict, Malformed

LARGEST: Final = 4 << 20  # bytes of a file that may be code
BATCH: Final = 2 << 20  # bytes of fingerprints in one request
BATCH_FILES: Final = 5_000
_COMMIT: Final = re.compile("(?:[0-9a-f]{40}|[0-9a-f]{64})?")
PUBLIC: Final = frozenset(
    {
        ".py",
        ".js",
        ".ts",
        ".tsx",
        ".jsx",
        ".mjs",
        ".java",
        ".go",
        ".rs",
        ".c",
        ".h",
        ".cc",
        ".cpp",
        ".hpp",
        ".rb",
        ".php",
    }
)
"""What code in public packages is called."""
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a source is registered as: its name, what copies of it are labelled and classified, and who may have it."""

    name: str
    label: str
    classification: str
    group: str


@dataclass(frozen=True, slots=True)
class Registered:
    """What was registered: up to which commit, of how many files, how many fingerprints, how many were public."""

    commit: str
    files: int
    fingerprints: int
    public: int

    @property
    def is_mostly_public(self) -> bool:
        """Whether more was left out than is known: the repository itself may be among what counts as public."""
        return self.public > self.fingerprints


def list_sources(gateway: Gateway) -> list[Answer]:
    """The sources that the gateway knows."""
    found = gateway.call("GET", "/v1/sources").get("sources")
    return cast("list[Answer]", found) if isinstance(found, list) else []


def remove_source(gateway: Gateway, name: str) -> None:
    """Have a source known no more."""
    gateway.call("DELETE", _path(name))


def register_source(
    gateway: Gateway, repository: Path, cleared: Cleared, base: str, public: Iterable[Path], told: Told
) -> Registered:
    """Register what a repository has committed; with `base`, only what changed since that commit.

    `public` are folders with code of everybody's. `told` hears of how many files how many were looked at. Raises
    `Malformed` where it is no repository, `Conflict` where the commit is not one of its own.
    """
    if not _COMMIT.fullmatch(base):  # a gateway's answer, which git must not take for an option
        raise Unintelligible("a commit that is known is none")
    commit = _git(repository, "rev-parse", "--verify", "HEAD").decode().strip()
    changed, removed = _changed(repository, base, commit)
    made: dict[str, Mapping[str, Words]] = {}
    for number, (path, content) in enumerate(_contents(repository, commit, changed)):
        made[path] = _fingerprints(content)
        told(number + 1, len(changed))
    common = _common([*public, repository / "node_modules"], made.values(), told)
    files: dict[str, Mapping[str, Words]] = {}
    known = left_out = 0
    for path, words in made.items():
        kept = {way: each[~np.isin(each, common[way])] for way, each in words.items()} if common else words
        left_out += sum(map(len, words.values())) - sum(map(len, kept.values()))
        known += sum(map(len, kept.values()))
        if any(map(len, kept.values())):
            files[path] = kept
        else:  # what was known of it is not in it any more
            removed.append(path)
    batches = list(_batches(files))
    for number, batch in enumerate(batches):
        last = number == len(batches) - 1
        gateway.call(
            "PUT",
            _path(cleared.name),
            {
                "label": cleared.label,
                "classification": cleared.classification,
                "cleared": cleared.group,
                # What goes on is what was begun here; only the last of it says that all is there.
                "base": base or ("" if number == 0 else commit),
                "commit": commit if last else "",
                "files": batch,
                "removed": [_digest(path) for path in removed] if number == 0 and base else [],
            },
        )
    return Registered(commit, len(files), known, left_out)


def holds_commit(repository: Path, commit: str) -> bool:
    """Whether a repository has a commit. Raises `Malformed` where it is none."""
    if not commit or not _COMMIT.fullmatch(commit):
        return False
    found = _git(repository, "cat-file", "--batch-check", given=f"{commit}\n".encode())
    return b" commit " in found


def public_folders() -> list[Path]:
    """Where public code is on this machine: of Python's own library and of what is installed beside this program."""
    paths = sysconfig.get_paths()
    return [Path(paths[name]) for name in ("stdlib", "purelib", "platlib")]


def _path(name: str) -> str:
    return f"/v1/sources/{quote(name, safe='/')}"


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()


def _batches(files: Mapping[str, Mapping[str, Words]]) -> Iterator[dict[str, list[str]]]:
    batch: dict[str, list[str]] = {}
    size = 0
    for path, words in files.items():
        pair = [each.astype("<u8").tobytes() for each in words.values()]
        batch[_digest(path)] = [base64.b64encode(each).decode("ascii") for each in pair]
        size += sum(map(len, pair))
        if size > BATCH or len(batch) == BATCH_FILES:
            yield batch
            batch, size = {}, 0
    yield batch


def _fingerprints(content: bytes) -> Mapping[str, Words]:
    return {way.name: np.unique(words) for way, words in fingerprints(content).items()}


def _common(folders: Iterable[Path], made: Iterable[Mapping[str, Words]], told: Told) -> Mapping[str, Words]:
    """Which of these fingerprints public code has, too, by way."""
    by_way: dict[str, list[Words]] = {}
    for of_file in made:
        for way, words in of_file.items():
            by_way.setdefault(way, []).append(words)
    asked = {way: np.unique(np.concatenate(words)) for way, words in by_way.items()}
    if not any(map(len, asked.values())):
        return {}
    there = {way: np.zeros(len(words), bool) for way, words in asked.items()}
    files = sorted({file for folder in folders for file in folder.rglob("*") if file.suffix in PUBLIC})
    for number, file in enumerate(files):
        content = _read(file)
        for kind, words in fingerprints(content).items() if content else ():
            own = asked[kind.name]
            if not len(own):
                continue
            places = np.minimum(np.searchsorted(own, words), len(own) - 1)
            there[kind.name][places[own[places] == words]] = True
        told(number + 1, len(files))
    return {way: words[there[way]] for way, words in asked.items()}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes() if file.is_file() and file.stat().st_size <= LARGEST else b""
    except OSError:
        return b""


# -- git ----------------------------------------------------------------------------------------------


def _git(repository: Path, *command: str, given: bytes = b"") -> bytes:
    git = shutil.which("git")
    if git is None:
        raise Malformed("this needs git")
    whole = [git, "-C", str(repository), *command]
    done = subprocess.run(whole, input=given, capture_output=True, check=False)  # noqa: S603 - the caller's own repository
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Malformed(f"git says of {repository}: {said[-1] if said else 'nothing'}")
    return done.stdout


def _names(listed: bytes) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in listed.split(b"\0") if name]


def _changed(repository: Path, base: str, commit: str) -> tuple[list[str], list[str]]:
    """The files to look at, and those that are no more."""
    if not base:
        return _names(_git(repository, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)), []
    try:
        since = ["diff", "--no-renames", "-z", "--name-only"]
        changed = _names(_git(repository, *since, "--diff-filter=d", base, commit))
        return changed, _names(_git(repository, *since, "--diff-filter=D", base, commit))
    except Malformed:
        raise Conflict("the gateway knows a commit that is not in this repository; add it anew") from None


def _contents(repository: Path, commit: str, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Each file with its content; of what is no text, or too large, with none."""
    for begin in range(0, len(paths), 256):
        part = paths[begin : begin + 256]
        asked = b"".join(f"{commit}:{path}\n".encode("utf-8", "surrogateescape") for path in part if "\n" not in path)
        answered = _git(repository, "cat-file", "--batch", given=asked)
        at = 0
        for path in part:
            if "\n" in path:
                continue
            line = answered[at : answered.index(b"\n", at)]
            at += len(line) + 1
            if line.endswith((b" missing", b" ambiguous")):
                continue
            size = int(line.rsplit(b" ", 1)[1])
            content = answered[at : at + size]
            at += size + 1
            is_text = b" blob " in line and b"\0" not in content[:8192] and size <= LARGEST
            yield path, content if is_text else b""
