"""The streaming format: that it is Tink's, and that no rearranged ciphertext opens."""

import base64
import io
import json
import secrets
from importlib import import_module
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.core.errors import Corrupt, Misuse
from nomoat.stores.streaming import (
    HEADER_SIZE,
    MAX_SIZE,
    SEGMENT,
    TAG_SIZE,
    Opener,
    Sealer,
    ciphertext_size,
    ciphertext_span,
    plaintext_size,
    segment_at,
    segment_count,
)

KEY = bytes(range(32))
BINDING = b"blob of a repository"
FIRST = SEGMENT - HEADER_SIZE - TAG_SIZE
FULL = SEGMENT - TAG_SIZE
SIZES = [0, 1, 4096, FIRST - 1, FIRST, FIRST + 1, SEGMENT, FIRST + FULL - 1, FIRST + FULL, FIRST + FULL + 1, 300_000]


def seal(plaintext: bytes, key: bytes = KEY, binding: bytes = BINDING) -> bytes:
    """Encrypt whole, as `Upload` does it segment by segment."""
    sealer = Sealer(key, binding, len(plaintext))
    out = bytearray(sealer.header)
    buffer = memoryview(bytearray(SEGMENT))
    taken = 0
    for number in range(segment_count(len(plaintext))):
        part = plaintext[taken : taken + plaintext_size(number, len(plaintext))]
        out += buffer[: sealer.seal(part, buffer)]
        taken += len(part)
    assert taken == len(plaintext)
    return bytes(out)


def unseal(ciphertext: bytes, size: int, key: bytes = KEY, binding: bytes = BINDING) -> bytes:
    """Decrypt whole, the last segment first, as `Blob` does it."""
    opener = Opener(key, binding, ciphertext[:HEADER_SIZE], size)
    parts: list[bytes] = []
    for number in reversed(range(segment_count(size))):
        start, length = ciphertext_span(number, size)
        parts.insert(0, opener.open(number, ciphertext[start : start + length]))
    return b"".join(parts)


# -- Tink -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tink() -> Any:
    """Tink's own primitive with our key and parameters."""
    import_module("tink.streaming_aead").register()
    parameters = import_module("tink.proto.aes_gcm_hkdf_streaming_pb2")
    hashes = import_module("tink.proto.common_pb2")
    value = parameters.AesGcmHkdfStreamingKey(
        key_value=KEY,
        params=parameters.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=SEGMENT, derived_key_size=32, hkdf_hash_type=hashes.SHA256
        ),
    ).SerializeToString()
    keyset = {
        "primaryKeyId": 1,
        "key": [
            {
                "keyData": {
                    "typeUrl": "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
                    "value": base64.b64encode(value).decode(),
                    "keyMaterialType": "SYMMETRIC",
                },
                "status": "ENABLED",
                "keyId": 1,
                "outputPrefixType": "RAW",
            }
        ],
    }
    access = import_module("tink.secret_key_access").TOKEN
    handle = import_module("tink").json_proto_keyset_format.parse(json.dumps(keyset), access)
    return handle.primitive(import_module("tink.streaming_aead").StreamingAead)


class Kept(io.BytesIO):
    """A destination that Tink may close without losing what it wrote."""

    content = b""

    def close(self) -> None:
        self.content = self.getvalue()
        super().close()


@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_what_we_seal(tink: Any, size: int) -> None:
    plaintext = secrets.token_bytes(size)
    with tink.new_decrypting_stream(io.BytesIO(seal(plaintext)), BINDING) as stream:
        assert stream.read() == plaintext


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_tink_seals(tink: Any, size: int) -> None:
    plaintext = secrets.token_bytes(size)
    destination = Kept()
    with tink.new_encrypting_stream(destination, BINDING) as stream:
        stream.write(plaintext)
    assert len(destination.content) == ciphertext_size(size)
    assert unseal(destination.content, size) == plaintext


# -- Sizes ------------------------------------------------------------------------------------------


@given(st.integers(0, 2**20) | st.integers(0, MAX_SIZE))
def test_the_segments_of_any_size_add_up(size: int) -> None:
    count = segment_count(size)
    assert 1 <= count <= 2**32
    numbers = [0, 1, 2, count // 2, count - 2, count - 1] if count > 9 else range(count)
    spans = [ciphertext_span(number, size) for number in numbers]
    assert spans[0][0] == HEADER_SIZE
    assert sum(spans[-1]) == ciphertext_size(size)
    assert all(0 < length <= SEGMENT for _, length in spans)
    for (one, (start, length)), (two, (next_start, _)) in pairwise(zip(numbers, spans, strict=True)):
        assert two - one > 1 or start + length == next_start
    if count > 1:
        assert plaintext_size(count - 1, size) > 0
    if count <= 9:
        assert sum(plaintext_size(number, size) for number in range(count)) == size


@given(st.integers(1, MAX_SIZE), st.data())
def test_every_byte_is_in_the_segment_that_says_so(size: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, size - 1))
    number, inside = segment_at(offset)
    assert 0 <= inside < plaintext_size(number, size)
    start, _ = ciphertext_span(number, size)
    assert start + inside == HEADER_SIZE + offset + number * TAG_SIZE


# -- Attacks ----------------------------------------------------------------------------------------

SIZE = FIRST + 2 * FULL + 1000  # four segments
SEALED = seal(bytes(SIZE))


def segments_of(ciphertext: bytes) -> list[bytes]:
    return [
        ciphertext[HEADER_SIZE:SEGMENT],
        *(ciphertext[i : i + SEGMENT] for i in range(SEGMENT, len(ciphertext), SEGMENT)),
    ]


def test_no_segment_opens_in_another_place() -> None:
    opener = Opener(KEY, BINDING, SEALED[:HEADER_SIZE], SIZE)
    for number, segment in enumerate(segments_of(SEALED)):
        for place in range(6):
            if place == number:
                assert opener.open(place, segment) == bytes(plaintext_size(number, SIZE))
            else:
                with pytest.raises(Corrupt):
                    opener.open(place, segment)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_ciphertext_without_its_last_segments_does_not_open(kept: int) -> None:
    shorter = FIRST + (kept - 1) * FULL
    with pytest.raises(Corrupt):
        unseal(SEALED[: kept * SEGMENT], shorter)


def test_a_ciphertext_that_was_extended_does_not_open() -> None:
    for added in (FULL, 1000):
        sealer = Sealer(secrets.token_bytes(32), BINDING, 0)
        buffer = memoryview(bytearray(SEGMENT))
        more = bytes(buffer[: sealer.seal(bytes(added), buffer)])
        whole = seal(bytes(FIRST + FULL))
        with pytest.raises(Corrupt):
            unseal(whole + more, FIRST + FULL + added)


def test_the_last_segment_says_that_it_is() -> None:
    whole = seal(bytes(FIRST + FULL))
    assert Opener(KEY, BINDING, whole[:HEADER_SIZE], FIRST + FULL).open(1, whole[SEGMENT:])
    with pytest.raises(Corrupt):  # as a middle segment of something longer
        Opener(KEY, BINDING, whole[:HEADER_SIZE], FIRST + FULL + 1).open(1, whole[SEGMENT:])


@given(st.integers(0, HEADER_SIZE * 8 - 1))
def test_a_flipped_bit_in_the_header_opens_nothing(bit: int) -> None:
    flipped = bytearray(SEALED)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Corrupt):
        unseal(bytes(flipped), SIZE)


@pytest.mark.parametrize(
    "header",
    [b"", bytes(HEADER_SIZE), SEALED[: HEADER_SIZE - 1], SEALED[: HEADER_SIZE + 1]],
    ids=["none", "zeros", "short", "long"],
)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(Corrupt):
        Opener(KEY, BINDING, header, SIZE)


def test_another_key_or_binding_opens_nothing() -> None:
    with pytest.raises(Corrupt):
        unseal(SEALED, SIZE, key=bytes(32))
    with pytest.raises(Corrupt):
        unseal(SEALED, SIZE, binding=BINDING + b" ")


def test_segments_of_two_ciphertexts_under_one_key_do_not_mix() -> None:
    other = seal(bytes(SIZE))
    with pytest.raises(Corrupt):
        unseal(SEALED[:SEGMENT] + other[SEGMENT:], SIZE)


def test_the_same_content_never_looks_the_same() -> None:
    assert len({seal(b"the same")[HEADER_SIZE:] for _ in range(20)}) == 20


def test_nothing_is_sealed_after_the_last_segment() -> None:
    sealer = Sealer(KEY, BINDING, 5)
    buffer = memoryview(bytearray(SEGMENT))
    sealer.seal(b"12345", buffer)
    with pytest.raises(Misuse):
        sealer.seal(b"", buffer)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_a_bug(length: int) -> None:
    with pytest.raises(Misuse):
        Sealer(bytes(length), BINDING, 1)
