"""Inference: seeing which models one may ask, asking one, and what the gateway shows to who answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from nomoat.core.content import EMPTY, Content
from nomoat.core.inference import Call
from nomoat.core.lineage import NOTHING, Label
from nomoat.core.names import Classification
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ListEndpoints(Operation):
    """See the endpoints whose models the caller may invoke."""

    part: ClassVar[str] = "InvokeModel"


@dataclass(frozen=True, slots=True)
class InvokeModel(Operation):
    """Have a model answer.

    `body` is the request, parsed once, so that nobody reads it in two ways; `digest` the SHA-256 (hex) of its bytes as
    they came, `size` how many; `stream`: in pieces. `headers` are those of the client that the upstream may see. `content` is what was found
    in it. Each upstream that would answer is decided as `SendPrompt`, with the prompt as it is and, where something of it
    can be redacted, without that; the first one that may be sent either is asked. `carried` is the label that the caller's
    session had when that was decided, None before: what a session reads later is not in a prompt that has been sent.
    """

    part: ClassVar[str] = "SendPrompt"
    discover: ClassVar[str] = "InvokeModel"  # who may ask it knows of it

    endpoint: str
    call: Call
    digest: str
    stream: bool
    body: Mapping[str, object] = field(repr=False, compare=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    content: Content = EMPTY
    carried: Label | None = None
    size: int = 0

    @property
    def requested(self) -> str:
        return f"{self.endpoint} {self.call}"

    @property
    def asked(self) -> Mapping[str, str]:
        found = {"found": self.content.rules} if self.content.findings else {}
        carried = {"carried": str(self.carried)} if self.carried not in {None, NOTHING} else {}
        return {"call": self.call.value, "request": self.digest, **found, **carried}


@dataclass(frozen=True, slots=True)
class ReleaseAnswer(Operation):
    """Be given an answer in which something was found.

    `content` is what was found in the answer of `endpoint` up to now, `record` the one that allowed asking.
    """

    endpoint: str
    content: Content
    record: int

    @property
    def requested(self) -> str:
        return self.endpoint

    @property
    def asked(self) -> Mapping[str, str]:
        return {"found": self.content.rules, "answer_of": str(self.record)}


@dataclass(frozen=True, slots=True)
class ReadOwnQuotas(Operation):
    """See the quotas that count the caller's requests, and what is left of them."""

    part: ClassVar[str] = "InvokeModel"


@dataclass(frozen=True, slots=True)
class ReadQuotas(Operation):
    """See all quotas, of whom they count, and what is left of each."""


@dataclass(frozen=True, slots=True)
class SealCredential(Operation):
    """Give the gateway what it shows to an upstream, at the address that is declared now."""

    upstream: str
    credential: str = field(repr=False)

    @property
    def requested(self) -> str:
        return self.upstream


@dataclass(frozen=True, slots=True)
class RegisterValues(Operation):
    """Have prompts looked through for some values, in the place of those that were registered by this name.

    A prompt that has one is labelled with `label` and is `classification`.
    """

    name: str
    label: str
    classification: Classification
    values: Sequence[str] = field(repr=False, compare=False)

    @property
    def requested(self) -> str:
        return self.name

    @property
    def asked(self) -> Mapping[str, str]:
        return {"label": self.label, "classification": self.classification.name.lower()}


@dataclass(frozen=True, slots=True)
class PlantCanary(Operation):
    """Have a canary made, and prompts looked through for it."""

    name: str

    @property
    def requested(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListRegistrations(Operation):
    """See what prompts are looked through for, without the values."""


@dataclass(frozen=True, slots=True)
class RemoveRegistration(Operation):
    """Have prompts looked through no more for what is registered by this name."""

    name: str

    @property
    def requested(self) -> str:
        return self.name
