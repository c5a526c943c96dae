"""`kill -9` of the gateway at random moments under 32 concurrent clients, twenty times over.

Every access that a client saw succeed is in the log, the log verifies, a restart needs no hand, and
every opening has an outcome in the end.
"""

import asyncio
import random
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from nomoat.audit.checkpoint import parse_verifier_key
from nomoat.audit.verification import verify_directory
from nomoat.core.record import Json
from nomoat.server.assembly import open_gateway
from nomoat.server.configuration import load_configuration
from tests.hub.live import OUTSIDE, SERVE, Live, gateway

CLIENTS = 32
ROUNDS = 20


async def read_until_killed(live: Live, context: ssl.SSLContext, number: int, seen: Counter[int]) -> None:
    """Read one's own file again and again; count each answer that came whole."""
    host, _, port = live.url.removeprefix("https://").partition(":")
    token = live.profiles["ingest"].read("hub/token").decode()
    request = (
        f"GET /datasets/acme/digits/resolve/main/f{number}.txt HTTP/1.1\r\n"
        f"Host: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    except OSError:
        return
    try:
        while True:
            writer.write(request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            assert head.startswith("HTTP/1.1 200"), head
            length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length"))
            assert await reader.readexactly(int(length.split()[1])) == f"content {number}".encode()
            seen[number] += 1
    except (OSError, EOFError):
        return
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def start(live: Live) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(live.directory)], stdout=subprocess.PIPE, text=True, cwd=OUTSIDE
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith("https://"), "a restart needed a hand"
    return process


async def one_round(live: Live, seconds: float, seen: Counter[int]) -> None:
    process = await asyncio.to_thread(start, live)
    context = ssl.create_default_context(cadata=live.profiles["ingest"].read("ca.pem").decode())
    clients = [asyncio.create_task(read_until_killed(live, context, number, seen)) for number in range(CLIENTS)]
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    await asyncio.gather(*clients)


async def all_records(live: Live) -> list[dict[str, Json]]:
    configuration = load_configuration(live.directory)
    async with open_gateway(live.directory, configuration, time.time) as opened:
        return await opened.log.read("", limit=1 << 30)


def test_killed_twenty_times_under_load(tmp_path: Path) -> None:
    chance = random.Random(20261122)  # noqa: S311 - moments, not secrets
    seen = Counter[int]()
    with gateway(tmp_path) as live:
        live.done(
            "ingest",
            f"""
            from huggingface_hub import CommitOperationAdd, HfApi
            api = HfApi()
            api.create_repo("acme/digits", repo_type="dataset")
            files = [CommitOperationAdd(f"f{{n}}.txt", f"content {{n}}".encode()) for n in range({CLIENTS})]
            api.create_commit("acme/digits", files, commit_message="files", repo_type="dataset")
            """,
        )
        port = live.url.rpartition(":")[2]
        key = parse_verifier_key((live.directory / "public" / "log.vkey").read_text().strip())
    configuration = live.directory / "nomoat.toml"
    configuration.write_text(configuration.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    for _ in range(ROUNDS):
        kept = (live.directory / "log" / "checkpoint").read_bytes()
        asyncio.run(one_round(live, chance.uniform(0.15, 0.9), seen))
        report = verify_directory(live.directory / "log", key, [kept])
        assert not report.problems, report.problems
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(live.directory)], stdout=subprocess.PIPE, text=True, cwd=OUTSIDE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("https://")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

    openings = Counter[str]()
    endings = Counter[object]()
    for record in asyncio.run(all_records(live)):
        if record["kind"] == "opening" and record["decision"] == "allow":
            outcome = record.get("outcome")
            assert isinstance(outcome, dict), f"opening {record['n']} has no outcome"
            endings[outcome["outcome"]] += 1
            on = record["on"]
            assert isinstance(on, dict)
            openings[str(on["name"]).rpartition(":")[2]] += record["what"] == "ReadFile"
    assert sum(seen.values()) > ROUNDS * CLIENTS, "the load was none"
    for number, count in seen.items():
        assert openings[f"f{number}.txt"] >= count, f"client {number} saw more than the log has"
    assert endings["interrupted"] > 0
