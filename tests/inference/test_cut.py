"""Two hundred streams end when their session does."""

import asyncio
import json
import ssl
import sys
import time

import pytest

from nomoat.client.transport import pinned_context
from tests.inference.conftest import Floor

STREAMS = 200
SOON_S = 5.0  # a slow machine's; `make bench` states the figure
BODY = json.dumps({"model": "silent-mid", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()


async def stream(
    host: str, port: int, token: str, context: ssl.SSLContext, begun: asyncio.Semaphore
) -> tuple[float, bytes]:
    """When a stream's last byte came, and all of it; `begun` is released with its first."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    said = await reader.readuntil(b"\r\n\r\n")
    begun.release()
    while not said.endswith(b"0\r\n\r\n") and (part := await reader.read(65536)):
        said += part
    writer.close()
    return time.monotonic(), said


@pytest.mark.parametrize("how", ["session", "person"])
def test_200_live_streams_are_cut_on_revocation(floor: Floor, how: str) -> None:
    who = f"cut-by-{how}"
    floor.live.declare(f'[[person]]\nname = "{who}"\ngroups = ["model-users"]\nclearance = "internal"\n')
    profile = floor.live.join(f"person:{who}")
    host, port = floor.live.url.removeprefix("https://").split(":")
    context = pinned_context(profile.read("ca.pem").decode())
    token = floor.token(who)

    def revoke() -> None:
        with floor.live.admin as session:
            session.gateway.revoke(how, who if how == "person" else profile.identity().session)

    async def run() -> list[tuple[float, bytes]]:
        begun = asyncio.Semaphore(0)
        streams = [asyncio.create_task(stream(host, int(port), token, context, begun)) for _ in range(STREAMS)]
        for _ in range(STREAMS):
            await begun.acquire()
        at = time.monotonic()
        await asyncio.to_thread(revoke)
        return [(ended - at, said) for ended, said in await asyncio.gather(*streams)]

    ended = asyncio.run(asyncio.wait_for(run(), 120))
    delays = sorted(delay for delay, _ in ended)
    sys.stdout.write(
        f"cut after p50 {delays[100] * 1e3:.0f}, p90 {delays[180] * 1e3:.0f}, p99 {delays[198] * 1e3:.0f} ms\n"
    )
    assert delays[-1] < SOON_S
    assert all(b"200 OK" in said and b"revoked" in said for _, said in ended), "each hears why"
    records = floor.live.records(f"what InvokeModel by person:{who}")
    outcomes = [record["outcome"]["outcome"] for record in records]
    assert outcomes.count("cut") == STREAMS
    assert set(outcomes) <= {"cut", "overtaken"}, (
        "the first ones made the label of their session grow, and were decided anew"
    )
