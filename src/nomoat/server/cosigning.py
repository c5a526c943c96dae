"""Asking the witness: every second the newest checkpoint, over plain HTTP or HTTPS.

Rules: what is sent is public and what comes back is signed. A witness that cannot be reached is said
once, not every second; one that knows another history of this log is said every time and recorded.
"""

import logging
from pathlib import Path
from typing import Final

import httpx2

from nomoat.audit.checkpoint import WITNESS_KEY, parse_verifier_key
from nomoat.audit.cosigning import Cosigner
from nomoat.audit.witness import WitnessAnswer
from nomoat.core.errors import Corrupt, NoMoatError, Unavailable
from nomoat.server.assembly import Gateway, system_record

INTERVAL_S: Final = 1.0
TIMEOUT_S: Final = 5.0
LONGEST_ANSWER: Final = 64 * 1024  # bytes

_log = logging.getLogger("nomoat")


async def keep_witnessed(gateway: Gateway, directory: Path) -> None:
    """Have the checkpoints of `gateway`'s log cosigned until cancelled; does nothing without a witness."""
    configuration = gateway.configuration
    if not configuration.witness:
        return
    key = parse_verifier_key(configuration.witness_key, WITNESS_KEY)
    silent: list[bool] = [False]

    def failed(error: NoMoatError) -> None:
        if isinstance(error, Corrupt):
            _log.error("the witness %s does not confirm this log: %s", key.name, error)
            gateway.log.post(system_record("WitnessDisagrees", {"witness": key.name, "why": str(error)}))
        elif not silent[0]:
            _log.warning("checkpoints are not witnessed at the moment: %s", error)
        silent[0] = True

    async with httpx2.AsyncClient(base_url=configuration.witness, timeout=TIMEOUT_S, trust_env=False) as client:

        async def post(body: bytes) -> WitnessAnswer:
            try:
                answer = await client.post("/add-checkpoint", content=body)
            except httpx2.HTTPError as error:
                raise Unavailable("witness", f"it cannot be reached ({type(error).__name__})") from None
            silent[0] = False
            return WitnessAnswer(answer.status_code, answer.content[:LONGEST_ANSWER])

        await Cosigner(gateway.log, directory / "log", key, post).run(INTERVAL_S, failed)
