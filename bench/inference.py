"""Asking models through the gateway, beside nginx and a bare pass-through, all over TLS to the same server of models."""

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson

from bench.bare import certificate
from bench.content import request
from bench.live import Process, connected, free_port, prepare, running, wrk
from bench.measure import Figure, percentile, require

SECONDS = 5
MANY = 100_000
PATH = "/v1/chat/completions"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "say hello"}]}
DECLARED = """
[[group]]
name = "model-users"
[[workload]]
name = "ingest"
segment = "ingestion"
groups = ["model-users"]
clearance = "confidential"
[[upstream]]
name = "models"
url = "{url}/v1"
private = true
clearance = "confidential"
[[endpoint]]
name = "m"
classification = "internal"
served = [{{ upstream = "models", model = "m" }}]
[[endpoint]]
name = "counted"
classification = "internal"
served = [{{ upstream = "models", model = "m", price = {{ input = 1.0, output = 2.0 }} }}]
[[quota]]
name = "shared"
endpoint = "counted"
requests_per_minute = 10_000_000
cost_per_day = 1_000_000.0
[[quota]]
name = "own"
for = "workload:ingest"
endpoint = "counted"
tokens_per_minute = 1_000_000_000
tokens_per_day = 1_000_000_000_000
"""
ASSISTANT = """
wrk.method = 'POST'
wrk.headers['Content-Type'] = 'application/json'
local begun = assert(io.open('{parts}')):read('*a')
local number = 0
request = function()
  number = number + 1
  return wrk.format(nil, nil, nil, begun .. number .. ' of this run, and of no other: ' .. os.time() .. '"}}]}}')
end
"""
NGINX = """
daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  upstream models {{ server {server}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
    location / {{ proxy_pass http://models; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


def measure() -> list[Figure]:
    """Ratios of CPU time, and what the gateway adds to the first byte; needs `wrk` and `nginx`."""
    require("wrk", "nginx")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        models = stack.enter_context(running("-m", "bench.models", str(free_port())))
        prepared = asyncio.run(
            prepare(directory / "gateway", free_port(), large=0, more=DECLARED.format(url=models.url))
        )
        nginx = stack.enter_context(_nginx(directory, models))
        through = stack.enter_context(running("-m", "bench.through", str(free_port()), models.url))
        gateway = stack.enter_context(running("-m", "nomoat.cli", "serve", str(prepared.directory)))
        servers = {"nginx": nginx, "bare": through, "gateway": gateway}
        for server in servers.values():
            _times(server, prepared.token, 50)
        idle = gateway.memory("VmRSS")
        scripts = {streamed: _script(directory, streamed=streamed) for streamed in (False, True)}
        return [
            *_costs(servers, prepared.token, scripts[False], "a whole answer", 10),
            *_costs(servers, prepared.token, scripts[True], "a stream of 64 events", 5),
            *_first_byte(servers, prepared.token),
            *_counted(gateway, prepared.token, directory),
            *_assistant(gateway, prepared.token, directory),
            Figure("memory of a gateway that answered 50 prompts", idle / 2**20, "MiB", "at most", 120),
            Figure("memory after the load ÷ before", gateway.memory("VmRSS") / idle, "×", "at most", 1.5),
            *_flat(gateway, prepared.token, scripts[False]),
        ]


@contextmanager
def _nginx(directory: Path, models: Process) -> Iterator[Process]:
    chain, key = certificate(directory)
    port, server = free_port(), models.url.removeprefix("http://")
    file = directory / "nginx.conf"
    file.write_text(NGINX.format(directory=directory, server=server, port=port, chain=chain, key=key))
    with subprocess.Popen(["nginx", "-p", str(directory), "-c", str(file)]) as process:
        try:
            time.sleep(0.5)
            yield Process(process.pid, f"https://127.0.0.1:{port}")
        finally:
            process.terminate()


def _script(directory: Path, *, streamed: bool, model: str = "m") -> Path:
    body = json.dumps({**ASKED, "model": model, **({"stream": True} if streamed else {})}, separators=(",", ":"))
    script = directory / f"{'stream' if streamed else 'whole'}-{model}.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = '{body}'\n")
    return script


def _costs(servers: dict[str, Process], token: str, script: Path, what: str, most: float) -> list[Figure]:
    """CPU of the gateway a request as a multiple of nginx's; medians of three interleaved rounds."""
    spent: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(3):
        for name, server in servers.items():
            load = {"connections": 32, "seconds": SECONDS}
            spent[name].append(wrk(server, server.url + PATH, f"Bearer {token}", script=script, **load)[1])
    cost = {name: statistics.median(each) for name, each in spent.items()}
    remark = f"{cost['gateway']:.0f} µs; nginx {cost['nginx']:.0f}, bare {cost['bare']:.0f}"
    return [Figure(f"CPU for {what} ÷ nginx's", cost["gateway"] / cost["nginx"], "×", "at most", most, remark)]


def _counted(gateway: Process, token: str, directory: Path) -> list[Figure]:
    """CPU for answers that two quotas with four limits count, as a multiple of those that none does."""
    figures: list[Figure] = []
    for streamed, what, most in ((False, "a whole answer", 1.5), (True, "a stream of 64 events", 1.6)):
        spent: dict[str, list[float]] = {"m": [], "counted": []}
        for _ in range(3):
            for model, each in spent.items():
                script = _script(directory, streamed=streamed, model=model)
                load = {"connections": 32, "seconds": SECONDS}
                each.append(wrk(gateway, gateway.url + PATH, f"Bearer {token}", script=script, **load)[1])
        cost = {model: statistics.median(each) for model, each in spent.items()}
        remark = f"{cost['counted']:.0f} µs; uncounted {cost['m']:.0f}"
        figures.append(
            Figure(f"CPU for {what} that quotas count", cost["counted"] / cost["m"], "×", "at most", most, remark)
        )
    return figures


def _assistant(gateway: Process, token: str, directory: Path) -> list[Figure]:
    """CPU for a coding assistant's request from its first to its last byte: each has one message that was not seen yet."""
    body = orjson.dumps({**request(), "stream": False}).decode()
    begun = body.removesuffix("]}")
    if begun == body:
        raise RuntimeError("the messages are not what the request ends with")
    parts = directory / "assistant.txt"
    parts.write_text(begun + ',{"role":"tool","tool_call_id":"c","content":"')
    script = directory / "assistant.lua"
    script.write_text(ASSISTANT.format(parts=parts))
    load = {"connections": 8, "seconds": SECONDS}
    spent = [wrk(gateway, gateway.url + PATH, f"Bearer {token}", script=script, **load)[1] for _ in range(3)]
    remark = f"{len(body):,} bytes, inspectors on, no source registered"
    cost = statistics.median(spent) / 1000
    return [Figure("a request with 24 tools whose earlier messages were seen", cost, "ms of CPU", "at most", 8, remark)]


def _flat(gateway: Process, token: str, script: Path) -> list[Figure]:
    """What 100,000 prompts more do to the memory."""
    before, answered = gateway.memory("VmRSS"), 0
    while answered < MANY:
        answered += wrk(gateway, gateway.url + PATH, f"Bearer {token}", script=script, connections=32, seconds=SECONDS)[
            0
        ]
    grown = gateway.memory("VmRSS") / before
    return [Figure(f"memory after {answered:,} prompts more ÷ before", grown, "×", "at most", 1.1)]


def _first_byte(servers: dict[str, Process], token: str) -> list[Figure]:
    times: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(5):
        for name, server in servers.items():
            times[name] += _times(server, token, 100)
    p50 = {name: percentile(each, 0.5) * 1000 for name, each in times.items()}
    remark = f"gateway {p50['gateway']:.2f} ms, nginx {p50['nginx']:.2f}"
    return [Figure("first byte above nginx's, p50", p50["gateway"] - p50["nginx"], "ms", "at most", 3, remark)]


def _times(server: Process, token: str, count: int) -> list[float]:
    """Seconds to the first byte of streams, one after the other on one connection."""
    body = json.dumps({**ASKED, "stream": True}, separators=(",", ":")).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: {server.url.removeprefix('https://')}\r\nAuthorization: Bearer {token}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    times: list[float] = []
    with connected(server.url) as channel:
        for _ in range(count):
            begun = time.perf_counter()
            channel.sendall(request)
            answer = channel.recv(65536)
            times.append(time.perf_counter() - begun)
            while not answer.endswith(b"0\r\n\r\n"):
                received = channel.recv(65536)
                if not received:
                    raise RuntimeError(f"the connection was closed after {answer[-200:]!r}")
                answer += received
    return times
