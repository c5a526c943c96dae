"""A repository of 100,000 files, seen by a stock client over TLS: listings, paths, snapshots, memory."""

import asyncio
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.live import ADMIN, Process, bearer, join, presented, running
from bench.measure import Figure, require
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import ApplyDirectory, CreateRepository
from nomoat.core.principal import PrincipalKind
from nomoat.core.verdict import Report, Verdict
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize
from nomoat.stores.blob import StoredBlob
from nomoat.stores.revisions import Draft, StoredFile

FILES = 100_000
EACH = 2_000  # files in a commit
REPOSITORY = RepositoryName(RepositoryKind.DATASET, "acme", "many")
DECLARED = """
[[group]]
name = "data-scientists"
[[person]]
name = "scientist"
groups = ["data-scientists"]
clearance = "internal"
[[workload]]
name = "ingest"
segment = "ingestion"
clearance = "confidential"
[[dataset]]
name = "acme/many"
classification = "confidential"
files = [
  { path = "**/*.csv", labels = ["metrics"], classification = "internal" },
  { path = "data/0*/**", labels = ["old"] },
  { path = "docs/**", classification = "public" },
  { path = "**/raw-*.parquet", classification = "restricted" },
  { path = "README.md", classification = "public" },
]
"""
CLIENT = """
import json, sys, time
from huggingface_hub import HfApi, snapshot_download
api, where = HfApi(), dict(repo_id="acme/many", repo_type="dataset")
def timed(call):
    begun = time.perf_counter(); found = call(); return time.perf_counter() - begun, found
first, entry = timed(lambda: next(iter(api.list_repo_tree(**where))))
cpu = time.process_time()
whole, files = timed(lambda: sum(hasattr(e, "size") for e in api.list_repo_tree(recursive=True, **where)))
cpu = time.process_time() - cpu
again, _ = timed(lambda: sum(1 for e in api.list_repo_tree(recursive=True, **where)))
info, described = timed(lambda: len(api.dataset_info("acme/many").siblings))
paths = [s.rfilename for s in api.dataset_info("acme/many").siblings][:1000]
some, found = timed(lambda: len(api.get_paths_info(paths=paths, **where)))
dry, planned = timed(lambda: len(snapshot_download(dry_run=True, max_workers=8, allow_patterns="data/00/0*1.csv", **where)))
print(json.dumps(dict(first=first, whole=whole, again=again, info=info, some=some, dry=dry, cpu=cpu,
                      files=files, described=described, found=found, planned=planned)))
"""


@dataclass(frozen=True, slots=True)
class Many:
    """A data directory with the repository, and the tokens of who may see all of it and a half."""

    directory: Path
    tokens: dict[str, str]


async def prepare(directory: Path) -> Many:
    """Make the repository; its contents are rows only, because nobody reads them."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    configuration = Configuration("acme.example", "127.0.0.1", 0, ("127.0.0.1",), directory.parent / "kek")
    made = await initialize(directory, configuration, ADMIN, time.time)
    async with open_gateway(directory, configuration, time.time) as gateway:
        admin = await join(gateway, made.code, PrincipalKind.PERSON)
        async with gateway.guard.admit(presented(None, admin), ApplyDirectory(DECLARED, dry_run=False)) as permit:
            await gateway.declarations.apply(permit)
        tokens: dict[str, str] = {}
        for kind, name in ((PrincipalKind.WORKLOAD, "ingest"), (PrincipalKind.PERSON, "scientist")):
            code, _ = await gateway.identity.enroll(kind, name)
            certificate = await join(gateway, code, kind)
            tokens[name] = (await bearer(gateway, certificate)).token
            if name == "ingest":
                operation = CreateRepository(REPOSITORY)
                async with gateway.guard.admit(presented(None, certificate), operation) as creating:
                    await gateway.writing.create_repository(creating)
        await _fill(gateway)
    return Many(directory, tokens)


async def _fill(gateway: Gateway) -> None:
    catalog = gateway.writing._catalog  # noqa: SLF001  # rows without contents, which no door would make
    for start in range(0, FILES, EACH):
        created = catalog.find(REPOSITORY)
        assert created
        base = catalog.snapshot(created, "main")
        assert base
        stored: dict[str, tuple[StoredFile, Report]] = {}
        files: dict[str, tuple[str, int]] = {}
        clean = Report(Verdict.CLEAN, "text")
        for number in range(start, start + EACH):
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            blob = StoredBlob(secrets.token_hex(16), 1000, os.urandom(60))
            stored[digest] = StoredFile(digest, 1000 + number, "", blob, Verdict.CLEAN), clean
            ending = "csv" if number % 2 else "parquet"
            files[f"data/{number // 1000:02}/{number:06}.{ending}"] = digest, -1
        draft = Draft(created.id, "main", base, False, "many", "workload:ingest", time.time(), files, inline=stored)
        await catalog.commit(REPOSITORY, draft)


def measure() -> list[Figure]:
    """Everything about a listing of many files; needs `curl`."""
    require("curl")
    with tempfile.TemporaryDirectory() as name:
        many = asyncio.run(prepare(Path(name) / "gateway"))
        figures: list[Figure] = []
        for who in ("ingest", "scientist"):
            with running("-m", "nomoat.cli", "serve", str(many.directory)) as gateway:
                idle = gateway.memory("VmRSS")
                figures += _seen(gateway, many, who, Path(name), idle)
        return figures


def _seen(gateway: Process, many: Many, who: str, home: Path, idle: int) -> list[Figure]:
    token, ca = home / f"{who}.token", home / "ca.pem"
    token.write_text(many.tokens[who])
    ca.write_text(
        subprocess.run(["curl", "-sk", f"{gateway.url}/v1/ca"], check=True, capture_output=True, text=True).stdout
    )
    settings = {
        "HF_ENDPOINT": gateway.url,
        "HF_TOKEN_PATH": str(token),
        "SSL_CERT_FILE": str(ca),
        "HF_HOME": str(home / who),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PATH": os.environ["PATH"],
    }
    begun = gateway.cpu()
    run = subprocess.run([sys.executable, "-c", CLIENT], env=settings, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr)
    told: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    remark = f"{told['files']:,.0f} files shown; the client alone takes {told['cpu']:.1f} s of CPU"
    spent = f"the gateway takes {gateway.cpu() - begun:.1f} s of CPU for all of these"
    grown = (gateway.memory("VmHWM") - idle) / (1 << 20)
    return [
        Figure(f"listing 100,000 files, first page, cold ({who})", told["first"], "s", "at most", 2),
        Figure(f"listing 100,000 files, whole ({who})", told["whole"], "s", "at most", 2, remark),
        Figure(f"listing 100,000 files, whole, again ({who})", told["again"], "s", "at most", 2, spent),
        Figure(f"dataset_info of 100,000 files ({who})", told["info"], "s", "at most", 2),
        Figure(f"paths-info of 1,000 paths ({who})", told["some"], "s", "at most", 2),
        Figure(f"planning a snapshot of 100,000 files ({who})", told["dry"], "s", "at most", 4),
        Figure(f"memory for 100,000 files ({who})", grown, "MiB", "at most", 256),
    ]


if __name__ == "__main__":
    for figure in measure():
        print(
            f"{figure.name}: {figure.value:.2f} {figure.unit}  {'holds' if figure.holds else 'MISSED'}  {figure.remark}"
        )
