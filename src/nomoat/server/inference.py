"""Inference, wired: which inspectors look at prompts, and what stands between them and the servers that answer."""

from collections.abc import Callable

from nomoat.content import Inspector
from nomoat.core.directory import Directory
from nomoat.resources.inference import Inference
from nomoat.server.storage import Stores
from nomoat.stores.credentials import Credentials
from nomoat.stores.upstreams import Upstreams


def inference_of(stores: Stores, directory: Callable[[], Directory], clock: Callable[[], float]) -> Inference:
    """What may be asked of models, over what a data directory holds."""
    return Inference(
        directory, Upstreams(), Credentials(stores.state, stores.kek), Inspector([]), stores.contents, clock
    )
