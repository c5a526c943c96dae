"""Entries: from a `Record` to a leaf entry that anyone may see and a sealed box that few can open.

Rules: the entry holds pseudonyms, a salted commitment to the content and the hash of the box, and no
other word that a client wrote. The box opens only with its subject's key and beside the very entry
it was made for (the entry's fields are its associated data), so nobody without that key can forge
a pair. Destroying the key erases the content and breaks no proof.
"""

import hmac
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final, Protocol, cast

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from nomoat.audit.segments import ENTRY_LIMIT
from nomoat.core.errors import Corrupt, Misuse, TooLarge
from nomoat.core.record import Json, Record, RecordKind

CONTENT_LIMIT: Final = 64 * 1024
"""Bytes of a record's readable content as JSON."""

_SALT_SIZE: Final = 32
_NONCE_SIZE: Final = 12
_NONCE_RANDOM: Final = 6
_RANDOM_SIZE: Final = _SALT_SIZE + _NONCE_RANDOM
_RANDOM_BATCH: Final = 256
_CACHED_SUBJECTS: Final = 8192
_CACHED_NAMES: Final = 32768
_SHORT: Final = 512
_SHA256: Final = SHA256()


class SubjectKeys(Protocol):
    """The keys that content is sealed with, one of 32 bytes for each pseudonym.

    Consistency: one pseudonym has one key until that is destroyed, also under concurrent calls.
    Durability: a key that `create` returned survives a crash.
    Trusted for: keeping keys secret. All raise `Unavailable` when they cannot tell.
    """

    def find(self, pseudonym: str) -> bytes | None:
        """Return the subject's key, or None when there is none (never made, or destroyed)."""
        ...

    async def create(self, pseudonym: str) -> bytes:
        """Make the subject's key, durably, and return it; return the one there is, if there is one."""
        ...

    def erased(self, pseudonym: str) -> int | None:
        """Return the number of the newest record that erased the subject's content, or None."""
        ...


class MissingKey(Exception):
    """The subject of this pseudonym has no key yet."""

    def __init__(self, pseudonym: str) -> None:
        super().__init__(pseudonym)
        self.pseudonym = pseudonym


class Pseudonyms:
    """The names under which the provable part of the log knows people and things.

    HMAC-SHA256 under a secret of this log, cut to 128 bits, apart for subjects, things and sessions.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise Misuse("a pseudonym key has at least 32 bytes")

        def derive(label: str) -> Callable[[str], str]:
            @lru_cache(maxsize=_CACHED_NAMES)
            def pseudonym(name: str) -> str:
                message = f"{label}\n{name}".encode("utf-8", "surrogatepass")
                return hmac.digest(key, message, "sha256")[:16].hex()

            return pseudonym

        self.subject: Final = derive("subject")
        self.thing: Final = derive("thing")
        self.session: Final = derive("session")


@dataclass(slots=True)
class SealedRecord:
    """A leaf entry, its sealed box, and the pseudonyms in the entry."""  # not frozen: that doubles its cost

    entry: bytes
    box: bytes
    who: str
    on: str
    session: str


class Sealer:
    """Makes entries and boxes, and opens boxes. `origin` names the log, `enforcer` who enforces.

    Not safe for threads: the event loop owns it.
    """

    def __init__(self, origin: str, enforcer: str, pseudonyms: Pseudonyms, keys: SubjectKeys) -> None:
        self.pseudonyms = pseudonyms
        self._origin = origin
        self._enforcer = enforcer
        self._random: Iterator[bytes] = iter(())

        @lru_cache(maxsize=_CACHED_SUBJECTS)
        def cipher(pseudonym: str) -> AESGCM:
            key = keys.find(pseudonym)
            if key is None:
                raise MissingKey(pseudonym)
            return AESGCM(key)

        self._cipher = cipher

    def seal(self, record: Record, index: int, at: str) -> SealedRecord:
        """Return entry and box of the record that becomes number `index` at time `at`.

        Raises `TooLarge` when the content is over `CONTENT_LIMIT` (an outcome is shortened instead:
        it must be kept), `Misuse` when it is not JSON, `MissingKey` when the subject has none yet,
        `Unavailable` when the keys cannot be read.
        """
        names = self.pseudonyms
        session = _session(record.content)
        return self.seal_pseudonymous(
            record,
            index,
            at,
            names.subject(record.subject),
            names.thing(record.on) if record.on else "",
            names.session(session) if session else "",
        )

    def seal_pseudonymous(self, record: Record, index: int, at: str, who: str, on: str, session: str) -> SealedRecord:
        """Do as `seal` does for a record of which only the pseudonyms are known (after a restart)."""
        content = _encode_content(record)
        random = next(self._random, None) or self._more_random()
        salt = random[:_SALT_SIZE]
        # The index makes nonces of one key unique however many there are; the random part keeps
        # them apart where an index is used again, for a record that a failed write never kept.
        nonce = index.to_bytes(_NONCE_SIZE - _NONCE_RANDOM, "big") + random[_SALT_SIZE:]
        kind, of = record.kind._value_, record.of
        binding = f"{self._origin}\n{self._enforcer}\n{index}\n{at}\n{kind}\n{who}\n{on}\n{session}\n{record.what}\n{record.decision}\n{of}"
        box = nonce + self._cipher(who).encrypt(nonce, salt + content, binding.encode())
        # In the order that canonical JSON sorts them; the option only guards that order.
        fields: dict[str, str | int] = {
            "at": at,
            "commitment": _commit(salt, content),
            "decision": record.decision,
            "enforcer": self._enforcer,
            "kind": kind,
            "n": index,
        }
        if of is not None:
            fields["of"] = of
        fields["on"] = on
        fields["sealed"] = sha256(box).hexdigest()
        fields["session"] = session
        fields["what"] = record.what
        fields["who"] = who
        entry = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        if len(entry) > ENTRY_LIMIT:
            raise Misuse("a leaf entry is over its limit")
        return SealedRecord(entry, box, who, on, session)

    def forget_keys(self) -> None:
        """Fetch every key again before its next use: one of them was destroyed."""
        self._cipher.cache_clear()

    def _more_random(self) -> bytes:
        """Ask the system for many records' random bytes at once; return the first record's."""
        pool = os.urandom(_RANDOM_SIZE * _RANDOM_BATCH)
        self._random = iter([pool[at : at + _RANDOM_SIZE] for at in range(0, len(pool), _RANDOM_SIZE)])
        return next(self._random)


def open_box(origin: str, entry: Mapping[str, object], box: bytes, key: bytes) -> Mapping[str, Json]:
    """Return a record's readable content, checked against its entry. Raises `Corrupt`."""
    what = f"the content of record {entry.get('n')}"
    binding = "\n".join(
        [
            origin,
            *(
                str(entry.get(name))
                for name in ("enforcer", "n", "at", "kind", "who", "on", "session", "what", "decision", "of")
            ),
        ]
    )
    try:
        plain = AESGCM(key).decrypt(box[:_NONCE_SIZE], box[_NONCE_SIZE:], binding.encode())
    except (InvalidTag, ValueError):
        raise Corrupt(what) from None
    salt, content = plain[:_SALT_SIZE], plain[_SALT_SIZE:]
    if not hmac.compare_digest(_commit(salt, content), str(entry.get("commitment"))):
        raise Corrupt(what)
    return cast("Mapping[str, Json]", orjson.loads(content))


def _commit(salt: bytes, content: bytes) -> str:
    """Commit to content that may be guessed: without the salt, nobody can confirm a guess."""
    commitment = HMAC(salt, _SHA256)
    commitment.update(content)
    return commitment.finalize().hex()


def _session(content: Mapping[str, Json]) -> str:
    who = content.get("who")
    # A dict nearly always; asking that first saves the slow check of an abstract class.
    session = who.get("session") if isinstance(who, (dict, Mapping)) else None
    return session if isinstance(session, str) else ""


def _encode_content(record: Record) -> bytes:
    try:
        content = orjson.dumps(record.content)
    except TypeError:
        # Text that is not Unicode (lone surrogates) is kept escaped; anything else here is a bug of ours.
        try:
            content = orjson.dumps(_escaped(record.content))
        except TypeError as error:
            raise Misuse(f"a record's content is not JSON: {error}") from None
    if len(content) <= CONTENT_LIMIT:
        return content
    if record.kind is RecordKind.OUTCOME:
        kept = {name: value for name, value in record.content.items() if _is_short(value)}
        return orjson.dumps(_escaped({"shortened": True, **dict(list(kept.items())[:64])}))
    raise TooLarge(f"the record of this request would have more than {CONTENT_LIMIT} bytes")


def _is_short(value: Json) -> bool:
    return value is None or isinstance(value, int) or (isinstance(value, str) and len(value) <= _SHORT)


def _escaped(value: Json) -> Json:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {name.encode("utf-8", "backslashreplace").decode(): _escaped(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_escaped(item) for item in value]
    return value
