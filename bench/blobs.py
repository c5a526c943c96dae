"""Contents at rest: decryption with integrity, and what an upload costs above its parts alone."""

import asyncio
import hashlib
import os
import secrets
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.measure import Figure
from nomoat.stores.blob import StoredBlob
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.objects import Objects

SIZE = 256 << 20
CHUNK = 64 * 1024
ROUNDS = 5


def measure() -> list[Figure]:
    """GB/s of CPU time for decryption, and the upload's CPU as a multiple of hash + encrypt + write."""
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_measure(Path(name)))


async def _measure(directory: Path) -> list[Figure]:
    objects = Objects(directory / "objects", KeyEncryptionKey.create(directory / "kek"))
    chunk = secrets.token_bytes(CHUNK)
    digest = _digest(chunk)
    stored, ratios, speeds = None, [], []
    for _ in range(ROUNDS):
        alone = _alone(directory, chunk)
        begun = time.process_time()
        stored = await _upload(objects, chunk, digest)
        ratios.append((time.process_time() - begun) / alone)
        speeds.append(_decrypt(objects, stored, digest))
        await objects.remove(stored.id)
    return [
        Figure("decrypt with integrity", sorted(speeds)[ROUNDS // 2], "GB/s of CPU", "at least", 2.5),
        Figure("upload ÷ (hash + encrypt + write)", sorted(ratios)[ROUNDS // 2], "×", "at most", 1.6),
    ]


def _digest(chunk: bytes) -> str:
    state = hashlib.sha256()
    for _ in range(SIZE // CHUNK):
        state.update(chunk)
    return state.hexdigest()


def _alone(directory: Path, chunk: bytes) -> float:
    """CPU seconds for hashing, encrypting and writing the same bytes with nothing around it."""
    path, cipher, nonce = directory / "alone", AESGCM(secrets.token_bytes(32)), bytes(12)
    begun = time.process_time()
    state = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        for _ in range(SIZE // CHUNK):
            state.update(chunk)
            file.write(cipher.encrypt(nonce, chunk, None))
        os.fsync(file.fileno())
    spent = time.process_time() - begun
    path.unlink()
    return spent


async def _upload(objects: Objects, chunk: bytes, digest: str) -> StoredBlob:
    with objects.begin("bench", digest, SIZE) as upload:
        for _ in range(SIZE // CHUNK):
            upload.write(chunk)
        return await upload.finish()


def _decrypt(objects: Objects, stored: StoredBlob, digest: str) -> float:
    begun, size = time.process_time(), 0
    with objects.open(stored, "bench", digest) as blob:
        for part in blob.segments():
            size += len(part)
    return size / (time.process_time() - begun) / 1e9
