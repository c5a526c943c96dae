"""Entries: from a `Record` to a leaf entry that anyone may see and a sealed box that few can open.

Rules: the entry holds pseudonyms, a salted commitment to the content and the hash of the box, and no
other word that a client wrote. The box opens only with its subject's key and beside the very entry
it was made for (the entry's fields are its associated data), so nobody without that key can forge
a pair. Destroying the key erases the content and breaks no proof.
"""

import hmac
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple, Protocol, cast

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


class Draft(NamedTuple):
    """A record that only has to be sealed: its readable content as JSON, and the pseudonyms of its entry."""

    kind: str
    what: str
    decision: str
    of: int | None
    who: str
    on: str
    session: str
    content: bytes
    cipher: AESGCM


class SealedRecord(NamedTuple):
    """A leaf entry and its sealed box."""

    entry: bytes
    box: bytes


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

    def draft(self, record: Record) -> Draft:
        """Prepare a record: everything that can fail, and nothing that costs much.

        Raises `TooLarge` when the content is over `CONTENT_LIMIT` (an outcome is shortened instead:
        it must be kept), `Misuse` when it is not JSON, `MissingKey` when the subject has none yet,
        `Unavailable` when the keys cannot be read.
        """
        names, session = self.pseudonyms, _session(record.content)
        return self.draft_pseudonymous(
            record,
            names.subject(record.subject),
            names.thing(record.on) if record.on else "",
            names.session(session) if session else "",
        )

    def draft_pseudonymous(self, record: Record, who: str, on: str, session: str) -> Draft:
        """Do as `draft` does for a record of which only the pseudonyms are known (after a restart)."""
        if len(record.what) > _SHORT or not record.what.isascii():
            raise Misuse("a leaf entry would be over its limit, or not be text")
        content, cipher = _encode_content(record), self._cipher(who)
        return Draft(record.kind._value_, record.what, record.decision, record.of, who, on, session, content, cipher)

    def seal(self, draft: Draft, index: int, at: str) -> SealedRecord:
        """Return entry and box of the record that becomes number `index` at time `at`."""
        kind, what, decision, of, who, on, session, content, cipher = draft
        random = next(self._random, None) or self._more_random()
        salt = random[:_SALT_SIZE]
        # The index makes nonces of one key unique however many there are; the random part keeps
        # them apart where an index is used again, for a record that a failed write never kept.
        nonce = index.to_bytes(_NONCE_SIZE - _NONCE_RANDOM, "big") + random[_SALT_SIZE:]
        binding = (
            f"{self._origin}\n{self._enforcer}\n{index}\n{at}\n{kind}\n{who}\n{on}\n{session}\n{what}\n{decision}\n{of}"
        )
        box = nonce + cipher.encrypt(nonce, salt + content, binding.encode())
        # In the order that canonical JSON sorts them; the option only guards that order.
        fields: dict[str, str | int] = {
            "at": at,
            "commitment": _commit(salt, content),
            "decision": decision,
            "enforcer": self._enforcer,
            "kind": kind,
            "n": index,
        }
        if of is not None:
            fields["of"] = of
        fields["on"] = on
        fields["sealed"] = sha256(box).hexdigest()
        fields["session"] = session
        fields["what"] = what
        fields["who"] = who
        entry = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        if len(entry) > ENTRY_LIMIT:
            raise Misuse("a leaf entry is over its limit")
        return SealedRecord(entry, box)

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
    _, content = unseal_box(origin, entry, box, key)
    return cast("Mapping[str, Json]", orjson.loads(content))


def unseal_box(origin: str, entry: Mapping[str, object], box: bytes, key: bytes) -> tuple[bytes, bytes]:
    """Return the salt and the content that a record's commitment was made of. Raises `Corrupt`."""
    try:
        salt, content = decrypt_box(origin, entry, box, AESGCM(key))
    except ValueError:  # no key of any size that there is
        raise Corrupt(f"the content of record {entry.get('n')}") from None
    verify_commitment(entry, salt, content)
    return salt, content


def decrypt_box(origin: str, entry: Mapping[str, object], box: bytes, cipher: AESGCM) -> tuple[bytes, bytes]:
    """Return salt and content as who held the subject's key sealed them, not compared with the commitment.

    Raises `Corrupt`.
    """
    get = entry.get
    binding = (
        f"{origin}\n{get('enforcer')}\n{get('n')}\n{get('at')}\n{get('kind')}\n{get('who')}\n{get('on')}\n"
        f"{get('session')}\n{get('what')}\n{get('decision')}\n{get('of')}"
    )
    try:
        plain = cipher.decrypt(box[:_NONCE_SIZE], box[_NONCE_SIZE:], binding.encode())
    except (InvalidTag, ValueError):
        raise Corrupt(f"the content of record {get('n')}") from None
    return plain[:_SALT_SIZE], plain[_SALT_SIZE:]


def verify_commitment(entry: Mapping[str, object], salt: bytes, content: bytes) -> bytes:
    """Check that an entry commits to `content` under `salt`; return `content`. Raises `Corrupt`."""
    if len(salt) != _SALT_SIZE or not hmac.compare_digest(_commit(salt, content), str(entry.get("commitment"))):
        raise Corrupt(f"the content of record {entry.get('n')}")
    return content


def _commit(salt: bytes, content: bytes) -> str:
    """Commit to content that may be guessed: without the salt, nobody can confirm a guess."""
    commitment = HMAC(salt, _SHA256)
    commitment.update(content)
    return commitment.finalize().hex()


def _session(content: Mapping[str, Json]) -> str:
    who = content.get("who")
    if who is None:
        return ""
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
