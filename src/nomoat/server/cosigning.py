"""Asking the witnesses: every second the newest checkpoint, over plain HTTP or HTTPS.

Rules: what is sent is public and what comes back is signed; no more of an answer is read than a cosignature
can need. A witness that falls silent is said and recorded once, and once that it is back; one that knows
another history of this log is said and recorded each time that it is asked, at most once a minute in the end.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import httpx2

from nomoat.audit.checkpoint import VerifierKey
from nomoat.audit.cosigning import Post
from nomoat.audit.witness import WitnessAnswer
from nomoat.core.errors import Corrupt, NoMoatError, Unavailable
from nomoat.server.assembly import Gateway
from nomoat.server.configuration import WitnessAddress
from nomoat.server.records import system_record

INTERVAL_S: Final = 1.0
TIMEOUT_S: Final = 5.0
LONGEST_ANSWER: Final = 64 * 1024  # bytes

_log = logging.getLogger("nomoat")


async def keep_witnessed(gateway: Gateway) -> None:
    """Have the checkpoints of `gateway`'s log cosigned until cancelled; does nothing without witnesses."""
    witnesses = gateway.configuration.all_witnesses
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        posts = {witness.verifier_key: post_to(client, witness) for witness in witnesses}
        await gateway.cosigner.run(posts, INTERVAL_S, _Telling(gateway, witnesses).tell)


class _Telling:
    """What the operator and the log hear of the witnesses."""

    def __init__(self, gateway: Gateway, witnesses: Sequence[WitnessAddress]) -> None:
        self._gateway = gateway
        self._silent = {witness.verifier_key: False for witness in witnesses}

    def tell(self, key: VerifierKey, error: NoMoatError | None) -> None:
        """Tell of a failure, or with None that it is over."""
        if isinstance(error, Corrupt):
            _log.error("the witness %s does not confirm this log: %s", key.name, error)
            self._record("WitnessDisagrees", key, str(error))
        elif error is None:
            _log.warning("the witness %s cosigns again", key.name)
            self._record("WitnessBack", key, "")
        elif not self._silent[key]:
            _log.warning("the witness %s does not cosign at the moment: %s", key.name, error)
            self._record("WitnessSilent", key, str(error))
        self._silent[key] = error is not None

    def _record(self, what: str, key: VerifierKey, why: str) -> None:
        self._gateway.log.post(system_record(what, {"witness": key.name, **({"why": why} if why else {})}))


def post_to(client: httpx2.AsyncClient, witness: WitnessAddress) -> Post:
    """Return what sends a request to a witness; it raises `Unavailable` when no short answer comes soon."""
    url = witness.url.rstrip("/") + "/add-checkpoint"

    async def post(body: bytes) -> WitnessAnswer:
        try:
            # The client's own timeout starts anew with every byte that a slow witness sends.
            async with asyncio.timeout(TIMEOUT_S), client.stream("POST", url, content=body) as answer:
                received = bytearray()
                async for part in answer.aiter_bytes():
                    received += part
                    if len(received) > LONGEST_ANSWER:
                        raise Unavailable("witness", "its answer does not end")
                return WitnessAnswer(answer.status_code, bytes(received))
        except (httpx2.HTTPError, TimeoutError) as error:
            raise Unavailable("witness", f"it cannot be reached ({type(error).__name__})") from None

    return post
