"""A stock client behind a real proxy: it waits while a person logs in again, and says what to do if nobody does."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from nomoat.client.proxy.waiting import MOST
from nomoat.policy.defaults import starter_policies
from tests.cli.live import Caller, Live
from tests.cli.test_proxy import INGESTS, Running

AGE = 2
POLICY = """
@id("readers-read-guarded")
permit (principal is NoMoat::Person, action in [NoMoat::Action::"Read", NoMoat::Action::"Discover"], resource)
unless { principal == NoMoat::Person::"outsider" };

@id("guarded-needs-a-fresh-log-in")
forbid (principal is NoMoat::Person, action in [NoMoat::Action::"ReadFile", NoMoat::Action::"DescribeFile"], resource)
when { context.auth_age > 2 };

@id("makers-make")
permit (principal == NoMoat::Person::"maker", action in [NoMoat::Action::"Write", NoMoat::Action::"Discover"], resource);

@id("making-needs-a-fresh-log-in")
forbid (principal is NoMoat::Person, action in NoMoat::Action::"Write", resource) when { context.auth_age > 2 };

@id("outsiders-know-of-it")
permit (principal == NoMoat::Person::"outsider", action == NoMoat::Action::"Discover", resource);
"""
UPLOADS = """
from huggingface_hub import HfApi
api, where = HfApi(), dict(repo_id="acme/guarded", repo_type="dataset")
api.create_repo(**where)
api.upload_file(path_or_fileobj=b"the content", path_in_repo="data.txt", **where)
"""
DOWNLOADS = """
from huggingface_hub import hf_hub_download
print(open(hf_hub_download("acme/guarded", "data.txt", repo_type="dataset", force_download=True)).read())
"""
FILE = "/datasets/acme/guarded/resolve/main/data.txt"
INTERNAL = 'clearance = "internal"'


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with Live(tmp_path_factory.mktemp("guarded") / "gateway") as live:
        admin = live.admin()
        ingest = live.workload(admin, "ingest", INGESTS.format("guarded"))
        with ingest.running("exec", "--", sys.executable, "-c", UPLOADS) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        folder = live.root / "policies"
        folder.mkdir()
        for name, text in {**starter_policies(), "fresh.cedar": POLICY}.items():
            (folder / name).write_text(text)
        said = admin.nomoat("policy", "apply", str(folder), "--yes")
        assert said.code == 0, said.err
        yield live


def administrator(live: Live) -> Caller:
    return Caller(live.root / "ann")


@pytest.fixture(scope="module")
def aged(guarded: Live) -> dict[str, Caller]:
    """A person for each test whose log-in is too old already: they have grown old together."""
    admin = administrator(guarded)
    names = ("reader", "sleeper", "certified", "recorded", "maker", "bounded", "outsider", "first", "hasty")
    people = {name: guarded.person(admin, name, INTERNAL) for name in names}
    time.sleep(AGE + 1.5)
    return people


def decisions(live: Live, name: str) -> list[str]:
    said = administrator(live).nomoat("audit", "search", f"by {name} what DescribeFile", "--json")
    found = json.loads(said.out)
    records = found if isinstance(found, list) else found["records"]
    return [record["decision"] for record in records]


def test_a_download_waits_for_a_new_log_in_and_completes(aged: dict[str, Caller]) -> None:
    person = aged["reader"]
    with person.running("exec", "--", sys.executable, "-c", DOWNLOADS) as process:
        # Longer than a stock client waits for an answer in silence (10 s).
        time.sleep(14)
        assert process.poll() is None
        assert person.nomoat("login").code == 0
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "the content" in out
    assert "somebody has to log in" in err
    assert "nomoat login --profile default" in err
    assert f"at most {AGE} seconds old" in err


def test_nobody_logs_in_and_the_client_sees_why(aged: dict[str, Caller]) -> None:
    person = aged["sleeper"]
    begun = time.monotonic()
    with person.running("exec", "--hold", "2", "--", sys.executable, "-c", DOWNLOADS) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert time.monotonic() - begun > 2
    assert "guarded-needs-a-fresh-log-in" in err
    assert "nomoat login" in err


def test_an_ended_session_is_waited_for_as_well(guarded: Live) -> None:
    admin = administrator(guarded)
    person = guarded.person(admin, "returner", INTERNAL)
    session = str(person.nomoat("whoami", "--json").json()["session"])
    with person.running("proxy", "--json") as process, ThreadPoolExecutor(1) as pool:
        running = Running(process)
        assert running.get().status_code == 200
        assert admin.nomoat("revoke", "session", session).code == 0
        waiting = pool.submit(running.get)
        time.sleep(1.5)
        assert not waiting.done()
        assert person.nomoat("login").code == 0
        answer = waiting.result(timeout=20)
    assert answer.status_code == 200
    assert answer.json()["session"] != session


def test_what_is_lent_as_a_certificate_waits_and_goes_on_with_the_new_one(
    guarded: Live, aged: dict[str, Caller]
) -> None:
    admin, person = administrator(guarded), aged["certified"]
    with person.running("proxy", "--certificate", "--json") as process, ThreadPoolExecutor(1) as pool:
        running = Running(process)
        waiting = pool.submit(running.get, FILE)
        time.sleep(1)
        assert not waiting.done()
        assert person.nomoat("login").code == 0
        assert waiting.result(timeout=20).status_code == 200
        known = running.get().json()
        assert known["binding"] == "mtls"
        assert admin.nomoat("revoke", "session", known["session"]).code == 0
        waiting = pool.submit(running.get)
        time.sleep(1.5)
        assert not waiting.done()
        assert person.nomoat("login").code == 0
        again = waiting.result(timeout=20).json()
    assert again["binding"] == "mtls"
    assert again["session"] != known["session"]
    assert again["certificate"] != known["certificate"]


@pytest.mark.parametrize("options", [(), ("--certificate",)], ids=["dpop", "certificate"])
def test_no_more_than_so_many_requests_wait_and_a_further_one_is_answered_at_once(
    guarded: Live, options: tuple[str, ...]
) -> None:
    admin, more = administrator(guarded), 5
    person = guarded.person(admin, f"crowd-{len(options)}", INTERNAL)
    with person.running("proxy", "--json", *options) as process, ThreadPoolExecutor(MOST + more) as pool:
        running = Running(process)
        assert admin.nomoat("revoke", "session", running.get().json()["session"]).code == 0
        asked = [pool.submit(running.get) for _ in range(MOST + more)]
        refused = list(itertools.islice(as_completed(asked, timeout=30), more))
        assert {each.result().status_code for each in refused} == {403}
        assert "nomoat login" in refused[0].result().json()["error"]
        time.sleep(1)
        assert sum(each.done() for each in asked) == more
        assert person.nomoat("login").code == 0
        statuses = sorted(each.result(timeout=60).status_code for each in asked)
    assert statuses == [200] * MOST + [403] * more


def test_a_request_that_waited_is_made_once_more_and_both_are_on_record(guarded: Live, aged: dict[str, Caller]) -> None:
    person = aged["recorded"]
    with person.running("proxy", "--json") as process, ThreadPoolExecutor(1) as pool:
        running = Running(process)
        waiting = pool.submit(running.get, FILE)
        time.sleep(1)
        assert person.nomoat("login").code == 0
        assert waiting.result(timeout=20).status_code == 200
    said = administrator(guarded).nomoat("audit", "search", "by recorded what ReadFile")
    lines = [line for line in said.out.splitlines() if "ReadFile" in line]
    assert len(lines) == 2, said.out
    assert sum("refused" in line for line in lines) == 1


def test_a_body_that_was_read_before_the_decision_is_sent_again(guarded: Live, aged: dict[str, Caller]) -> None:
    guarded.declare(administrator(guarded), '[[dataset]]\nname = "acme/made"\nclassification = "internal"')
    person = aged["maker"]
    body = json.dumps({"type": "dataset", "organization": "acme", "name": "made", "x": "x" * 600_000}).encode()
    with person.running("proxy", "--json") as process, ThreadPoolExecutor(1) as pool:
        running = Running(process)
        waiting = pool.submit(running.post, "/api/repos/create", body)
        time.sleep(1.5)
        assert not waiting.done(), waiting.result().text
        assert person.nomoat("login").code == 0
        answer = waiting.result(timeout=20)
    assert answer.status_code == 200, answer.text


def test_what_waits_is_bounded_in_time_and_gets_the_first_answer(aged: dict[str, Caller]) -> None:
    person = aged["bounded"]
    with person.running("proxy", "--json", "--hold", "1") as process:
        answer = Running(process).get(FILE)
    assert answer.status_code == 401
    assert 'error="insufficient_user_authentication"' in answer.headers["www-authenticate"]
    assert f'max_age="{AGE}"' in answer.headers["www-authenticate"]


def test_attack_who_would_be_denied_anyway_does_not_wait(aged: dict[str, Caller]) -> None:
    person = aged["outsider"]
    with person.running("proxy", "--json") as process:
        begun = time.monotonic()
        answer = Running(process).get(FILE)
    assert answer.status_code == 403
    assert "www-authenticate" not in answer.headers
    assert time.monotonic() - begun < 5


def test_attack_a_waiting_request_goes_on_as_somebody_else(guarded: Live, aged: dict[str, Caller]) -> None:
    """Another profile's log-in wakes nothing; one that takes this profile over gets nothing of what waits."""
    admin, person = administrator(guarded), aged["first"]
    other = guarded.person(admin, "second", INTERNAL)
    with person.running("proxy", "--json", "--hold", "8") as process, ThreadPoolExecutor(1) as pool:
        running = Running(process)
        waiting = pool.submit(running.get, FILE)
        time.sleep(1)
        assert other.nomoat("login").code == 0
        time.sleep(1)
        assert not waiting.done()
        code = str(admin.nomoat("enroll", "second", "--json").json()["code"])
        assert person.nomoat("login", guarded.url, "--code", code, "--replace").code == 0
        assert waiting.result(timeout=20).status_code == 401
        assert "second" not in running.get().text.replace("second's now", "")
    said = admin.nomoat("audit", "search", "by second what ReadFile")
    assert "ReadFile" not in said.out


def test_a_client_that_leaves_waits_no_longer(guarded: Live, aged: dict[str, Caller]) -> None:
    person = aged["hasty"]
    with person.running("proxy", "--json") as process:
        running = Running(process)
        asked = [
            "curl",
            "-s",
            "-m",
            "1",
            "-H",
            f"Authorization: Bearer {running.key_file.read_text()}",
            running.url + FILE,
        ]
        assert subprocess.run(asked, check=False, capture_output=True).returncode != 0
        time.sleep(1)
        assert person.nomoat("login").code == 0
        time.sleep(1)
    said = administrator(guarded).nomoat("audit", "search", "by hasty what ReadFile")
    assert sum("ReadFile" in line for line in said.out.splitlines()) == 1
