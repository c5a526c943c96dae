"""Forwarding: every configured receiver gets the log's records, as long as the gateway runs.

Rules: who is sent the log, and where it began, is on the record itself. A receiver that fails is said
once, and that it works again; each has its own cursor, so none waits for another.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2

from nomoat.audit.delivery import Cursor, Delivery, Pace, Receiver, cursor_path
from nomoat.core.errors import NoMoatError, Unavailable
from nomoat.server.assembly import Gateway
from nomoat.server.forwards import Forward, read_token
from nomoat.server.receivers import TIMEOUT_S, OtlpReceiver, SplunkReceiver
from nomoat.server.records import system_record
from nomoat.server.syslog import SyslogReceiver

_log = logging.getLogger("nomoat")

RECONFIGURED_S: Final = 30.0
"""After this, a receiver whose token or CA could not be read is tried again."""


async def keep_forwarded(gateway: Gateway, directory: Path, pace: Pace | None = None) -> None:
    """Deliver the log to every receiver of the configuration until cancelled."""
    async with asyncio.TaskGroup() as group:
        for forward in gateway.configuration.forwards:
            group.create_task(_keep(gateway, directory, forward, pace or Pace()))


async def _keep(gateway: Gateway, directory: Path, forward: Forward, pace: Pace) -> None:
    silent: list[bool] = [False]

    def failed(reason: str) -> None:
        if not silent[0]:
            _log.warning("the log is not forwarded to %s at the moment: %s", forward.name, reason)
        silent[0] = True

    def refused(reason: str) -> None:
        _log.error("%s refused for good what it was sent, %s", forward.name, reason)
        with contextlib.suppress(NoMoatError):
            gateway.log.post(system_record("ForwardRefused", {"name": forward.name, "why": reason}))

    gateway.log.post(
        system_record(
            "ForwardLog", {"name": forward.name, "form": forward.kind, "to": forward.place, "query": forward.query}
        )
    )
    cursor = Cursor(cursor_path(directory, forward.name), gateway.log.verifier_key.name)
    while True:
        try:
            async with _receiver(forward, gateway.log.verifier_key.name) as receiver:
                query = gateway.log.query(forward.query)
                await Delivery(gateway.log, query, receiver, cursor, pace, failed, refused).run()
        except NoMoatError as error:  # its token or CA: somebody may put it right while we run
            failed(str(error))
        except Exception:  # noqa: BLE001 - one receiver's trouble must not end the others'
            _log.exception("forwarding the log to %s ended by a bug of ours", forward.name)
        await asyncio.sleep(RECONFIGURED_S)


@asynccontextmanager
async def _receiver(forward: Forward, origin: str) -> AsyncGenerator[Receiver]:
    token = await asyncio.to_thread(read_token, forward)
    context = _trust(forward) if forward.secure else None
    if forward.kind == "syslog":
        yield SyslogReceiver((forward.host, forward.port), origin, context)
        return
    async with httpx2.AsyncClient(
        base_url=forward.url.rstrip("/"),
        timeout=TIMEOUT_S,
        trust_env=False,
        follow_redirects=False,
        verify=context or True,
    ) as client:
        if forward.kind == "otlp":
            yield OtlpReceiver(client, origin, token)
        else:
            yield SplunkReceiver(client, origin, token, acknowledge=forward.acknowledge)


def _trust(forward: Forward) -> ssl.SSLContext:
    """Return what verifies the receiver: its own CA, or the system's. Raises `Unavailable`."""
    try:
        context = ssl.create_default_context(cafile=str(forward.ca) if forward.ca else None)
    except (OSError, ssl.SSLError) as error:
        raise Unavailable("forward", f"the CA of {forward.name} cannot be read ({type(error).__name__})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
