"""Inference, wired: which inspectors look at prompts, and what stands between them and the servers that answer."""

import hmac
from collections.abc import Callable

from nomoat.content import Inspector
from nomoat.content.sources import SourceDetector
from nomoat.core.directory import Directory
from nomoat.resources.inference import Inference
from nomoat.resources.inference.sources import Sources
from nomoat.server.storage import Stores
from nomoat.stores.credentials import Credentials
from nomoat.stores.sources import StoredSources
from nomoat.stores.upstreams import Upstreams


def inference_of(stores: Stores, directory: Callable[[], Directory], clock: Callable[[], float]) -> Inference:
    """What may be asked of models, over what a data directory holds."""
    # Of a key that outlives every rotation, and that hashes of contents are made with as well.
    key = hmac.digest(stores.kek.derive("profiles"), b"fingerprints of sources", "sha256")
    sources = Sources(StoredSources(stores.state), key, directory, clock)
    detector = SourceDetector(lambda: sources.current)
    inspector = Inspector([detector], detector.judge, across=detector)
    return Inference(directory, Upstreams(), Credentials(stores.state, stores.kek), inspector, sources, clock)
