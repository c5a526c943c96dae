"""Inference: seeing which models one may ask, asking one, and what the gateway shows to who answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from nomoat.core.content import EMPTY, Content
from nomoat.core.inference import Call
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ListEndpoints(Operation):
    """See the endpoints whose models the caller may invoke."""

    part: ClassVar[str] = "InvokeModel"


@dataclass(frozen=True, slots=True)
class InvokeModel(Operation):
    """Have a model answer.

    `body` is the request, parsed once, so that nobody reads it in two ways; `digest` the SHA-256 (hex) of its bytes as
    they came; `stream`: in pieces. `headers` are those of the client that the upstream may see. `content` is what was found
    in it. Each upstream that would answer is decided as `SendPrompt`, with the prompt as it is and, where something of it
    can be redacted, without that; the first one that may be sent either is asked.
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

    @property
    def requested(self) -> str:
        return f"{self.endpoint} {self.call}"

    @property
    def asked(self) -> Mapping[str, str]:
        found = {"found": self.content.rules} if self.content.findings else {}
        return {"call": self.call.value, "request": self.digest, **found}


@dataclass(frozen=True, slots=True)
class SealCredential(Operation):
    """Give the gateway what it shows to an upstream, at the address that is declared now."""

    upstream: str
    credential: str = field(repr=False)

    @property
    def requested(self) -> str:
        return self.upstream
