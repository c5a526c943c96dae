"""Looking through a whole data directory: whether its parts are whole, and belong together.

Rules: read-only, and only while no gateway serves it. A part that cannot be looked at does not keep
the others from it. Everything that is found says what to do about it. The database is looked at in a
copy, which stays encrypted: opening the original would write to it.
"""

import asyncio
import contextlib
import hashlib
import json
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection, select

from nomoat.audit.checkpoint import NoteSigner
from nomoat.audit.entries import Pseudonyms
from nomoat.audit.generation import ADVANCED
from nomoat.audit.reading import Reader
from nomoat.audit.segments import (
    CHECKPOINT_FILE,
    TREE_FILE,
    DamagedFrame,
    FrameKind,
    iterate_frames,
    list_segments,
    read_header,
    require_files,
)
from nomoat.audit.stored import StoredTree, read_file
from nomoat.audit.verification import verify_directory
from nomoat.core.errors import Corrupt, NoMoatError
from nomoat.server.chains import Logged, look_at_chains
from nomoat.server.configuration import Configuration, load_configuration
from nomoat.server.keeping import open_keyring
from nomoat.server.lock import undisturbed
from nomoat.server.names import CONTENTS, INDEX_FILE, KEYS
from nomoat.stores.blob import StoredBlob
from nomoat.stores.contents import StoredContents, kept_in
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.objects import Objects
from nomoat.stores.postings import Damaged, Postings
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob
from nomoat.stores.subject_keys import StoredSubjectKeys

SHOWN: Final = 20  # findings of one kind, one by one
T = TypeVar("T")
_MADE_ANEW: Final = "nothing: the next start makes it"
_RESTORE: Final = "restore the data directory from its newest backup; keep this one as evidence"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong (or, if not `grave`, worth knowing) with a part, and what to do about it."""

    part: str
    what: str
    advice: str = ""
    grave: bool = True


@dataclass(slots=True)
class Examined:
    """The result: every finding, and what was looked at, by part."""

    findings: list[Finding] = field(default_factory=list[Finding])
    seen: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.grave for finding in self.findings)

    def tell(self, part: str, what: str, advice: str = "", *, grave: bool = True) -> None:
        """Add a finding; of many in one part only the first ones."""
        told = sum(finding.part == part for finding in self.findings)
        if told < SHOWN:
            self.findings.append(Finding(part, what, advice, grave))
        elif told == SHOWN:
            self.findings.append(Finding(part, "and more of the kind", grave=grave))


async def examine(directory: Path, *, contents: bool = True) -> Examined:
    """Look through a data directory; with `contents`, decrypt every content and compare it with its digest.

    Raises `Unavailable` when a gateway uses it, or it is none, or the key-encryption key is not to be had.
    """
    configuration = load_configuration(directory)
    kek = open_keyring(configuration).load()
    with undisturbed(directory):
        return await asyncio.to_thread(_examine, directory, configuration, kek, contents)


def _examine(directory: Path, configuration: Configuration, kek: KeyEncryptionKey, contents: bool) -> Examined:
    examined = Examined()
    keys = _part(examined, "keys", lambda: _look_at_keys(examined, directory, kek))
    _part(examined, "permissions", lambda: _look_at_permissions(examined, directory))
    with tempfile.TemporaryDirectory(prefix="nomoat-fsck-") as copy:
        state = _part(examined, "state", lambda: _look_at_state(examined, directory, Path(copy), kek))
        try:
            if keys is not None:
                _part(examined, "log", lambda: _look_at_log(examined, directory, configuration, keys))
            if keys is not None and state is not None:
                subjects = StoredSubjectKeys(state, kek)
                logged = _part(
                    examined,
                    "records",
                    lambda: _look_at_records(examined, directory, configuration, keys, subjects, state),
                )
                _part(examined, "versions", lambda: _look_at_versions(examined, state, logged or Logged()))
                _part(examined, "prompts", lambda: _look_at_prompts(examined, directory, subjects))
            if state is not None:
                _part(examined, "objects", lambda: _look_at_objects(examined, directory, kek, state, contents=contents))
        finally:
            if state is not None:
                state.close()
        _part(examined, "index", lambda: _look_at_index(examined, directory, Path(copy), kek))
    _part(examined, "cursors", lambda: _look_at_cursors(examined, directory, configuration))
    return examined


def _part(examined: Examined, part: str, look: Callable[[], T]) -> T | None:
    """Look at a part; what keeps from looking is a finding."""
    try:
        return look()
    except (NoMoatError, OSError) as error:
        examined.tell(part, str(error), _RESTORE)
    return None


def _look_at_keys(examined: Examined, directory: Path, kek: KeyEncryptionKey) -> dict[str, bytes] | None:
    store, loaded = KeyStore(directory / "keys", kek), dict[str, bytes]()
    for name in KEYS:
        try:
            loaded[name] = store.load(name)
        except NoMoatError as error:
            examined.tell("keys", str(error), "restore keys/ from its backup; no key can be made again")
    examined.seen["keys"] = f"{len(loaded)} of {len(KEYS)} unwrap"
    return loaded if len(loaded) == len(KEYS) else None


def _look_at_permissions(examined: Examined, directory: Path) -> None:
    count = 0
    for path in sorted(directory.rglob("*")):
        count += 1
        mode, name = path.lstat().st_mode, path.relative_to(directory)
        if stat.S_ISLNK(mode):
            examined.tell("permissions", f"{name} is a link", "put the file itself in its place")
        elif mode & (stat.S_IWGRP | stat.S_IWOTH):
            examined.tell("permissions", f"{name} can be written by others", f"chmod go-w {name}")
        elif mode & (stat.S_IRGRP | stat.S_IROTH) and name.parts[0] in {"keys", "state.db"}:
            examined.tell("permissions", f"{name} can be read by others", f"chmod go-rwx {name}")
    examined.seen["permissions"] = f"{count} files and directories"


def _look_at_state(examined: Examined, directory: Path, copy: Path, kek: KeyEncryptionKey) -> State:
    for name in ("state.db", "state.db-wal"):
        if (directory / name).exists():
            shutil.copy(directory / name, copy / name)
    state = State.open(copy / "state.db", kek.derive("state"))

    def check(connection: Connection) -> None:
        for pragma in ("cipher_integrity_check", "integrity_check", "foreign_key_check"):
            for row in connection.exec_driver_sql(f"PRAGMA {pragma}"):
                if (said := str(row[0])) != "ok":
                    examined.tell("state", f"{pragma}: {said}", _RESTORE)

    try:
        state.read(check)
    except BaseException:
        state.close()
        raise
    examined.seen["state"] = f"generation {state.generation}"
    return state


def _look_at_log(examined: Examined, directory: Path, configuration: Configuration, keys: dict[str, bytes]) -> None:
    key = NoteSigner(_origin(configuration), keys["log"]).key
    public = directory / "public" / "log.vkey"
    if not public.exists() or public.read_text("ascii", "replace").strip() != str(key):
        examined.tell("log", "public/log.vkey is not the log's key", f"write into it: {key}")
    report = verify_directory(directory / "log", key)
    for problem in report.problems:
        examined.tell("log", f"{problem.fault}: {problem}", _RESTORE)
    if report.unsigned or report.unfinished:
        what = f"{report.unsigned} records and {report.unfinished} bytes behind the last checkpoint, never acknowledged"
        examined.tell("log", what, "nothing: the next start puts it in order", grave=False)
    if not read_file(directory / "log" / CHECKPOINT_FILE):
        what = "log/checkpoint is missing or empty: nothing here tells whether the newest records were cut off"
        examined.tell(
            "log", what, "compare with one that somebody kept: nomoat audit verify DIRECTORY --checkpoint FILE"
        )
    if report.head.size and not (directory / "log" / TREE_FILE).exists():
        examined.tell(
            "tree", "there are no stored hashes, as in a backup", "nothing: the next start makes them", grave=False
        )
    elif report.consistent and not StoredTree(directory / "log").holds(report.head):
        examined.tell(
            "tree", "the stored hashes are not those of the log", "remove log/tree; the next start makes it anew"
        )
    examined.seen["log"] = f"{report.records} records in {report.segments} segments, {report.forgotten} forgotten"


def _look_at_records(
    examined: Examined,
    directory: Path,
    configuration: Configuration,
    keys: dict[str, bytes],
    subjects: StoredSubjectKeys,
    state: State,
) -> Logged:
    """Open the content of every record, and compare the state's generation with what the log knows of it."""
    key = NoteSigner(_origin(configuration), keys["log"]).key
    walk = Reader(directory / "log", key, Pseudonyms(keys["pseudonyms"]), subjects).walk()
    counted, known, size, logged = Counter[str](), 0, _size(directory), Logged()
    while records := walk.take(size, most=500):
        for record in records:
            counted[next((word for word in ("damaged", "erased", "forgotten") if word in record), "readable")] += 1
            if "damaged" in record:
                examined.tell("records", f"record {record['n']}: {record['damaged']}", _RESTORE)
            logged.take(record)
            generation = record.get("generation")
            if record.get("what") == ADVANCED and isinstance(generation, int):
                known = max(known, generation)
    examined.seen["records"] = ", ".join(f"{count} {word}" for word, count in sorted(counted.items()))
    if state.generation < known:
        what = f"state.db is an older copy: generation {state.generation}, and the log knows of {known}"
        advice = "put the newest state.db and state.db-wal back, or: nomoat recover DIRECTORY NAME --older-state"
        examined.tell("state", what, advice)
    return logged


def _look_at_versions(examined: Examined, state: State, logged: Logged) -> None:
    """Work out the chain of every repository's versions again, and compare it with what the log says of it."""

    def look(connection: Connection) -> int:
        return look_at_chains(connection, logged, lambda what: examined.tell("versions", what, _RESTORE))

    examined.seen["versions"] = f"{state.read(look)} versions"


def _look_at_objects(
    examined: Examined, directory: Path, kek: KeyEncryptionKey, state: State, *, contents: bool
) -> None:
    objects = Objects(directory / "objects", kek, changing=False)
    known, length = set[str](), 0
    for row in _rows(state):
        known.add(row.id)
        length += row.size
        try:
            _look_at_content(objects, row, contents=contents)
        except NoMoatError as error:
            advice = f"restore objects/{row.id[:2]}/{row.id} from a backup, or delete what names it and upload it again"
            examined.tell("objects", str(error), advice)
    strays = [each for each in objects.ids() if each not in known]
    if strays:
        what = f"{len(strays)} files that no row names, as a crash leaves them: {strays[0]}"
        examined.tell("objects", what, "nothing: the next start removes them", grave=False)
    examined.seen["objects"] = f"{len(known)} contents of {length} bytes" + ("" if contents else ", not decrypted")


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    repository: str
    digest: str
    size: int
    wrapped_key: bytes


def _rows(state: State) -> Iterator[_Row]:
    columns, place = (blob.c.id, blob.c.repository, blob.c.digest, blob.c.size, blob.c.wrapped_key), ""

    def page(connection: Connection) -> list[_Row]:
        rows = connection.execute(select(*columns).where(blob.c.id > place).order_by(blob.c.id).limit(1000))
        return [_Row(*row) for row in rows]

    while rows := state.read(page):
        yield from rows
        place = rows[-1].id


def _look_at_content(objects: Objects, row: _Row, *, contents: bool) -> None:
    with objects.open(StoredBlob(row.id, row.size, row.wrapped_key), row.repository, row.digest) as found:
        if not contents:
            return
        digest = hashlib.sha256()
        for part in found.segments():
            digest.update(part)
        if digest.hexdigest() != row.digest:
            raise Corrupt(f"blob {row.id}")


def _look_at_prompts(examined: Examined, directory: Path, subjects: StoredSubjectKeys) -> None:
    """What was kept of prompts and answers has to open, or to be erased."""
    stored, count = StoredContents(directory / CONTENTS, subjects, str), 0
    for place, path in kept_in(directory / CONTENTS):
        count += 1
        try:
            stored.find(place.record, path.rpartition(".")[2])
        except Corrupt as error:
            examined.tell("prompts", str(error), f"restore {CONTENTS}/{path} from a backup, or remove it")
    examined.seen["prompts"] = f"{count} kept requests and answers"


def _look_at_index(examined: Examined, directory: Path, copy: Path, kek: KeyEncryptionKey) -> None:
    """Look at what searches use. A crash may leave it as it pleases: it is made anew, and nothing is lost with it."""
    beside = [path for suffix in ("", "-wal") if (path := directory / f"{INDEX_FILE}{suffix}").exists()]
    if not beside:
        examined.seen["index"] = "none, as in a backup"
        return
    for path in beside:
        shutil.copy(path, copy / path.name)
    try:
        with contextlib.closing(Postings.reader(copy / INDEX_FILE, kek.derive("index"))) as postings:
            postings.check()
            indexed, size = int(postings.fact("size") or 0), _size(directory)
    except Damaged as error:
        examined.tell("index", f"{INDEX_FILE} is not what was written: {error}", _MADE_ANEW, grave=False)
        return
    if indexed > size:
        what = f"{INDEX_FILE} is of another history of this log: it has {indexed} records, and the log {size}"
        examined.tell("index", what, _MADE_ANEW, grave=False)
    examined.seen["index"] = f"{indexed} records"


def _look_at_cursors(examined: Examined, directory: Path, configuration: Configuration) -> None:
    names, size = {forward.name for forward in configuration.forwards}, _size(directory)
    count = 0
    for path in sorted((directory / "forward").glob("*.json")):
        count += 1
        try:
            after = json.loads(path.read_bytes())["after"]
        except (ValueError, KeyError, TypeError):
            after = None
        if type(after) is not int or not 0 <= after < size:
            advice = "remove it: everything is delivered again"
            examined.tell("cursors", f"forward/{path.name} is no cursor of this log", advice)
        if path.stem not in names:
            what = f"forward/{path.name} is of a receiver that is not configured"
            examined.tell("cursors", what, "remove it, if that receiver does not come back", grave=False)
    examined.seen["cursors"] = f"{count} of {len(names)} receivers"


def _origin(configuration: Configuration) -> str:
    return f"{configuration.trust_domain}/log"


def _size(directory: Path) -> int:
    """How many records lie in a log, acknowledged or not. Raises `Corrupt` for what is no file."""
    require_files(directory / "log")
    for _, path in reversed(list_segments(directory / "log")):
        try:
            header, start = read_header(data := path.read_bytes())
        except DamagedFrame:  # it was only being made
            continue
        return header.frontier.size + sum(frame.kind == FrameKind.RECORD for frame in iterate_frames(data, start))
    return 0
