"""The attacks on a live gateway, each tried for real.

Rules: where something must fail, the same thing is first seen to work for its rightful owner, so
that a refusal is due to the attack and not to a mistake in it. Every byte that is changed on disk is
put back.
"""

import re
import ssl
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final, cast

from examples.pipeline.gateway import wait_for
from examples.pipeline.ledger import Expected
from examples.pipeline.line import expiry
from examples.pipeline.stage import nomoat_command
from examples.pipeline.story import DATASET, MODEL, Scene, profile
from examples.pipeline.tampering import on_the_disk

WEIGHTS: Final = f"/{MODEL}/resolve/main/model.safetensors"
IMAGES: Final = f"/datasets/{DATASET}/resolve/main/data/train.parquet"
LATEST_MB: Final = 24  # that may still arrive after a revocation: what lay in the buffers of both kernels' sockets
STRANGER: Final = "unauthenticated"


def bound_token(scene: Scene) -> None:
    """Replay a token that is bound to a certificate: without it, and with another one."""
    token = str(scene.stage.nomoat("train", "token", "--bound")["access_token"])
    asked = f"{MODEL}:model.safetensors"

    after = scene.line.newest()
    answer = scene.line.get(WEIGHTS, token=token, profile=profile(scene.stage, "train"))
    scene.ledger.expect(
        Expected(
            *(after, "workload train", "ReadFile", f"{MODEL}@*", "allowed", "training-reads-models"),
            note="a bound token, with its certificate",
            also=answer.status == 200,
        )
    )
    for holding, presented, reason in (
        ("", None, "bound to a certificate that is not here"),
        (", thief's certificate", profile(scene.stage, "scientist"), "bound to another key"),
    ):
        after = scene.line.newest()
        answer = scene.thief.get(WEIGHTS, token=token, profile=presented)
        scene.ledger.expect(
            Expected(
                *(after, STRANGER, "Authenticate", "", "refused", reason),
                shown=f"thief: train's bound token{holding}",
                asked=asked,
                also=answer.status == 401,
            )
        )
    scene.say("a stolen bound token is worth nothing without its key")


def unbound_token(scene: Scene) -> None:
    """Use a stolen unbound bearer: it works, until its session is revoked."""
    scene.stage.nomoat("train", "env", "hub")  # a token as programs of the job hold it
    scene.steal("train")
    token, shown = scene.stolen["train"], "thief: train's unbound bearer"

    after = scene.line.newest()
    answer = scene.thief.get(WEIGHTS, token=token)
    scene.ledger.expect(
        Expected(
            *(after, "workload train", "ReadFile", f"{MODEL}@*", "allowed", "training-reads-models"),
            shown=shown,
            note="IT WORKS: an unbound bearer is as good in any hands, until it expires or is revoked",
            also=answer.status == 200,
        )
    )
    scene.revoke("session", scene.identities["train"]["session"])
    after = scene.line.newest()
    answer = scene.thief.get(WEIGHTS, token=token)
    scene.ledger.expect(
        Expected(
            *(after, "workload train's credential", "Authenticate", "workload:train", "refused", "revoked"),
            shown=shown,
            asked=f"{MODEL}:model.safetensors",
            also=answer.status == 401,
        )
    )
    scene.say("a stolen UNBOUND bearer worked until its session was revoked, and not any longer")


def expired_token(scene: Scene) -> None:
    """Use a stolen bearer after its time."""
    token = scene.stolen["ingest"]
    if (left := expiry(token) + 1 - time.time()) > 0:
        scene.say(f"waiting {left:.0f} s for a stolen token to expire")
        time.sleep(left)
    after = scene.line.newest()
    answer = scene.thief.get(IMAGES, token=token)
    scene.ledger.expect(
        Expected(
            *(after, "workload ingest's credential", "Authenticate", "workload:ingest", "refused", "expired"),
            shown="thief: ingest's bearer, old",
            asked=f"{DATASET}:data/train.parquet",
            also=answer.status == 401,
        )
    )
    scene.say("an expired token is refused")


def revoked_device(scene: Scene) -> None:
    """Revoke an engineer's device while it downloads, and count what still arrives."""
    log = scene.stage.directory / "engineer.out"
    after = scene.line.newest()
    download = scene.stage.program("engineer", "engineer.py", log=log)
    wait_for(download, log, r"received \d{7,} of \d+\n")  # a megabyte is there: it is under way
    device = str(scene.identities["engineer"]["spiffe_id"]).rpartition("/")[2]
    scene.revoke("device", device)
    scene.stage.wait(download)
    progress = [
        (float(at), int(received), int(size))
        for at, received, size in re.findall(r"([\d.]+) received (\d+) of (\d+)\n", log.read_text())
    ]
    _, received, size = progress[-1]
    revoked_at = recorded_at(scene, "what Revoke")
    late = received - max(so_far for at, so_far, _ in progress if at <= revoked_at)
    scene.ledger.expect(
        Expected(
            *(after, "person engineer@*", "ReadFile", f"{DATASET}@*:data/augmented.npy"),
            *("allowed", "engineers-keep-their-datasets"),
            ending="cut",
            note=f"{received / 1e6:.1f} of {size / 1e6:.1f} MB arrived, {late / 1e3:.0f} kB of it after the revocation",
            also=received < size and late <= LATEST_MB << 20,
        )
    )
    after = scene.line.newest()
    refused = scene.stage.run("engineer", nomoat_command("whoami"))
    scene.ledger.expect(
        Expected(
            *(after, "person engineer@*'s credential", "Authenticate", "person:engineer@*", "refused", "revoked"),
            shown="engineer's revoked device",
            asked="itself",
            also=refused.code == 1,
        )
    )
    scene.say("a download was cut when its device was revoked")


def recorded_at(scene: Scene, query: str) -> float:
    """When the newest record that matches was made (Unix seconds)."""
    found = scene.stage.nomoat("admin", "audit", "search", query, "--limit", "1")
    records = cast("list[Mapping[str, object]]", found["records"])
    return datetime.fromisoformat(str(records[-1]["at"])).timestamp()


def foreign_workload(scene: Scene) -> None:
    """Present the certificate of a workload of the same name in another trust domain."""
    after, ended = scene.line.newest(), False
    try:
        scene.thief.get(WEIGHTS, profile=profile(scene.stage, "rival-train"))
    except (ssl.SSLError, ConnectionError):
        ended = True
    scene.ledger.expect(
        Expected(
            *(after, STRANGER, "Authenticate", "", "refused", "certificate_verify_failed"),
            shown="workload train of rival.example",
            asked=f"{MODEL}:model.safetensors",
            note="in the TLS handshake, so there is no request to record" if ended else "IT GOT AN ANSWER",
            also=ended,
        )
    )
    scene.say("a workload of another trust domain does not get through the TLS handshake")


ATTACKS: Final = (bound_token, on_the_disk, foreign_workload, revoked_device, unbound_token, expired_token)
