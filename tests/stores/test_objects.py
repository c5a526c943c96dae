"""Objects: what was stored comes back, whole or in ranges, and nothing else ever does."""

import asyncio
import hashlib
import secrets
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomoat.core.errors import Corrupt, Malformed, Misuse, TooLarge
from nomoat.stores.blob import StoredBlob
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.objects import Objects
from nomoat.stores.streaming import HEADER_SIZE, MAX_SIZE, SEGMENT, TAG_SIZE

KEK = KeyEncryptionKey(bytes(range(32)))
REPOSITORY = "r-3f9c"
FIRST = SEGMENT - HEADER_SIZE - TAG_SIZE
FULL = SEGMENT - TAG_SIZE
SIZES = [0, 1, 1000, FIRST - 1, FIRST, FIRST + 1, FIRST + FULL, FIRST + FULL + 1, FIRST + 5 * FULL, 700_000]


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects", KEK)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def store(objects: Objects, content: bytes, repository: str = REPOSITORY, chunk: int = SEGMENT) -> StoredBlob:
    async def upload() -> StoredBlob:
        with objects.begin(repository, digest_of(content), len(content)) as upload:
            for start in range(0, len(content), chunk):
                upload.write(content[start : start + chunk])
            return await upload.finish()

    return asyncio.run(upload())


def read(objects: Objects, stored: StoredBlob, content: bytes, repository: str = REPOSITORY) -> bytes:
    """Read the blob as the one of this content's digest."""
    with objects.open(stored, repository, digest_of(content)) as blob:
        return b"".join(blob.segments())


def file_of(tmp_path: Path, stored: StoredBlob) -> Path:
    (path,) = (tmp_path / "objects").rglob(stored.id)
    return path


def files_in(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


# -- What was stored comes back ---------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [997, SEGMENT, 10**6])
@pytest.mark.parametrize("size", SIZES)
def test_a_content_comes_back(objects: Objects, size: int, chunk: int) -> None:
    content = secrets.token_bytes(size)
    stored = store(objects, content, chunk=chunk)
    assert stored.size == size
    with objects.open(stored, REPOSITORY, digest_of(content)) as blob:
        parts = list(blob.segments())
        assert blob.size == size
    assert b"".join(parts) == content
    assert all(0 < len(part) <= SEGMENT for part in parts)


LONG = bytes(range(256)) * 1100  # five segments


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Objects, StoredBlob]:
    objects = Objects(tmp_path_factory.mktemp("long"), KEK)
    return objects, store(objects, LONG)


EDGES = st.sampled_from([edge + near for edge in (0, FIRST, FIRST + FULL, len(LONG) - 1) for near in (-1, 0, 1)])
OFFSETS = (EDGES | st.integers(0, len(LONG) - 1)).map(lambda offset: min(max(offset, 0), len(LONG) - 1))


@given(OFFSETS, OFFSETS)
def test_any_range_is_exact(long: tuple[Objects, StoredBlob], one: int, two: int) -> None:
    objects, stored = long
    first, last = sorted((one, two))
    with objects.open(stored, REPOSITORY, digest_of(LONG)) as blob:
        assert b"".join(blob.segments(first, last)) == LONG[first : last + 1]
        assert b"".join(blob.segments(first)) == LONG[first:]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=200) | st.integers(0, 2 * SEGMENT).map(bytes), max_size=8))
def test_chunks_of_any_length_make_the_content(objects: Objects, chunks: list[bytes]) -> None:
    content = b"".join(chunks)

    async def upload() -> StoredBlob:
        with objects.begin(REPOSITORY, digest_of(content), len(content)) as upload:
            for chunk in chunks:
                upload.write(memoryview(chunk))
            return await upload.finish()

    assert read(objects, asyncio.run(upload()), content) == content


@pytest.mark.parametrize(("first", "last"), [(-1, 5), (0, len(LONG)), (6, 4), (len(LONG) + 1, None), (5, -2)])
def test_a_range_outside_the_content_is_a_bug(long: tuple[Objects, StoredBlob], first: int, last: int | None) -> None:
    objects, stored = long
    with objects.open(stored, REPOSITORY, digest_of(LONG)) as blob, pytest.raises(Misuse):
        blob.segments(first, last)


def test_a_closed_blob_gives_nothing_more(long: tuple[Objects, StoredBlob]) -> None:
    objects, stored = long
    with objects.open(stored, REPOSITORY, digest_of(LONG)) as blob:
        parts = blob.segments()
        next(parts)
    with pytest.raises(Misuse):
        next(parts)


def test_blobs_outlive_the_process(tmp_path: Path, objects: Objects) -> None:
    stored = store(objects, LONG)
    assert read(Objects(tmp_path / "objects", KEK), stored, LONG) == LONG


def test_a_removed_blob_is_gone(tmp_path: Path, objects: Objects) -> None:
    stored, kept = store(objects, LONG), store(objects, b"kept")
    asyncio.run(objects.remove(stored.id))
    asyncio.run(objects.remove(stored.id))
    assert list(objects.ids()) == [kept.id]
    assert len(files_in(tmp_path)) == 1
    with pytest.raises(Corrupt):
        read(objects, stored, LONG)


def test_memory_stays_flat(objects: Objects) -> None:
    size = 64 * 2**20
    chunk = secrets.token_bytes(SEGMENT)
    digest = hashlib.sha256()
    for _ in range(size // len(chunk)):
        digest.update(chunk)

    async def upload() -> StoredBlob:
        with objects.begin(REPOSITORY, digest.hexdigest(), size) as upload:
            for _ in range(size // len(chunk)):
                upload.write(chunk)
            return await upload.finish()

    tracemalloc.start()
    try:
        stored = asyncio.run(upload())
        with objects.open(stored, REPOSITORY, digest.hexdigest()) as blob:
            assert sum(len(part) for part in blob.segments()) == size
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20


# -- What was announced must arrive -----------------------------------------------------------------


def refused(objects: Objects, announced: tuple[str, int], content: bytes) -> str:
    """Upload against an announced digest and size, expect a refusal, return its reason."""

    async def upload() -> None:
        with objects.begin(REPOSITORY, *announced) as upload:
            upload.write(content)
            await upload.finish()

    with pytest.raises(Malformed) as caught:
        asyncio.run(upload())
    return caught.value.reason


@pytest.mark.parametrize("content", [b"", b"short", LONG])
def test_another_content_than_announced_is_refused(tmp_path: Path, objects: Objects, content: bytes) -> None:
    digest, size = digest_of(content), len(content)
    assert "SHA-256" in refused(objects, (digest_of(b"another"), size), content)
    assert "announced" in refused(objects, (digest, size + 1), content)
    if content:
        assert "announced" in refused(objects, (digest, size - 1), content)
        assert "SHA-256" in refused(objects, (digest, size), bytes(size))
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "0" * 64 + "\n"])
def test_what_is_no_digest_is_refused(tmp_path: Path, objects: Objects, digest: str) -> None:
    with pytest.raises(Malformed):
        objects.begin(REPOSITORY, digest, 1)
    assert files_in(tmp_path) == []


def test_impossible_sizes_are_refused(objects: Objects) -> None:
    with pytest.raises(Malformed):
        objects.begin(REPOSITORY, digest_of(b""), -1)
    with pytest.raises(TooLarge):
        objects.begin(REPOSITORY, digest_of(b""), MAX_SIZE + 1)


def test_an_aborted_upload_leaves_nothing_and_is_over(tmp_path: Path, objects: Objects) -> None:
    upload = objects.begin(REPOSITORY, digest_of(LONG), len(LONG))
    upload.write(LONG)
    assert len(files_in(tmp_path)) == 1
    upload.abort()
    upload.abort()
    assert files_in(tmp_path) == []
    with pytest.raises(Misuse):
        upload.write(b"more")
    with pytest.raises(Misuse):
        asyncio.run(upload.finish())


def test_a_finished_upload_is_over(objects: Objects) -> None:
    async def use_again() -> None:
        with objects.begin(REPOSITORY, digest_of(b"x"), 1) as upload:
            upload.write(b"x")
            stored = await upload.finish()
            with pytest.raises(Misuse):
                await upload.finish()
            upload.abort()
        assert read_one(stored) == b"x"

    def read_one(stored: StoredBlob) -> bytes:
        return read(objects, stored, b"x")

    asyncio.run(use_again())


def test_an_upload_is_invisible_until_it_is_finished(tmp_path: Path, objects: Objects) -> None:
    with objects.begin(REPOSITORY, digest_of(LONG), len(LONG)) as upload:
        upload.write(LONG)
        assert list(objects.ids()) == []
        assert [path.parent.name for path in files_in(tmp_path)] == ["incoming"]
    assert files_in(tmp_path) == []


# -- Attacks on the directory -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, FIRST, FIRST + FULL, len(LONG)])
def test_truncation_is_found_before_a_byte_is_served(tmp_path: Path, objects: Objects, size: int) -> None:
    content = LONG[:size]
    stored = store(objects, content)
    path = file_of(tmp_path, stored)
    whole = path.read_bytes()
    cuts = {0, 1, HEADER_SIZE - 1, HEADER_SIZE, len(whole) - 1, len(whole) - TAG_SIZE, *range(0, len(whole), SEGMENT)}
    for length in sorted(cut for cut in cuts if cut < len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Corrupt):
            objects.open(stored, REPOSITORY, digest_of(content))


def test_truncation_is_found_even_when_the_recorded_size_agrees(tmp_path: Path, objects: Objects) -> None:
    stored = store(objects, LONG)
    path = file_of(tmp_path, stored)
    path.write_bytes(path.read_bytes()[: 2 * SEGMENT])
    shorter = StoredBlob(stored.id, FIRST + FULL, stored.wrapped_key)
    with pytest.raises(Corrupt):
        objects.open(shorter, REPOSITORY, digest_of(LONG))


@pytest.mark.parametrize("size", [0, 1, FIRST, FIRST + FULL, len(LONG)])
def test_extension_is_found_before_a_byte_is_served(tmp_path: Path, objects: Objects, size: int) -> None:
    content = LONG[:size]
    stored = store(objects, content)
    path = file_of(tmp_path, stored)
    whole = path.read_bytes()
    for more in (b"\0", bytes(TAG_SIZE), whole[-TAG_SIZE:], whole[-SEGMENT:], bytes(SEGMENT)):
        path.write_bytes(whole + more)
        with pytest.raises(Corrupt):
            objects.open(stored, REPOSITORY, digest_of(content))


def corrupted_after(blob_segments: Callable[[], Iterator[bytes]]) -> bytes:
    """Read until `Corrupt`; return what came before it."""
    served: list[bytes] = []
    with pytest.raises(Corrupt):
        served.extend(blob_segments())
    return b"".join(served)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_flipped_byte_anywhere_is_never_served(
    tmp_path: Path, long: tuple[Objects, StoredBlob], data: st.DataObject
) -> None:
    objects, stored = long
    original = next(objects._root.rglob(stored.id))
    whole = original.read_bytes()
    position = data.draw(
        st.integers(0, HEADER_SIZE)
        | st.integers(0, len(whole) - 1)
        | st.integers(len(whole) - TAG_SIZE, len(whole) - 1)
    )
    flipped = bytearray(whole)
    flipped[position] ^= data.draw(st.integers(1, 255))
    copy = Objects(tmp_path / "copy", KEK)
    path = tmp_path / "copy" / stored.id[:2] / stored.id
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(flipped)

    def segments() -> Iterator[bytes]:
        with copy.open(stored, REPOSITORY, digest_of(LONG)) as blob:
            yield from blob.segments()

    served = corrupted_after(segments)
    assert LONG.startswith(served)
    segment = position // SEGMENT
    assert len(served) <= max(0, FIRST + (segment - 1) * FULL)


def test_a_flipped_byte_does_not_spoil_the_ranges_beside_it(tmp_path: Path, objects: Objects) -> None:
    stored = store(objects, LONG)
    path = file_of(tmp_path, stored)
    flipped = bytearray(path.read_bytes())
    flipped[SEGMENT + 5] ^= 1
    path.write_bytes(flipped)
    with objects.open(stored, REPOSITORY, digest_of(LONG)) as blob:
        assert b"".join(blob.segments(0, FIRST - 1)) == LONG[:FIRST]
        assert b"".join(blob.segments(FIRST + FULL)) == LONG[FIRST + FULL :]
        assert corrupted_after(lambda: blob.segments(FIRST, FIRST)) == b""


def test_exchanged_segments_are_found(tmp_path: Path, objects: Objects) -> None:
    stored = store(objects, LONG)
    path = file_of(tmp_path, stored)
    whole = path.read_bytes()
    path.write_bytes(
        whole[:SEGMENT] + whole[2 * SEGMENT : 3 * SEGMENT] + whole[SEGMENT : 2 * SEGMENT] + whole[3 * SEGMENT :]
    )
    with objects.open(stored, REPOSITORY, digest_of(LONG)) as blob:
        assert corrupted_after(blob.segments) == LONG[:FIRST]


@pytest.mark.parametrize("other", [REPOSITORY, "r-other"], ids=["one-repository", "two-repositories"])
@pytest.mark.parametrize("same_content", [True, False])
def test_exchanged_ciphertexts_are_found(tmp_path: Path, objects: Objects, other: str, same_content: bool) -> None:
    content = LONG if same_content else LONG[::-1]
    one, two = store(objects, LONG), store(objects, content, other)
    first, second = file_of(tmp_path, one), file_of(tmp_path, two)
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    with pytest.raises(Corrupt):
        objects.open(one, REPOSITORY, digest_of(LONG))
    with pytest.raises(Corrupt):
        objects.open(two, other, digest_of(content))


def test_exchanged_data_keys_open_nothing(objects: Objects) -> None:
    one, two = store(objects, LONG), store(objects, LONG)
    for mixed in (StoredBlob(one.id, one.size, two.wrapped_key), StoredBlob(two.id, two.size, one.wrapped_key)):
        with pytest.raises(Corrupt):
            objects.open(mixed, REPOSITORY, digest_of(LONG))


@pytest.mark.parametrize("repository", ["", "r-3f9", "r-3f9c/", "R-3F9C", f"{REPOSITORY}/{digest_of(LONG)}"])
def test_the_wrong_repository_opens_nothing(objects: Objects, repository: str) -> None:
    with pytest.raises(Corrupt):
        objects.open(store(objects, LONG), repository, digest_of(LONG))


def test_the_wrong_digest_opens_nothing(objects: Objects) -> None:
    stored = store(objects, LONG)
    with pytest.raises(Corrupt):
        objects.open(stored, REPOSITORY, digest_of(b"another"))
    with pytest.raises(Malformed):
        objects.open(stored, REPOSITORY, f"x/{digest_of(LONG)}")


def test_a_repository_cannot_be_spelled_into_a_digest(objects: Objects) -> None:
    stored = store(objects, LONG, "a/b")
    with pytest.raises(Malformed):
        objects.open(stored, "a", f"b/{digest_of(LONG)}")


def test_another_key_encryption_key_opens_nothing(tmp_path: Path, objects: Objects) -> None:
    stored = store(objects, LONG)
    with pytest.raises(Corrupt):
        read(Objects(tmp_path / "objects", KeyEncryptionKey(bytes(range(1, 33)))), stored, LONG)


@pytest.mark.parametrize(
    "blob_id", ["", "../" * 10 + "x", "a" * 31, "a" * 33, "A" * 32, "a" * 31 + "/", "a" * 32 + "\n"]
)
def test_an_id_that_is_none_never_becomes_a_path(objects: Objects, blob_id: str) -> None:
    stored = store(objects, b"x")
    with pytest.raises(Misuse):
        asyncio.run(objects.remove(blob_id))
    wrapped = KEK.wrap(bytes(32), purpose=f"nomoat-blob-v1/{REPOSITORY}/{digest_of(b'x')}/{blob_id}")
    with pytest.raises(Misuse):
        objects.open(StoredBlob(blob_id, 1, wrapped), REPOSITORY, digest_of(b"x"))
    assert list(objects.ids()) == [stored.id]


# -- What the directory shows -----------------------------------------------------------------------


def test_no_plaintext_reaches_the_directory(tmp_path: Path, objects: Objects) -> None:
    canary, repository = b"canary-7f3a-content", "canary-repository"
    content = canary * 20_000
    shown = bytearray()

    def look() -> None:
        for path in (tmp_path / "objects").rglob("*"):
            shown.extend(str(path.relative_to(tmp_path)).encode())
            if path.is_file():
                shown.extend(path.read_bytes())

    async def upload() -> StoredBlob:
        with objects.begin(repository, digest_of(content), len(content)) as upload:
            for start in range(0, len(content), 5000):
                upload.write(content[start : start + 5000])
            look()
            stored = await upload.finish()
            look()
            return stored

    stored = asyncio.run(upload())
    assert len(shown) > len(content)
    digest = digest_of(content)
    for hidden in (canary, repository.encode(), digest.encode(), bytes.fromhex(digest), stored.wrapped_key):
        assert hidden not in shown
    assert b"canary" not in repr(stored).encode()
    assert stored.wrapped_key.hex()[:16] not in repr(stored)


def test_the_same_content_is_two_blobs_that_have_nothing_in_common(tmp_path: Path, objects: Objects) -> None:
    one, two = store(objects, LONG), store(objects, LONG)
    assert one.id != two.id
    first, second = file_of(tmp_path, one).read_bytes(), file_of(tmp_path, two).read_bytes()
    assert len(first) == len(second)
    assert not {first[i : i + 16] for i in range(1, len(first) - 16, 16)} & {
        second[i : i + 16] for i in range(1, len(second) - 16, 16)
    }


def test_everything_is_its_owners_alone(tmp_path: Path, objects: Objects) -> None:
    with objects.begin(REPOSITORY, digest_of(LONG), len(LONG)) as upload:
        upload.write(LONG)
        store(objects, LONG)
        for path in (tmp_path / "objects", *(tmp_path / "objects").rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_blob_stays_readable_as_it_was_released(tmp_path: Path) -> None:
    """Whoever changes the format makes every existing data directory unreadable."""
    objects = Objects(tmp_path / "objects", KEK)
    path = tmp_path / "objects" / "00" / ("0" * 32)
    path.parent.mkdir()
    path.write_bytes(
        bytes.fromhex(
            "289488dc3ad694f573ce4d6c0c6301bd3ea16cc874f4da9b8bac8c4a6ba06abdbb6fe4bd7196aa38f48cf2c1942e36f8be38e1feee601b0437a646f96a4c"
        )
    )
    stored = StoredBlob(
        "0" * 32,
        6,
        bytes.fromhex(
            "0165adcfb2f0db6d17ef5d139c0cc4251da3f5a2df1863a124c500e417c34218eba9d83f057ca089466794541ef72ceaf88f7c50b22ac8aa2b76362668"
        ),
    )
    assert read(objects, stored, b"NoMoat") == b"NoMoat"
