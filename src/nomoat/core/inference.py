"""Inference as it is declared: which servers answer prompts, what may be sent there, and under which names.

Rules: an endpoint is what a client calls a model; an upstream is a server that answers, somewhere. What a client may ask
for is said of endpoints, what may leave for where is said of upstreams.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from nomoat.core.names import Classification, RepositoryName

MILLION: Final = 1_000_000
MOST: Final = 1 << 52  # of tokens and costs; what is more counts as that


FIRST_BYTE_S: Final = 600
TIMEOUT_S: Final = 3600


class Dialect(StrEnum):
    """Whose protocol an upstream speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"

    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class Upstream:
    """A declared server. `url` is what comes before `/chat/completions` or `/messages`, without a slash at its end.

    `clearance` is how confidential what is sent there may be; `external` whether it is somebody else's; `region` where
    it is, '' where nobody said. `private` is whether its address may be one of a private network or of this machine.
    `workload` is who runs it, and so who says which weights are loaded there; '' where that is no declared workload.
    `retention` is whether it may keep what it is sent. `first_byte_s` is how long it may take to begin an answer, `timeout_s`
    to end it, in seconds from the request on.
    """

    name: str
    url: str
    dialect: Dialect
    clearance: Classification
    external: bool
    region: str
    private: bool
    workload: str = ""
    retention: bool = False
    first_byte_s: int = FIRST_BYTE_S
    timeout_s: int = TIMEOUT_S


class Health(NamedTuple):
    """What requests to an upstream showed of it; times are seconds ago, None for never.

    `failures` in a row it could not be reached or was down; it is not asked for `left_alone` more seconds. `why` is the last
    thing that went wrong, '' for nothing. `rejects`: it did not take the gateway's credential when it was asked last.
    """

    failures: int = 0
    left_alone: float = 0.0
    answered: float | None = None
    failed: float | None = None
    why: str = ""
    rejects: bool = False

    @property
    def state(self) -> str:
        """In a word: `unknown` before it was asked, `answering`, `rejecting` (the gateway's credential), `failing`, `left alone`."""
        if self.failures:
            return "left alone" if self.left_alone else "failing"
        if self.rejects:
            return "rejecting"
        return "unknown" if self.answered is None else "answering"


class Price(NamedTuple):
    """What a million tokens cost, in millionths: those that are read, those that are written."""

    input: int
    output: int

    def of(self, read: int, written: int) -> int:
        """What so many tokens cost, in millionths, rounded up."""
        return min(MOST, -(-(read * self.input + written * self.output) // MILLION))


FREE: Final = Price(0, 0)


@dataclass(frozen=True, slots=True)
class Served:
    """What answers for an endpoint: an upstream, what the model is called there, and what it costs, if anybody said.

    `weights` is the model of this gateway whose weights it has; None: they came from elsewhere.
    """

    upstream: str
    model: str
    price: Price | None = None
    weights: RepositoryName | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A declared name of a model, and what answers for it, the preferred one first.

    `classification` and `labels` are those of what the model may have memorised, and so of what it is told and tells.
    `owner_group` or `owner_person` is set, or neither. `kept`: what is asked and answered is kept.
    """

    name: str
    classification: Classification
    labels: frozenset[str]
    served: tuple[Served, ...]
    owner_group: str = ""
    owner_person: str = ""
    kept: bool = False


class Call(StrEnum):
    """What is asked of a model, as its path has it after the version."""

    CHAT = "chat/completions"
    COMPLETION = "completions"
    RESPONSE = "responses"
    EMBEDDING = "embeddings"
    MESSAGE = "messages"
    COUNT = "messages/count_tokens"

    @property
    def dialect(self) -> Dialect:
        """Whose protocol it belongs to."""
        return Dialect.ANTHROPIC if self in _ANTHROPIC else Dialect.OPENAI


_ANTHROPIC: Final = frozenset({Call.MESSAGE, Call.COUNT})
