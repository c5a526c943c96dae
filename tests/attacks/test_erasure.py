"""Erasing what the log says of somebody: gone for good, provably, and no way to cover one's own tracks."""

import json
import shutil
import time
from pathlib import Path

from nomoat.audit.checkpoint import parse_verifier_key
from nomoat.audit.verification import verify_directory
from nomoat.server.assembly import open_gateway
from nomoat.server.configuration import load_configuration
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys
from tests.cli.live import Caller, Live

OFFICER = 'groups = ["privacy-officers"]\n[[group]]\nname = "privacy-officers"'


def told(reader: Caller, query: str) -> list[dict[str, object]]:
    found = reader.nomoat("audit", "search", query, "--limit", "1000", "--json")
    assert found.code == 0, found.err
    records = found.json()["records"]
    assert isinstance(records, list)
    return records


def numbers(records: list[dict[str, object]]) -> list[object]:
    return [record["n"] for record in records]


def test_erased_content_is_gone_while_every_proof_holds_and_who_comes_back_is_somebody_new(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        officer, ben = live.person(admin, "officer", OFFICER), live.person(admin, "ben")
        assert ben.nomoat("whoami").code == 0
        assert ben.nomoat("enroll", "ben").code == 1
        before = numbers(told(admin, "by ben"))
        assert len(before) >= 3
        # The key, as somebody may have copied it who could read the database in secret before.
        said = officer.nomoat("audit", "erase", "person:ben", "--yes", "--json")
        assert said.code == 0, said.err
        record, pseudonym = said.json()["record"], said.json()["pseudonym"]
        assert told(admin, "by ben") == []
        for number in before:
            (erased,) = told(admin, f"record {number}")
            assert (erased["erased"], erased["erased_by"]) == (True, record)
            assert erased["who"] == {"kind": "", "pseudonym": pseudonym}
            assert not {"on", "context", "why", "request", "policies"} & set(erased)
            assert erased["what"] in {"Whoami", "Enroll", "RegisterDevice", "RenewCertificate", "IssueToken"}
        # The erasure is a record, of somebody else's.
        (by,) = told(admin, f"record {record}")
        assert (by["what"], by["decision"], by["who"]["name"]) == ("EraseContent", "allow", "officer")  # type: ignore[index]
        # Ben comes back: under a new key, readable, and what was erased stays erased.
        assert ben.nomoat("whoami").code == 0
        again = told(admin, "by ben what Whoami")
        assert len(again) == 1
        assert isinstance(again[0]["n"], int)
        assert again[0]["n"] > record  # type: ignore[operator]
        (erased,) = told(admin, f"record {before[0]}")
        assert erased["erased"] is True
        exported = admin.nomoat("audit", "export", "--format", "json").out
        assert '"name":"ben"' not in "".join(line for line in exported.splitlines() if json.loads(line)["n"] in before)
        assert "damaged" not in exported
    # Nothing of it breaks a proof, and a gateway starts on it.
    key = parse_verifier_key((live.data / "public" / "log.vkey").read_text())
    report = verify_directory(live.data / "log", key)
    assert (report.consistent, list(report.gaps), list(report.problems)) == (True, [], [])
    with live:
        live.follow(admin)
        assert len(told(admin, "by ben what Whoami")) == 1


def test_attack_the_running_index_still_counts_what_was_erased(tmp_path: Path) -> None:
    """It knew by whom records were, and kept the key: counts told on, and who came back was found no more."""
    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        officer, ben = live.person(admin, "officer", OFFICER), live.person(admin, "ben")
        assert ben.nomoat("whoami").code == 0
        assert counted(admin, "by ben", ">= 2") >= 2
        said = officer.nomoat("audit", "erase", "person:ben", "--yes", "--json")
        assert said.code == 0, said.err
        assert counted(admin, "by ben") == 0
        # Twice, with the index made anew in between: it must not remember that there was no key, either.
        for times in (1, 2):
            time.sleep(1)
            assert ben.nomoat("whoami").code == 0
            time.sleep(1)
            assert len(told(admin, "by ben what Whoami")) == times
            assert counted(admin, "by ben what Whoami", f">= {times}") == times


def counted(reader: Caller, query: str, until: str = "") -> int:
    """How many records `audit who` counts; with `until`, once there are so many: the index follows the log."""
    least, deadline = int(until.removeprefix(">= ") or 0), time.monotonic() + 10
    while True:
        said = reader.nomoat("audit", "who", query, "--json")
        assert said.code == 0, said.err
        found = sum(group["allowed"] + group["refused"] for group in said.json()["groups"])  # type: ignore[attr-defined]
        if found >= least or time.monotonic() > deadline:
            return int(found)
        time.sleep(0.2)


def test_the_key_is_not_left_anywhere_in_the_data_directory(tmp_path: Path) -> None:
    """Also for who has the key-encryption key: neither the wrapped key nor a page of it remains."""
    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        officer, ben = live.person(admin, "officer", OFFICER), live.person(admin, "ben")
        assert ben.nomoat("whoami").code == 0
        said = officer.nomoat("audit", "erase", "person:ben", "--yes", "--json")
        assert said.code == 0, said.err
        (by,) = told(admin, f"record {said.json()['record']}")
        assert by["outcome"]["facts"]["journal"] == "emptied"  # type: ignore[index]
    kek = KeyEncryptionKey.load(Path(str(live.made["kek"])))
    state = State.open(live.data / "state.db", kek.derive("state"))
    keys = StoredSubjectKeys(state, kek)
    assert keys.find(str(said.json()["pseudonym"])) is None
    assert keys.erased(str(said.json()["pseudonym"])) == said.json()["record"]
    state.close()


def test_attack_a_backup_brings_back_what_was_erased(tmp_path: Path) -> None:
    """One from after the erasure does not; one from before has the key, so it is refused as older, or says so."""
    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        officer, ben = live.person(admin, "officer", OFFICER), live.person(admin, "ben")
        assert ben.nomoat("whoami").code == 0
        before = numbers(told(admin, "by ben"))
        assert live.operator.nomoat("backup", str(live.data), str(tmp_path / "before")).code == 0
        said = officer.nomoat("audit", "erase", "person:ben", "--yes", "--json")
        assert said.code == 0, said.err
        assert told(admin, "by ben") == []
        assert live.operator.nomoat("backup", str(live.data), str(tmp_path / "after")).code == 0
        live.stop()
        shutil.rmtree(live.data)
        assert admin.nomoat("restore", str(tmp_path / "after"), str(live.data)).code == 0
        live.start()
        for caller in (admin, officer):
            live.follow(caller)
        assert told(admin, "by ben") == []
        assert counted(admin, "by ben") == 0
        for number in before:
            (erased,) = told(admin, f"record {number}")
            assert (erased["erased"], erased["erased_by"]) == (True, said.json()["record"])
        live.stop()
        shutil.rmtree(live.data)
        options = ("restore", str(tmp_path / "before"), str(live.data))
        assert admin.nomoat(*options).code == 4
        assert not live.data.exists()
        older = admin.nomoat(*options, "--older")
        assert older.code == 0
        assert "what was erased after it can be read again: erase it again" in older.err


def test_nobody_erases_their_own_tracks_and_no_administrator_those_of_others(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        officer = live.person(admin, "officer", OFFICER)
        own = officer.nomoat("audit", "erase", "person:officer", "--yes")
        assert own.code == 1
        assert "nobody-erases-their-own-records" in own.err
        foreign = admin.nomoat("audit", "erase", "person:officer", "--yes")
        assert foreign.code == 1
        assert "administrators-do-not-erase" in foreign.err
        assert len(told(admin, "what EraseContent refused")) == 2
        nobody = officer.nomoat("audit", "erase", "person:nobody", "--yes")
        assert nobody.code == 1
        assert "no record has content of person:nobody" in nobody.err
        assert officer.nomoat("audit", "erase", "system", "--yes").code == 1
        assert officer.nomoat("audit", "erase", "person:ann").code == 2  # nobody can be asked here
        assert told(admin, "by ann what Enroll") != []


def test_a_lost_key_does_not_pass_for_an_erasure(tmp_path: Path) -> None:
    """Who deletes a key in the database without the record of an erasure leaves damage, and it is called so."""
    from sqlalchemy import delete

    from nomoat.stores.state.schema import subject_key

    with Live(tmp_path / "gateway") as live:
        admin = live.admin()
        ben = live.person(admin, "ben")
        assert ben.nomoat("whoami").code == 0
        (record,) = told(admin, "by ben what Whoami")
    kek = KeyEncryptionKey.load(Path(str(live.made["kek"])))

    async def lose() -> None:
        configuration = load_configuration(live.data)
        async with open_gateway(live.data, configuration, lambda: 1_900_000_000.0) as gateway:
            pseudonym = gateway.log.pseudonym("person:ben")
        state = State.open(live.data / "state.db", kek.derive("state"))
        await state.write(lambda c: c.execute(delete(subject_key).where(subject_key.c.pseudonym == pseudonym)))
        state.close()
        async with open_gateway(live.data, configuration, lambda: 1_900_000_001.0) as gateway:
            (found,) = await gateway.log.read(f"record {record['n']}")
            assert found["damaged"] == f"the key of record {record['n']} is missing"
            assert "erased" not in found

    import asyncio

    asyncio.run(lose())
