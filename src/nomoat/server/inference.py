"""Inference, wired: which inspectors look at prompts, and what stands between them and the servers that answer."""

import hmac
from collections.abc import Callable

from nomoat.content import Inspector
from nomoat.content.detectors import PatternDetector
from nomoat.content.sources import SourceDetector
from nomoat.core.directory import Directory
from nomoat.resources.inference import Inference
from nomoat.resources.inference.registering import Registering
from nomoat.resources.inference.sources import Sources
from nomoat.resources.inference.weights import Weights
from nomoat.server.storage import Stores
from nomoat.stores.catalog import Catalog
from nomoat.stores.credentials import Credentials
from nomoat.stores.quotas import Quotas
from nomoat.stores.registrations import Registrations
from nomoat.stores.sources import StoredSources
from nomoat.stores.upstreams import Upstreams


def inference_of(
    stores: Stores, directory: Callable[[], Directory], catalog: Catalog, clock: Callable[[], float]
) -> Inference:
    """What may be asked of models, over what a data directory holds."""
    # Of a key that outlives every rotation, and that hashes of contents are made with as well.
    key = stores.kek.derive("profiles")
    values, fingerprints = (hmac.digest(key, of, "sha256") for of in (b"registered values", b"fingerprints of sources"))
    registering = Registering(Registrations(stores.state), values, directory, clock)
    sources = Sources(StoredSources(stores.state), fingerprints, directory, clock)
    copies = SourceDetector(lambda: sources.current)
    inspector = Inspector([PatternDetector(lambda: registering.current), copies], copies.judge, across=copies)
    quotas = Quotas(stores.state, clock)
    credentials = Credentials(stores.state, stores.kek)
    return Inference(
        directory,
        Upstreams(),
        credentials,
        inspector,
        registering,
        sources,
        catalog.lineage.sessions,
        quotas,
        Weights(catalog),
        stores.contents,
        clock,
    )
