"""`status` and `doctor`: each thing that can be wrong is named, with what to do, and nothing is changed by looking."""

import json
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nomoat.client.transport import pinned_context
from nomoat.core.operation import ReadStatus
from nomoat.server.configuration import load_configuration
from nomoat.stores.embedders import contents_of, digest_of
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state.engine import open_engine
from nomoat.stores.state.look import known_schemas
from tests.cli.live import Caller, Live, Said
from tests.retrieval.test_model_directories import model
from tests.stores.kms.transit import TOKEN, transit


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def doctor(live: Live, *, ahead: float = 0.0) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and (health, what to do) of the worst finding of each check."""
    said = Caller(live.operator.home, ahead).nomoat("doctor", str(live.data), "--json")
    document = said.json()
    order = ("good", "advice", "bad", "damaged")
    found: dict[str, tuple[str, str]] = {}
    listed = document["findings"]
    assert isinstance(listed, list)
    for each in sorted(listed, key=lambda each: order.index(each["health"])):
        found[each["check"]] = (each["health"], each["do"] or "")
        assert bool(each["do"]) == (each["health"] != "good"), each
    return said.code, found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Live, Path]:
    """A gateway that ran and was stopped, and a copy of all that is its, as it was then."""
    root = tmp_path_factory.mktemp("made")
    with Live(root / "gateway") as live:
        live.admin()
    return live, Path(shutil.copytree(live.root, root / "copy"))


@pytest.fixture
def stopped(made: tuple[Live, Path]) -> Live:
    """The gateway as it was when it was stopped, whatever was done to it since."""
    live, copy = made
    shutil.rmtree(live.root)
    shutil.copytree(copy, live.root)
    return live


def test_a_healthy_directory_is_called_that_and_not_changed(stopped: Live) -> None:
    before = content(stopped.data)
    code, found = doctor(stopped)
    assert (code, {health for health, _ in found.values()}) == (0, {"good"})
    assert content(stopped.data) == before
    stopped.start()
    try:
        code, found = doctor(stopped)
        assert (code, {health for health, _ in found.values()}) == (0, {"good"})
        said = stopped.operator.nomoat("status", str(stopped.data), "--json").json()
        assert (said["running"], said["healthy"], said["schema"]) == (True, True, known_schemas()[0])
        assert isinstance(said["records"], int)
    finally:
        assert stopped.stop() == 0


VIEWED = """
[[dataset]]
name = "acme/visits"
[[dataset.views]]
name = "masked"
classification = "internal"
files = ["*.parquet"]
columns = [{ name = "v" }]
"""


def test_packages_that_the_declaration_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        monkeypatch.setitem(sys.modules, "pyarrow", None)  # as it is where it was not installed
        assert doctor(live)[1]["packages"] == ("good", "")
        live.declare(admin, VIEWED)
        code, found = doctor(live)
        monkeypatch.undo()
        assert doctor(live)[1]["packages"] == ("good", "")
    health, advice = found["packages"]
    assert (code, health, "nomoat[query]" in advice) == (0, "advice", True)


def test_an_index_in_a_database_that_is_not_configured(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        live.declare(admin, '[[index]]\nname = "wiki"\nback_end = "postgres"\n')
        health, advice = doctor(live)[1]["postgres"]
        assert (health, "docs/guides/postgresql.md" in advice) == ("advice", True)


def test_an_embedder_that_is_not_as_it_was_pinned(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    pinned = f'embedder = {{ directory = "{folder}", sha256 = "{digest_of(contents_of(folder))}" }}'
    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        assert "embedders" not in doctor(live)[1]
        live.declare(admin, f'[[index]]\nname = "handbook"\n{pinned}\n')
        assert doctor(live)[1]["embedders"] == ("good", "")
        (folder / "config.json").write_text("{}")
        code, found = doctor(live)
    health, advice = found["embedders"]
    assert (code, health, "nomoat index pin" in advice) == (0, "advice", True)


def test_key_management_that_is_configured(stopped: Live, tmp_path: Path) -> None:
    assert "key management" not in doctor(stopped)[1]
    (token := tmp_path / "token").write_text(TOKEN)
    token.chmod(0o600)
    with transit() as service:
        kept = f'\n[keys]\nkms = "vault"\nurl = "{service.url}"\nkey = "gateway"\ntoken_file = "{token}"\n'
        configuration = stopped.data / "nomoat.toml"
        configuration.write_text(configuration.read_text() + kept)
        adopted = stopped.operator.nomoat("keys", "adopt", str(stopped.data))
        assert adopted.code == 0, adopted
        code, found = doctor(stopped)
        assert (code, found["key management"]) == (0, ("good", ""))
        service.refused = "encrypt"  # the policy of its token allows decrypting alone
        code, found = doctor(stopped)
        health, advice = found["key management"]
        assert (code, health, "update on transit/encrypt" in advice) == (0, "advice", True)
        service.fault = 503
        code, found = doctor(stopped)
        health, advice = found["key management"]
        assert (code, health, "unseal it" in advice) == (3, "bad", True)
    code, found = doctor(stopped)
    assert (code, found["key management"][0]) == (3, "bad")


def kek_of(live: Live) -> Path:
    return Path(str(live.made["kek"]))


def lose_kek(live: Live) -> None:
    kek_of(live).unlink()


def show_kek(live: Live) -> None:
    kek_of(live).chmod(0o644)


def move_kek_inside(live: Live) -> None:
    kek_of(live).rename(live.data / "kek")
    rewrite(live, str(kek_of(live)), str(live.data / "kek"))


def rewrite(live: Live, old: str, new: str) -> None:
    path = live.data / "nomoat.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def misspell(live: Live) -> None:
    rewrite(live, "hosts =", "hoosts =")


def lose_key(live: Live) -> None:
    (live.data / "keys" / "log.key").unlink()


def flip_key(live: Live) -> None:
    path = live.data / "keys" / "tokens.key"
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


def show_keys(live: Live) -> None:
    (live.data / "keys" / "log.key").chmod(0o640)


def open_directory(live: Live) -> None:
    live.data.chmod(0o755)


def shrink_reserve(live: Live) -> None:
    with (live.data / "log" / "reserve").open("r+b") as reserve:
        reserve.truncate(4096)


def cut_log(live: Live) -> None:
    """Take the last batch away: the checkpoint beside the log is of more."""
    segment = next((live.data / "log").glob("*.segment"))
    data = segment.read_bytes()
    segment.write_bytes(data[: len(data) - 500])


def flip_record(live: Live) -> None:
    segment = next((live.data / "log").glob("*.segment"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))


def lose_contents(live: Live) -> None:
    shutil.rmtree(live.data / "objects")


def lose_public(live: Live) -> None:
    shutil.rmtree(live.data / "public")


def lose_authority(live: Live) -> None:
    (live.data / "public" / "ca.pem").unlink()


def lose_state(live: Live) -> None:
    (live.data / "state.db").unlink()


def set_state(live: Live, statement: str) -> None:
    key = KeyEncryptionKey.load(kek_of(live)).derive("state")
    engine = open_engine(live.data / "state.db", key, begin="BEGIN IMMEDIATE", connections=1)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def age_state(live: Live) -> None:
    set_state(live, "UPDATE generation SET number = number - 1")


def renew_schema(live: Live) -> None:
    set_state(live, "UPDATE alembic_version SET version_num = '9999'")


def plain_state(live: Live) -> None:
    (live.data / "state.db").unlink()
    sqlite3.connect(live.data / "state.db").execute("CREATE TABLE t (x)").connection.close()


@pytest.mark.parametrize(
    ("harm", "check", "health", "advice", "code"),
    [
        (lose_kek, "key-encryption key", "bad", "restore it from its copy", 3),
        (show_kek, "key-encryption key", "bad", "chmod 600", 3),
        (move_kek_inside, "key-encryption key", "bad", "move it out", 3),
        (misspell, "configuration", "bad", "correct", 3),
        (lose_key, "keys", "bad", "restore it", 3),
        (flip_key, "keys", "damaged", "restore the newest backup", 4),
        (show_keys, "keys", "bad", "chmod 600", 3),
        (open_directory, "permissions", "advice", "chmod -R go=", 0),
        (lose_contents, "folders", "damaged", "restore the newest backup", 4),
        (lose_public, "folders", "advice", "from the newest backup", 0),
        (lose_authority, "folders", "advice", "from the newest backup", 0),
        (shrink_reserve, "reserve", "advice", "free space", 0),
        (cut_log, "log", "damaged", "evidence", 4),
        (flip_record, "state and log", "damaged", "nomoat audit verify", 4),
        (lose_state, "state and log", "bad", "restore the newest backup", 3),
        (plain_state, "state and log", "bad", "restore the newest backup", 3),
        (age_state, "state and log", "bad", "Put the newest state.db back", 3),
        (renew_schema, "schema", "bad", "run the NoMoat that wrote it", 3),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_is_wrong_is_named_with_what_to_do(
    stopped: Live, harm: Callable[[Live], None], check: str, health: str, advice: str, code: int
) -> None:
    harm(stopped)
    ended, found = doctor(stopped)
    assert (ended, found[check][0]) == (code, health), found
    assert advice in found[check][1]


def test_a_clock_that_is_behind_is_named(stopped: Live) -> None:
    code, found = doctor(stopped, ahead=-3600)
    assert code == 3
    assert found["clock"][0] == "bad"


def test_an_authority_that_ends_is_told_early_and_late(stopped: Live) -> None:
    ten_years = 10 * 365.25 * 86400
    code, found = doctor(stopped, ahead=ten_years - 30 * 86400)
    assert (code, found["certificates"][0]) == (0, "advice")
    code, found = doctor(stopped, ahead=ten_years + 86400)
    assert (code, found["certificates"][0]) == (3, "bad")


def test_an_address_that_is_taken_is_named(stopped: Live) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        rewrite(stopped, "127.0.0.1:0", f"127.0.0.1:{other.getsockname()[1]}")
        code, found = doctor(stopped)
    assert (code, found["port"][0], "listen" in found["port"][1]) == (3, "bad", True)


def test_a_person_is_told_in_words(stopped: Live) -> None:
    show_kek(stopped)
    said = stopped.operator.nomoat("doctor", str(stopped.data))
    assert (said.code, "do: chmod 600" in said.out, "checks failed" in said.err) == (3, True, True)
    said = stopped.operator.nomoat("status", str(stopped.data))
    assert (said.code, "nomoat doctor" in said.err) == (3, True)


# -- Of a running gateway: an Operation like any other ------------------------------------------------


def scrape(live: Live, caller: Caller, path: str, *, bound: bool) -> tuple[int, str]:
    import http.client

    context = pinned_context((caller.profile / "ca.pem").read_text())
    headers = {}
    if bound:
        context.load_cert_chain(caller.profile / "certificate.pem", caller.profile / "device.key")
    else:
        token = caller.nomoat("token").out.strip()
        headers = {"Authorization": f"Bearer {token}"}
    host, _, port = live.url.removeprefix("https://").partition(":")
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_status_and_metrics_are_for_whom_policy_says_and_name_nobody(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        ann = live.admin()
        ben = live.person(ann, "ben")
        watcher = live.workload(ann, "prometheus", 'segment = "monitoring"')
        said: Said = ann.nomoat("status")
        assert (said.code, "log records" in said.out) == (0, True)
        assert "witnessed records    none" in said.out
        assert "None" not in said.out
        assert "{" not in said.out
        assert isinstance(ann.nomoat("status", "--json").json()["log_records"], int)
        refused = ben.nomoat("status")
        assert (refused.code, ReadStatus.action in refused.err) == (1, True)
        for path in ("/v1/status", "/v1/metrics"):
            assert scrape(live, watcher, path, bound=True)[0] == 200
            assert scrape(live, watcher, path, bound=False)[0] == 403, "a token that can be copied was enough"
            assert scrape(live, ben, path, bound=True)[0] == 403
        text = scrape(live, watcher, "/v1/metrics", bound=True)[1]
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert families["nomoat_opened"].samples[0].value >= 4
        assert families["nomoat_refused"].samples[0].value >= 4
        assert families["nomoat_connections"].samples[0].value >= 1
        counted = {sample.name: sample.value for sample in families["nomoat_access_seconds"].samples}
        assert counted["nomoat_access_seconds_count"] >= 4
        labels = {name for family in families.values() for sample in family.samples for name in sample.labels}
        assert labels <= {"version", "reason", "state", "le"}
        for secret in ("ann", "ben", "prometheus", "127.0.0.1", "acme"):
            assert secret not in text
        found = ann.nomoat("audit", "search", "what ReadStatus", "--json").json()
        assert len(json.loads(json.dumps(found["records"]))) >= 8


def test_limits_are_read_from_the_configuration(stopped: Live) -> None:
    path = stopped.data / "nomoat.toml"
    path.write_text(path.read_text() + "connections = 7\nhandshakes_per_s = 9\n")
    limits = load_configuration(stopped.data).limits
    assert (limits.connections, limits.handshakes_per_s) == (7, 9)
    assert "connections = 7" in load_configuration(stopped.data).dump()
    path.write_text(path.read_text().replace("connections = 7", "connections = 0"))
    assert doctor(stopped)[0] == 3
