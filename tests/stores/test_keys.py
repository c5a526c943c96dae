"""Keys at rest: who may read them, what they unwrap, and that nothing else ever does."""

import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.core.errors import Conflict, Corrupt, Misuse, Unavailable
from nomoat.stores.keys import KEY_SIZE, KeyEncryptionKey, KeyStore

KEK = KeyEncryptionKey(bytes(range(32)))
OTHER = KeyEncryptionKey(bytes(range(32, 64)))
CANARY = b"canary-private-key-bytes"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- The key-encryption key -------------------------------------------------------------------------


def test_a_key_is_loaded_as_it_was_created(tmp_path: Path) -> None:
    path = tmp_path / "config" / "keys" / "acme.kek"
    made = KeyEncryptionKey.create(path)
    loaded = KeyEncryptionKey.load(path)
    assert loaded.unwrap(made.wrap(CANARY, purpose="p"), purpose="p") == CANARY
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


def test_two_keys_differ(tmp_path: Path) -> None:
    one, two = (KeyEncryptionKey.create(tmp_path / name) for name in ("one", "two"))
    assert one.derive("p") != two.derive("p")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "acme.kek"
    KeyEncryptionKey.create(path)
    before = path.read_bytes()
    with pytest.raises(Conflict):
        KeyEncryptionKey.create(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["acme.kek"]


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o660, 0o610, 0o601, 0o777])
def test_a_key_that_others_can_reach_is_refused_and_says_what_to_do(tmp_path: Path, permissions: int) -> None:
    path = tmp_path / "acme.kek"
    KeyEncryptionKey.create(path)
    path.chmod(permissions)
    with pytest.raises(Unavailable, match="chmod 600"):
        KeyEncryptionKey.load(path)
    path.chmod(0o400)
    KeyEncryptionKey.load(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acme.kek"
    KeyEncryptionKey.create(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(Unavailable, match="another user"):
        KeyEncryptionKey.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        hashlib.sha256(b"anything").digest(),  # without the mark it might be any file
        b"nomoat-kek-1:\n",
        b"nomoat-kek-1:not base64!\n",
        b"nomoat-kek-1:" + b"QUJD" * 8 + b"\n",  # 24 bytes
        b"nomoat-kek-1:" + b"QUJD" * 16 + b"\n",  # 48 bytes
        b"nomoat-kek-1:" + b"A" * 43 + b"=\n",  # 32 zero bytes
        b"nomoat-kek-1:" + b"/" * 42 + b"8=\n",  # 32 bytes 0xff
        b"nomoat-kek-1:" + b"QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUI=" + b"\n",  # ABCABC…
        b"nomoat-kek-2:" + b"QUJD" * 10 + b"QUI=\n",
        b"\xff" * 100_000,
    ],
)
def test_what_is_no_random_key_of_32_bytes_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "acme.kek"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Unavailable, match="restore it"):
        KeyEncryptionKey.load(path)


def test_a_missing_key_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="restore it from its copy"):
        KeyEncryptionKey.load(tmp_path / "acme.kek")
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_or_directory_in_place_of_the_key_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(0o700)
    for name in ("pipe", "directory"):
        with pytest.raises(Unavailable):
            KeyEncryptionKey.load(tmp_path / name)


def test_a_key_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        KeyEncryptionKey.create(tmp_path / "file" / "acme.kek")


def test_a_key_is_never_shown() -> None:
    assert bytes(range(32)).hex()[:8] not in repr(KEK)
    assert str(KEK) == "KeyEncryptionKey(…)"


# -- Deriving and wrapping --------------------------------------------------------------------------


def test_derived_keys_are_of_one_purpose_and_one_key() -> None:
    assert len(KEK.derive("log")) == KEY_SIZE
    assert KEK.derive("log") == KEK.derive("log")
    assert len({KEK.derive("log"), KEK.derive("state"), KEK.derive(""), OTHER.derive("log")}) == 4


@given(st.binary(max_size=100), st.text(max_size=40))
def test_what_was_wrapped_is_unwrapped(secret: bytes, purpose: str) -> None:
    wrapped = KEK.wrap(secret, purpose=purpose)
    assert KEK.unwrap(wrapped, purpose=purpose) == secret
    assert len(wrapped) == len(secret) + 29
    assert secret not in wrapped or len(secret) < 4


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_key_never_unwraps_for_another_purpose(one: str, two: str) -> None:
    wrapped = KEK.wrap(CANARY, purpose=one)
    if one != two:
        with pytest.raises(Corrupt):
            KEK.unwrap(wrapped, purpose=two)


@given(st.integers(0, (29 + len(CANARY)) * 8 - 1))
def test_a_flipped_bit_never_unwraps(bit: int) -> None:
    wrapped = bytearray(KEK.wrap(CANARY, purpose="p"))
    wrapped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Corrupt):
        KEK.unwrap(bytes(wrapped), purpose="p")


@given(st.binary(max_size=80))
def test_garbage_never_unwraps(garbage: bytes) -> None:
    with pytest.raises(Corrupt):
        KEK.unwrap(garbage, purpose="p")


def test_a_truncated_key_never_unwraps() -> None:
    wrapped = KEK.wrap(CANARY, purpose="p")
    for length in range(len(wrapped)):
        with pytest.raises(Corrupt):
            KEK.unwrap(wrapped[:length], purpose="p")


def test_another_key_encryption_key_unwraps_nothing() -> None:
    with pytest.raises(Corrupt):
        OTHER.unwrap(KEK.wrap(CANARY, purpose="p"), purpose="p")


def test_a_secret_is_wrapped_differently_each_time() -> None:
    assert len({KEK.wrap(CANARY, purpose="p") for _ in range(20)}) == 20


def test_the_formats_stay_as_they_were_released() -> None:
    """Whoever changes one of these makes every existing data directory unreadable."""
    assert KEK.derive("state").hex() == "fb8e3aa767eed60a6eb7183c02b29352de8eae995d8b244cf2cea6197dee8912"
    assert (
        KEK.unwrap(
            bytes.fromhex(
                "012c89646a66d0948b498976b6171fd55ecc342dd29778134c8280311acceebf4bb6d259feda391bb80df84c196d1de087479eb344"
            ),
            purpose="key/log",
        )
        == CANARY
    )


# -- Key files --------------------------------------------------------------------------------------


def test_a_stored_key_is_loaded_and_its_file_is_private(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys", KEK)
    keys.create("log", CANARY)
    assert KeyStore(tmp_path / "keys", KEK).load("log") == CANARY
    assert mode(tmp_path / "keys") == 0o700
    assert mode(tmp_path / "keys" / "log.key") == 0o600
    assert CANARY not in (tmp_path / "keys" / "log.key").read_bytes()


def test_a_stored_key_is_never_overwritten(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path, KEK)
    keys.create("log", CANARY)
    with pytest.raises(Conflict):
        keys.create("log", b"another")
    assert keys.load("log") == CANARY


def test_key_files_that_were_exchanged_do_not_load(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path, KEK)
    keys.create("issuing", b"i" * 32)
    keys.create("tokens", b"t" * 32)
    (tmp_path / "issuing.key").rename(tmp_path / "kept")
    (tmp_path / "tokens.key").rename(tmp_path / "issuing.key")
    (tmp_path / "kept").rename(tmp_path / "tokens.key")
    for name in ("issuing", "tokens"):
        with pytest.raises(Corrupt, match=f"the key {name}"):
            keys.load(name)


def test_a_key_file_of_another_trust_domain_does_not_load(tmp_path: Path) -> None:
    KeyStore(tmp_path, OTHER).create("log", CANARY)
    with pytest.raises(Corrupt, match="key-encryption key"):
        KeyStore(tmp_path, KEK).load("log")


def test_a_missing_or_shared_key_file_is_refused(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path, KEK)
    for use in (keys.load, keys.rewrap):
        with pytest.raises(Unavailable, match="missing"):
            use("log")
    keys.create("log", CANARY)
    (tmp_path / "log.key").chmod(0o644)
    with pytest.raises(Unavailable, match="chmod 600"):
        keys.load("log")


@pytest.mark.parametrize("name", ["", "../log", "a/b", "LOG", "log.key", "log\n", ".log", "a" * 64])
def test_a_name_that_is_none_is_a_bug(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misuse):
        KeyStore(tmp_path, KEK).create(name, CANARY)
    assert list(tmp_path.iterdir()) == []
