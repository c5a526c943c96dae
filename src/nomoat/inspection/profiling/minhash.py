"""MinHash: a signature of a row by which rows that are nearly the same are found without comparing each with each.

Source: Broder, "On the resemblance and containment of documents" (1997): the share of hashes whose minimum two sets of
shingles have in common estimates how much the sets overlap. One hash for all (Li, Owen, Zhang, "One permutation
hashing", 2012), empty bins filled from the next full one (Shrivastava, Li, 2014). Bands of bins, so that rows that
overlap by four fifths nearly always share a band, and rows that overlap by half nearly never.

Rules: the hash is keyed, so that who writes rows cannot work out which words to add to leave their neighbours.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final, cast

from nomoat.core.profile import BAND_SIZE, BANDS

_IN_BAND: Final = 8
_BINS: Final = BANDS * _IN_BAND
_SHINGLE: Final = 5  # characters
_SHORT: Final = 24  # characters of a text that counts as one value
_LONGEST: Final = 4_000  # characters of one text, and items of one list, that are looked at
_MOST: Final = 6_000  # shingles of a row


def bands_of(row: Mapping[str, object], key: bytes) -> tuple[bytes, ...]:
    """The bands of a row's signature."""
    shingles = list(dict.fromkeys(_row_shingles(row)))[:_MOST]
    bins: list[int | None] = [None] * _BINS
    for shingle in shingles:
        value = int.from_bytes(blake2b(shingle.encode("utf-8", "replace"), key=key, digest_size=8).digest(), "big")
        place, rest = value % _BINS, value // _BINS
        held = bins[place]
        if held is None or rest < held:
            bins[place] = rest
    filled = _filled(bins)
    return tuple(
        blake2b(repr(filled[at : at + _IN_BAND]).encode(), key=key, digest_size=BAND_SIZE).digest()
        for at in range(0, _BINS, _IN_BAND)
    )


def _filled(bins: list[int | None]) -> list[tuple[int, int]]:
    """Every bin's minimum; an empty one has that of the next full one, and how far away it is."""
    filled: list[tuple[int, int]] = [(0, 0)] * len(bins)
    found, distance = 0, 0
    for place in range(2 * len(bins) - 1, -1, -1):
        value = bins[place % len(bins)]
        found, distance = (found, distance + 1) if value is None else (value, 0)
        filled[place % len(bins)] = found, distance
    return filled


def _row_shingles(row: Mapping[str, object]) -> Iterable[str]:
    for name, value in row.items():
        yield from _shingles(name, value)


def _shingles(name: str, value: object) -> Iterable[str]:
    if isinstance(value, str):
        text = " ".join(value[:_LONGEST].casefold().split())
        if len(text) > _SHORT:
            for at in range(len(text) - _SHINGLE + 1):
                yield text[at : at + _SHINGLE]
        else:
            yield f"{name}={text}"
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(cast("list[object]", value)[:_LONGEST]):
            yield from _shingles(f"{name}.{number}", item)
    elif isinstance(value, dict):
        for part, item in cast("dict[str, object]", value).items():
            yield from _shingles(f"{name}.{part}", item)
    elif isinstance(value, (bytes, bytearray)):
        for at in range(0, min(len(value), 16 * _LONGEST), 16):
            yield f"{name}.{at}={value[at : at + 16].hex()}"
    else:
        yield f"{name}={value}"
