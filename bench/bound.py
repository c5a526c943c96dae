"""What bound credentials cost: a request with a DPoP proof beside a bearer's, and what `nomoat proxy` adds."""

import asyncio
import re
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.live import Process, free_port, prepare, round_trips, running, wrk
from bench.measure import Figure, percentile, require
from nomoat.client.entrance import STANDING
from nomoat.client.login import log_in
from nomoat.client.profiles import Profile
from nomoat.client.proofs import ProofKey
from nomoat.client.session import Session

SMALL = "/datasets/acme/bench/resolve/main/metrics.json"
END = b'"accuracy"'  # in the small file
EACH = 300
ROUNDS = 5
SECONDS = 4


def measure() -> list[Figure]:
    """The cost of a proof at the gateway, and of the proxy in time and CPU; needs `wrk`."""
    require("wrk")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        home = Path(name) / "home"
        prepared = asyncio.run(prepare(Path(name) / "gateway", free_port(), large=0))
        gateway = stack.enter_context(running("-m", "nomoat.cli", "serve", str(prepared.directory)))
        profile = Profile.named("", {"NOMOAT_HOME": str(home)})
        log_in(profile, gateway.url, prepared.code)
        proxy = stack.enter_context(running("-m", "nomoat.cli", "proxy", NOMOAT_HOME=str(home)))
        session = stack.enter_context(Session(profile, time.time))
        lent = f"Bearer {profile.read(f'{STANDING}/token').decode()}"
        return [*_proof(gateway, proxy, session, lent), _cpu(proxy, lent)]


def _proof(gateway: Process, proxy: Process, session: Session, lent: str) -> list[Figure]:
    """Rounds of each kind by turns, so that whatever else the machine does falls on all of them."""
    key = ProofKey()
    bearer, bound = session.token().access_token, session.token(key=key).access_token
    bare: list[float] = []
    proven: list[float] = []
    through: list[float] = []
    for _ in range(ROUNDS):
        proofs = [key.prove("GET", gateway.url + SMALL, bound) for _ in range(EACH)]
        for times, server, requests in (
            (bare, gateway, [_request(gateway, f"Authorization: Bearer {bearer}")] * EACH),
            (
                proven,
                gateway,
                [_request(gateway, f"Authorization: DPoP {bound}", f"DPoP: {proof}") for proof in proofs],
            ),
            (through, proxy, [_request(proxy, f"Authorization: {lent}")] * EACH),
        ):
            times.append(percentile(round_trips(server.url, requests, END)[10:], 0.5) * 1e6)
    dpop = statistics.median(with_proof - without for with_proof, without in zip(proven, bare, strict=True))
    added = statistics.median(with_proxy - without for with_proxy, without in zip(through, bare, strict=True))
    remark = f"a bearer's takes {statistics.median(bare):.0f} µs"
    return [
        Figure("a DPoP request's p50 above a bearer's", dpop, "µs", "at most", 400, remark),
        Figure("a request's p50 through the proxy above a bearer's", added / 1000, "ms", "at most", 1, "its proof too"),
    ]


def _request(server: Process, *headers: str) -> bytes:
    host = re.sub("https?://", "", server.url)
    return "\r\n".join((f"GET {SMALL} HTTP/1.1", f"Host: {host}", *headers, "", "")).encode()


def _cpu(proxy: Process, lent: str) -> Figure:
    costs = [wrk(proxy, proxy.url + SMALL, lent, connections=32, seconds=SECONDS)[1] for _ in range(3)]
    return Figure("the proxy's CPU a request, 32 in flight", statistics.median(costs), "µs", "at most", 250)
