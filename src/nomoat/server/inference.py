"""Inference, wired: which inspectors look at prompts, and what stands between them and the servers that answer."""

from collections.abc import Callable

from nomoat.content import Inspector
from nomoat.core.directory import Directory
from nomoat.resources.inference import Inference
from nomoat.resources.inference.weights import Weights
from nomoat.server.storage import Stores
from nomoat.stores.catalog import Catalog
from nomoat.stores.credentials import Credentials
from nomoat.stores.upstreams import Upstreams


def inference_of(
    stores: Stores, directory: Callable[[], Directory], catalog: Catalog, clock: Callable[[], float]
) -> Inference:
    """What may be asked of models, over what a data directory holds."""
    credentials, weights = Credentials(stores.state, stores.kek), Weights(catalog)
    return Inference(directory, Upstreams(), credentials, Inspector([]), weights, clock)
