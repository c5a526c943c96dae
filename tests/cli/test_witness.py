"""A witness as a process of its own: it signs one history of a log, and a copy proves it offline."""

import json
import signal
import stat
from base64 import b64encode
from pathlib import Path

import httpx2

from nomoat.audit.checkpoint import WITNESS_KEY, NoteSigner, add_signatures, parse_checkpoint
from nomoat.server.configuration import load_configuration
from tests.cli.live import Caller, Live


def post(url: str, old: int, note: bytes, proof: list[bytes] | None = None) -> httpx2.Response:
    lines = "".join(f"{b64encode(step).decode()}\n" for step in proof or [])
    return httpx2.post(f"{url}/add-checkpoint", content=f"old {old}\n{lines}\n".encode() + note, trust_env=False)


def test_a_witness_has_a_private_key_that_is_made_once(tmp_path: Path) -> None:
    caller = Caller(tmp_path / "home")
    made = caller.nomoat("witness", "init", str(tmp_path / "w"), "--name", "w.example", "--json")
    assert made.code == 0, made.err
    assert str(made.json()["witness_key"]).startswith("w.example+")
    assert stat.S_IMODE((tmp_path / "w/witness.key").stat().st_mode) == 0o600
    again = caller.nomoat("witness", "init", str(tmp_path / "w"), "--name", "w.example")
    assert again.code == 1
    assert "holds a witness already" in again.err


def require_quorum(caller: Caller, verify: tuple[str, ...], cosigner: str) -> None:
    """One of two witnesses cosigned: enough for a quorum of one, and of no more; what is no quorum is wrong usage."""
    silent = str(NoteSigner("silent.example", bytes(32), WITNESS_KEY).key)
    keys = ("--witness-key", cosigner, "--witness-key", silent)
    assert caller.nomoat(*verify, *keys, "--quorum", "1").code == 0
    for options in (keys, (*keys, "--quorum", "2"), ("--witness-key", silent)):
        said = caller.nomoat(*verify, *options)
        assert said.code == 4
        assert "log NOT VERIFIED" in said.out
        assert "no checkpoint of them was cosigned by" in said.out
        assert caller.nomoat(*verify, *options, "--json").json()["witnessed"] is None
    for options in (
        (*keys, "--quorum", "3"),
        (*keys, "--quorum", "0"),
        (*keys, "--witness-key", cosigner),
        ("--quorum", "1"),
    ):
        assert caller.nomoat(*verify, *options).code == 2, options


def test_a_gateway_is_made_with_several_witnesses_and_a_quorum(tmp_path: Path) -> None:
    caller = Caller(tmp_path / "home")
    keys = [str(NoteSigner(f"w{n}.example", bytes([n]) * 32, WITNESS_KEY).key) for n in (1, 2)]
    (tmp_path / "w2.vkey").write_text(f"{keys[1]}\n")
    one, two = ("--witness", "https://w1.example"), ("--witness", "https://w2.example")
    first, second = ("--witness-key", keys[0]), ("--witness-key", str(tmp_path / "w2.vkey"))
    init = ("init", str(tmp_path / "data"), "--admin", "ann")
    for options in (
        one,
        (*one, *first, *two),
        (*one, *first, *two, *first),
        (*one, *first, "--witness-quorum", "2"),
        (*one, *first, "--witness-quorum", "0"),
        ("--witness-quorum", "1"),
        ("--witness", "ftp://w1.example", *first),
        (*one, "--witness-key", "w1.example+00000000+AAAA"),
    ):
        said = caller.nomoat(*init, *options)
        assert said.code == 2, (options, said.err)
        assert not (tmp_path / "data").exists()
    said = caller.nomoat(*init, *one, *first, *two, *second, "--witness-quorum", "1")
    assert said.code == 0, said.err
    configuration = load_configuration(tmp_path / "data")
    assert [(witness.url, witness.key) for witness in configuration.all_witnesses] == [
        ("https://w1.example", keys[0]),
        ("https://w2.example", keys[1]),
    ]
    assert configuration.witness_quorum == 1


def test_what_is_no_key_of_a_witness_is_told_with_its_option(tmp_path: Path) -> None:
    caller = Caller(tmp_path / "home")
    of_a_log = str(NoteSigner("acme.example/log", bytes(32)).key)
    for command in (
        ("init", str(tmp_path / "data"), "--admin", "ann", "--witness", "https://w.example"),
        ("audit", "verify", str(tmp_path)),
    ):
        for key, words in (
            ("nothing", "'nothing' is neither a verifier key nor a file with one"),
            (of_a_log, "the verifier key of acme.example/log is a log's, and a witness's is needed"),
        ):
            said = caller.nomoat(*command, "--witness-key", key)
            assert (said.code, "Invalid value for '--witness-key'" in said.err) == (2, True), said.err
            assert words in " ".join(said.err.split())


def test_a_witness_cosigns_and_a_copy_proves_it(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        ann = live.admin()
        assert ann.nomoat("token").code == 0
    note = (live.data / "log/checkpoint").read_bytes()
    size = parse_checkpoint(note).size
    caller, directory = Caller(tmp_path / "home"), tmp_path / "w"
    made = caller.nomoat("witness", "init", str(directory), "--name", "w.example", "--json").json()
    serve = (
        "witness",
        "serve",
        str(directory),
        "--log",
        str(live.made["log_key"]),
        "--listen",
        "127.0.0.1:0",
        "--json",
    )
    with caller.running(*serve) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        answer = post(url, 0, note)
        assert answer.status_code == 200, answer.text
        other = Live(tmp_path / "other")
        assert post(url, 0, (other.data / "log/checkpoint").read_bytes()).status_code == 403
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    cosigned = tmp_path / "cosigned"
    cosigned.write_bytes(add_signatures(parse_checkpoint(note), answer.content).note)
    verify = ("audit", "verify", str(live.data), "--key", str(live.made["log_key"]), "--checkpoint", str(cosigned))
    said = caller.nomoat(*verify, "--witness-key", str(directory / "witness.vkey"))
    assert said.code == 0, said.out
    assert f"log verified: {size} records, checkpoint signed and witnessed, 0 gaps" in said.out
    stranger = caller.nomoat(*verify, "--witness-key", str(made["witness_key"]).replace("w.example", "x.example"))
    assert stranger.code == 2, "a verifier key under another name has another id"
    require_quorum(caller, verify, str(made["witness_key"]))
    with caller.running(*serve) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert post(url, 0, note).status_code == 409, "it forgot what it signed"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_witness_without_its_state_does_not_start(tmp_path: Path) -> None:
    caller, directory = Caller(tmp_path / "home"), tmp_path / "w"
    made = caller.nomoat("witness", "init", str(directory), "--json").json()
    log = Live(tmp_path / "gateway").made["log_key"]
    (directory / "state").unlink()
    said = caller.nomoat("witness", "serve", str(directory), "--log", str(log), "--listen", "127.0.0.1:0")
    assert said.code == 3
    assert "must not sign" in said.err
    assert said.out == ""
    (directory / "witness.vkey").write_text(str(made["witness_key"]).replace("/witness", "/witless"))
    assert caller.nomoat("witness", "serve", str(directory), "--log", str(log)).code in {1, 4}


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    caller, directory = Caller(tmp_path / "home"), tmp_path / "w"
    assert caller.nomoat("witness", "init", str(directory)).code == 0
    (directory / "witness.key").chmod(0o644)
    log = Live(tmp_path / "gateway").made["log_key"]
    said = caller.nomoat("witness", "serve", str(directory), "--log", str(log), "--listen", "127.0.0.1:0")
    assert said.code == 1
    assert "chmod 600" in said.err
