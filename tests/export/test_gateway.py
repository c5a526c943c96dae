"""A real gateway that forwards and forgets as its configuration says, and refuses one that would leak."""

import re
import ssl
import tomllib
from pathlib import Path

import pytest

from nomoat.audit.checkpoint import parse_verifier_key
from nomoat.audit.retention import Blanking
from nomoat.audit.verification import verify_directory
from nomoat.core.errors import Malformed
from nomoat.server.assembly import open_gateway
from nomoat.server.configuration import load_configuration
from nomoat.server.forgetting import parse_retention
from nomoat.server.forwards import parse_forwards
from nomoat.server.retention import forget_due
from tests.architecture.tree import ROOT
from tests.audit.world import until
from tests.cli.live import Live
from tests.export.receivers import Collector, Kept, Splunk, http_receiver, syslog_receiver

TOKEN = "0b1d5f3e-splunk-token"


def configure(live: Live, text: str) -> None:
    path = live.data / "nomoat.toml"
    path.write_text(path.read_text() + text)


async def _wait_until_all(kept: list[Kept], size: int) -> None:
    await until(lambda: not any(each.missing(size) for each in kept), 30)


def test_a_gateway_forwards_to_three_receivers_and_no_secret_lies_in_its_directory(
    tmp_path: Path, certificate: tuple[ssl.SSLContext, ssl.SSLContext], certificate_file: Path
) -> None:
    import asyncio

    live = Live(tmp_path / "gateway")
    token = tmp_path / "splunk.token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    collector, splunk, syslog = Kept(), Kept(token=TOKEN), Kept()
    collector.faults.extend(["503", "drop"])
    syslog.faults.append("drop")
    with (
        http_receiver(Collector, collector) as otlp_url,
        http_receiver(Splunk, splunk) as splunk_url,
        syslog_receiver(syslog, certificate[0]) as syslog_url,
    ):
        configure(
            live,
            f'[[forward]]\nname = "otlp"\nkind = "otlp"\nurl = "{otlp_url}"\n'
            f'[[forward]]\nname = "siem"\nkind = "splunk"\nurl = "{splunk_url}"\ntoken_file = "{token}"\n'
            f'[[forward]]\nname = "archive"\nkind = "syslog"\nurl = "{syslog_url}"\nca = "{certificate_file}"\n',
        )
        with live:
            admin = live.admin()
            assert admin.nomoat("whoami").code == 0
            size = int(str(admin.nomoat("audit", "search", "--json").json()["size"]))
            asyncio.run(_wait_until_all([collector, splunk, syslog], size))
            said = admin.nomoat("audit", "search", "what ForwardLog", "--json").json()["records"]
            before = len(collector.numbers)
        # Started again, each goes on where it was.
        with live:
            live.follow(admin)
            assert admin.nomoat("whoami").code == 0
            size = int(str(admin.nomoat("audit", "search", "--json").json()["size"]))
            asyncio.run(_wait_until_all([collector, splunk, syslog], size))
    assert isinstance(said, list)
    assert {(record["name"], record["form"]) for record in said} == {
        ("otlp", "otlp"),
        ("siem", "splunk"),
        ("archive", "syslog"),
    }
    assert min(collector.numbers[before:]) > 0
    names = {event["actor"]["user"].get("name") for event in splunk.events if event["activity_name"] == "Whoami"}
    assert names == {"ann"}
    for path in live.data.rglob("*"):
        if path.is_file() and path.name != "nomoat.toml":
            content = path.read_bytes()
            assert TOKEN.encode() not in content
            assert b'"ann"' not in content


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('name = "x"\nkind = "splunk"\nurl = "https://h"', "Splunk wants a token"),
        ('name = "x"\nkind = "otlp"\nurl = "http://siem.example:4318"', "without encryption the log goes to 127.0.0.1 only"),
        ('name = "x"\nkind = "syslog"\nurl = "tcp://siem.example:601"', "without encryption"),
        ('name = "x"\nkind = "otlp"\nurl = "https://user:secret@h"', "its url is"),
        ('name = "x"\nkind = "otlp"\nurl = "https://h?token=secret"', "its url is"),
        ('name = "x"\nkind = "kafka"\nurl = "https://h"', "its kind is one of"),
        ('name = "X y"\nkind = "otlp"\nurl = "https://h"', "each has a name"),
        ('name = "x"\nkind = "otlp"\nurl = "https://h"\ntoken = "secret"', "'token' is not known"),
        ('name = "x"\nkind = "otlp"\nurl = "https://h"\nacknowledge = "no"', "true or false"),
        ('name = "x"\nkind = "otlp"\nurl = "https://h"\ntoken_file = "{data}/splunk.token"', "does not lie in the data directory"),
    ],
)  # fmt: skip
def test_a_configuration_that_would_leak_is_refused(tmp_path: Path, table: str, reason: str) -> None:
    live = Live(tmp_path / "gateway")
    configure(live, "[[forward]]\n" + table.replace("{data}", str(live.data)) + "\n")
    said = live.operator.nomoat("serve", str(live.data))
    assert said.code == 1
    assert reason in said.err
    assert "secret" not in said.err.replace("nomoat", "")


@pytest.mark.parametrize(
    "line", ['Read = "400d"', "Read = 0", "Everything = 3", "StateAdvanced = 9", "Read = 1.5", "Read = true"]
)
def test_a_retention_that_is_not_understood_is_refused(tmp_path: Path, line: str) -> None:
    live = Live(tmp_path / "gateway")
    configure(live, f"[retention]\n{line}\n")
    with pytest.raises(Malformed, match="retention"):
        load_configuration(live.data)


def test_a_gateway_forgets_what_is_past_its_time_on_the_record(tmp_path: Path) -> None:
    import asyncio

    live = Live(tmp_path / "gateway")
    configure(live, "[retention]\nIdentify = 30\n")
    with live:
        admin = live.admin()
        assert admin.nomoat("whoami").code == 0
    configuration = load_configuration(live.data)

    async def later(days: float) -> tuple[int, list[dict[str, object]]]:
        import time

        async with open_gateway(live.data, configuration, lambda: time.time() + days * 86400) as gateway:
            count = await forget_due(gateway, live.data, Blanking(live.data / "log"), configuration.retention)
            records = gateway.log.walk().take(gateway.log.size, most=10_000)
            return count, [dict(record) for record in records]

    assert asyncio.run(later(29))[0] == 0
    count, records = asyncio.run(later(31))
    assert count > 3
    gone = [record for record in records if record.get("forgotten")]
    assert len(gone) == count
    assert {record["what"] for record in gone} == {"RegisterDevice", "Whoami"}
    assert [record["records"] for record in records if record["what"] == "ForgetContent"] == [count]
    assert any(record["what"] == "ApplyDirectory" or record["what"] == "Initialize" for record in records)
    report = verify_directory(live.data / "log", parse_verifier_key((live.data / "public" / "log.vkey").read_text()))
    assert (report.consistent, report.forgotten) == (True, count)
    said = live.operator.nomoat("audit", "verify", str(live.data))
    assert said.code == 0, said.out
    assert f"the content of {count} records" in said.out


def test_the_configuration_that_the_guide_shows_is_one() -> None:
    guide = (ROOT / "docs" / "guides" / "evidence-elsewhere.md").read_text("utf-8")
    tables = tomllib.loads("\n".join(re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)))
    forwards = parse_forwards(tables.pop("forward"), Path("/var/lib/nomoat"))
    assert [forward.kind for forward in forwards] == ["splunk", "otlp", "syslog"]
    assert parse_retention(tables.pop("retention"))["Read"] == 400
    assert tables == {}
