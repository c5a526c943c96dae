"""Receivers of the log's events over HTTP: OTLP/HTTP in JSON, and Splunk's HTTP Event Collector.

Rules: what a receiver answers is read up to a limit and believed for its status alone, or for what its
protocol says of acknowledging. Redirects are not followed and the environment names no proxy: the
token goes to the configured host and nowhere else. No reason quotes an answer.
"""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Final, cast, final

import httpx2

from nomoat.audit.delivery import Undelivered
from nomoat.audit.events import ReadableRecord
from nomoat.audit.payloads import hec, otlp

TIMEOUT_S: Final = 30.0
LONGEST_ANSWER: Final = 64 * 1024  # bytes
ACKNOWLEDGED_WITHIN_S: Final = 120.0
ACKNOWLEDGED_EVERY_S: Final = 1.0

_ADVICE: Final[Mapping[int, str]] = {
    400: "it does not take what it was sent: look at its own log",
    401: "it does not accept the token",
    403: "it does not accept the token",
    404: "there is nothing at this address: correct the url",
}


async def _post(
    client: httpx2.AsyncClient, path: str, content: bytes, headers: Mapping[str, str]
) -> Mapping[str, object]:
    """Post and return the JSON object that came back with 200 (empty if it was none). Raises `Undelivered`."""
    received = bytearray()
    try:
        async with (
            asyncio.timeout(2 * TIMEOUT_S),
            client.stream("POST", path, content=content, headers=dict(headers)) as answer,
        ):
            async for part in answer.aiter_bytes():
                received += part
                if len(received) > LONGEST_ANSWER:
                    raise Undelivered("its answer does not end")
            status, wait = answer.status_code, answer.headers.get("retry-after", "")
    except TimeoutError:
        raise Undelivered("it did not answer in time") from None
    except httpx2.HTTPError as error:
        raise Undelivered(f"it cannot be reached, or went away ({type(error).__name__})") from None
    if status != 200:
        advice = f" ({_ADVICE[status]})" if status in _ADVICE else ""
        seconds = float(wait) if wait.isdecimal() and len(wait) < 6 else 0.0
        raise Undelivered(f"it answered {status}{advice}", wait=seconds, too_large=status == 413)
    try:
        found: object = json.loads(received)
    except ValueError:
        return {}
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}


@final
class OtlpReceiver:
    """An OpenTelemetry collector, at `client`'s base address; `token` is a bearer token, '' for none."""

    def __init__(self, client: httpx2.AsyncClient, origin: str, token: str) -> None:
        self._client = client
        self._origin = origin
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"

    def encode(self, events: Sequence[ReadableRecord]) -> bytes:
        """Return the request of these events."""
        return otlp(events, self._origin)

    async def deliver(self, payload: bytes) -> str:
        """Post it. A partial success is one: the protocol forbids to send the rest again (OTLP, Partial Success)."""
        answer = await _post(self._client, "/v1/logs", payload, self._headers)
        partial = answer.get("partialSuccess")
        rejected = cast("dict[str, object]", partial).get("rejectedLogRecords") if isinstance(partial, dict) else None
        return f"it rejected {rejected} of them for good" if rejected not in {None, 0, "0"} else ""


@final
class SplunkReceiver:
    """Splunk's HTTP Event Collector. With `acknowledge`, a batch is delivered once its indexers have it.

    `within` and `every` are how long, and how often, it is asked (seconds).
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        origin: str,
        token: str,
        *,
        acknowledge: bool,
        within: float = ACKNOWLEDGED_WITHIN_S,
        every: float = ACKNOWLEDGED_EVERY_S,
    ) -> None:
        self._client = client
        self._origin = origin
        self._acknowledge = acknowledge
        self._within = within
        self._every = every
        self._channel = str(uuid.uuid4())
        self._headers = {
            "authorization": f"Splunk {token}",
            "content-type": "application/json",
            "x-splunk-request-channel": self._channel,
        }

    def encode(self, events: Sequence[ReadableRecord]) -> bytes:
        """Return the request of these events."""
        return hec(events, self._origin)

    async def deliver(self, payload: bytes) -> str:
        """Post it, and wait for the acknowledgement: taking it is not indexing it."""
        answer = await _post(self._client, "/services/collector/event", payload, self._headers)
        if not self._acknowledge:
            return ""
        number = answer.get("ackId")
        if type(number) is not int:
            raise Undelivered("it acknowledges nothing: enable indexer acknowledgement for the token")
        question = json.dumps({"acks": [number]}).encode()
        path = f"/services/collector/ack?channel={self._channel}"
        for _ in range(max(1, round(self._within / self._every))):
            acks = (await _post(self._client, path, question, self._headers)).get("acks")
            if isinstance(acks, dict) and cast("dict[str, object]", acks).get(str(number)) is True:
                return ""
            await asyncio.sleep(self._every)
        raise Undelivered("it took the batch, but did not acknowledge it in time")
