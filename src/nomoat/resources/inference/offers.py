"""What an endpoint's upstreams could be sent, and how confidential its answers are; kept for directory and weights as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from nomoat.core.directory import Directory
from nomoat.core.inference import Dialect, Endpoint, Served, Upstream
from nomoat.core.lineage import Label
from nomoat.core.operation import Target
from nomoat.resources.inference.targets import endpoint_target, upstream_target
from nomoat.resources.inference.weights import LoadedWeights, Weights

MOST: Final = 1024  # offers that are kept


class Offer(NamedTuple):
    """An upstream that could be sent a prompt, as it is or `redacted`; `weights` are those of here that it has loaded."""

    served: Served
    upstream: Upstream
    redacted: bool
    weights: LoadedWeights | None


@dataclass(frozen=True, slots=True)
class EndpointPlace:
    """An endpoint and what would answer for it, in its order; each is a part of the decision.

    `memorised` is the label of what its model may have memorised. `silent`: one of its servers has not said which weights it
    loaded.
    """

    endpoint: Endpoint
    memorised: Label
    served: Sequence[Offer]
    silent: bool = False


@final
class Offers:
    """What there is to be offered."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._seen: tuple[object, ...] = ()  # what is kept below is as of this
        self._labels: dict[str, Label] = {}
        self._kept: dict[tuple[str, Dialect, tuple[Label, ...]], tuple[EndpointPlace, tuple[Target, ...]]] = {}

    def memorised(self, directory: Directory, endpoint: Endpoint) -> Label:
        """What a model may have memorised, and so tell: as it is declared, and as the weights are that are from here."""
        seen = (directory.generation, *self._weights.generation)
        if seen != self._seen:
            self._seen = seen
            self._kept.clear()
            self._labels.clear()
        own = self._labels.get(endpoint.name)
        if own is None:
            loaded = [weights.label for each in endpoint.served if (weights := self._weights.loaded(directory, each))]
            own = self._labels[endpoint.name] = Label.of([Label(endpoint.classification, endpoint.labels), *loaded])
        return own

    def targets(self, directory: Directory, endpoint: Endpoint) -> tuple[Target, ...]:
        """An endpoint; with labels that it has of its weights alone, also as it is declared: no policy permits more for those."""
        own = self.memorised(directory, endpoint)
        target = endpoint_target(endpoint, own)
        return (target,) if own.labels == endpoint.labels else (target, target._replace(labels=endpoint.labels))

    def of(
        self, directory: Directory, endpoint: Endpoint, speaks: Dialect, said: tuple[Label, ...]
    ) -> tuple[EndpointPlace, tuple[Target, ...]]:
        """What may be made of an endpoint's upstreams by a prompt of this label, and of the second one when it is redacted."""
        memorised = self.memorised(directory, endpoint)
        if len(self._kept) >= MOST:
            self._kept.clear()
        key = (endpoint.name, speaks, said)
        found = self._kept.get(key)
        if found is None:
            offers: list[Offer] = []
            silent = False
            for each in endpoint.served:
                upstream, weights = directory.upstreams[each.upstream], self._weights.loaded(directory, each)
                if upstream.dialect is not speaks:
                    continue
                if each.weights is not None and weights is None:
                    silent = True
                    continue
                offers += [Offer(each, upstream, bool(redacted), weights) for redacted in range(len(said))]
            parts = tuple(
                upstream_target(
                    offer.upstream,
                    said[offer.redacted],
                    offer.weights.stage if offer.weights else None,
                    redacted=offer.redacted,
                )
                for offer in offers
            )
            found = self._kept[key] = EndpointPlace(endpoint, memorised, offers, silent), parts
        return found
