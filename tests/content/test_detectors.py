"""What is found in a text, what is not, and that neither takes more time than the text is long."""

import base64
import json
import sysconfig
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.content import texts_of
from nomoat.content.detectors import _SUSPECT, MOST_SPANS, RULES, PatternDetector, _matches
from nomoat.content.readings import readings_of
from tests.content import corpus

DETECTOR = PatternDetector()
SECRETS, PERSONAL = corpus.secrets(), corpus.personal()
ROOT = Path(__file__).resolve().parents[2]


def found(text: str) -> set[tuple[str, str]]:
    """(rule, what was found) of a text."""
    return {(finding.rule, text[start:end]) for start, end, finding in DETECTOR.find(text)}


@pytest.mark.parametrize("frame", corpus.FRAMES)
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_found_as_a_whole(name: str, frame: str) -> None:
    for value in SECRETS[name]:
        text = frame.format(value)
        begin = text.index(value)
        spans = [(start, end) for start, end, finding in DETECTOR.find(text) if finding.rule == f"secret:{name}"]
        kept = value.removeprefix("https://").removeprefix("?sig=").rstrip("=")
        assert any(start <= begin + value.index(kept) and end >= begin + len(kept) for start, end in spans), (
            text,
            spans,
        )


@pytest.mark.parametrize("frame", corpus.FRAMES)
@pytest.mark.parametrize("name", PERSONAL)
def test_personal_data_is_found_as_a_whole(name: str, frame: str) -> None:
    for value in PERSONAL[name]:
        assert (f"personal:{name}", value) in found(frame.format(value)), value


@pytest.mark.parametrize("named", ["password={}", 'api_key: "{}"', "AWS_SECRET_ACCESS_KEY={}", "'client_secret': '{}'"])
@pytest.mark.parametrize("kind", corpus.passwords())
def test_what_is_called_a_secret_is_one_by_its_entropy(named: str, kind: str) -> None:
    """Some made by chance look like words; the rates are stated in docs/reference/content.md."""
    values = corpus.passwords()[kind]
    missed = [value for value in values if ("secret:assigned", value) not in found(named.format(value))]
    assert len(missed) <= (0.15 if kind == "base32" else 0.1) * len(values), missed


@pytest.mark.parametrize(
    "text",
    [
        "password=os.environ['PASSWORD']",
        'token = "the-next-token-is-here"',
        "secret: ${{ secrets.DEPLOY_KEY1 }}",
        "api_key=YOUR_API_KEY_HERE1",
        "password = get_password(user2, realm1)",
        "postgres://user:password@localhost/db",
        "the token: signed-again, as said",
        "sk-learn-is-a-library-for-machine-learning",
        "risk-management-framework-2024-edition",
        "commit 5f2b8c1d9e3a7f6b4c0d8e1f2a3b4c5d6e7f8a9b",
        "4111111111111112",  # a wrong check digit
        "0.4111111111111111",  # a number
        "2026-11-27 14:13:34.123456",
        "DE88370400440532013000",
        "192.168.1.20 10.0.0.1 127.0.0.1 203.0.113.7 1.2.3.4",
        "someone@example.com, a@b.test, icon@2x.png, git@github.com:org/repo",
        "000-12-3456 666-12-3456 900-12-3456",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
        "Decimal('+35236450.6') 0xdeadbeef +12345",
        "x = a[3] + 4915112345678 - 2",
    ],
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert found(text) == set()


def test_source_code_has_few_false_findings() -> None:
    """Those that are stated in docs/reference/content.md: mail addresses aside, of which there are real ones."""
    counted = Counter[str]()
    size = 0
    for root in (Path(sysconfig.get_paths()["stdlib"]), ROOT / "src", ROOT / "docs"):
        files = (
            list(root.glob("*.py")) if root.name.startswith("python") else [*root.rglob("*.py"), *root.rglob("*.md")]
        )
        for path in files:
            text = path.read_text(encoding="utf-8", errors="replace")
            size += len(text)
            counted.update(finding.rule for _, _, finding in DETECTOR.find(text))
    del counted["personal:email"]
    assert size > 4_000_000
    assert counted.total() / (size / 1e6) < 4, counted  # for each million characters


def in_json(text: str) -> str:
    return json.dumps({"said": text})


ENCODED: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": corpus.b64,
    "base64 over lines": lambda text: base64.encodebytes((text * 3).encode()).decode(),
    "base64 of base64": lambda text: corpus.b64(corpus.b64(text)),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64 behind a letter": lambda text: "x" + corpus.b64(text),
    "hexadecimal": lambda text: text.encode().hex(),
    "JSON": in_json,
    "JSON in JSON": lambda text: in_json(in_json(text)),
    "escapes of all letters": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "an address": lambda text: text.replace("A", "%41").replace("\n", "%0A"),
    "wide letters": lambda text: "".join(chr(ord(each) + 0xFEE0) if each.isalnum() else each for each in text),
    "unseen letters": "\u200b".join,
    "null bytes": "\0".join,
}


@pytest.mark.parametrize("how", ENCODED)
@pytest.mark.parametrize("frame", ["{}", "before {} after", "\u00e9\u4e2d {} \u00df"])
def test_a_secret_is_found_however_it_is_encoded(how: str, frame: str) -> None:
    encoded = ENCODED[how](f"the key is {SECRETS['aws-access-key'][0]}, and\nthat is all")
    text = frame.format(encoded)
    spans = [span for span in DETECTOR.find(text) if span.finding.rule == "secret:aws-access-key"]
    assert spans
    kept = text
    for start, end, _ in sorted(spans, reverse=True):
        kept = kept[:start] + kept[end:]
    assert not any(finding.rule.startswith("secret") for _, _, finding in DETECTOR.find(kept)), kept


@given(st.text(max_size=400), st.sampled_from(sorted(SECRETS)))
def test_whatever_stands_before_it_a_secret_is_found(before: str, name: str) -> None:
    value = SECRETS[name][0]
    text = f"{before}\n{value}\n"
    assert any(
        finding.label.labels == {"secret"} and start < len(text) - 1 and end > len(before) + 8
        for start, end, finding in DETECTOR.find(text)
    )


@given(st.text(max_size=300))
def test_the_places_of_what_is_found_are_within_the_text(text: str) -> None:
    for start, end, _ in DETECTOR.find(text + " AKIAIOSFODNN7ABCDEFG " + text):
        assert 0 <= start < end <= 2 * len(text) + 22


def test_a_key_has_findings_and_nothing_to_redact() -> None:
    value = SECRETS["github-token"][0]
    seen = DETECTOR.look(list(texts_of({value: "x", "y": value})))
    assert [hit.path for hit in seen.hits] == [("y",)]
    assert {finding.redactable for finding in seen.findings} == {False}


def test_what_is_in_one_text_is_not_in_the_next() -> None:
    seen = DETECTOR.look(list(texts_of(["mail", "jane.doe@contoso.de", "AKIAIOSFODNN7ABCDEFG", "end"])))
    assert {(hit.path, hit.start, hit.end) for hit in seen.hits} == {((1,), 0, 19), ((2,), 0, 20)}


def test_more_than_can_be_told_is_told_as_a_whole() -> None:
    text = "jane.doe@contoso.de " * (MOST_SPANS + 1)
    ((start, end, finding),) = DETECTOR.find(text)
    assert (start, end, finding.rule) == (0, len(text), "personal:email")


def test_every_rule_has_an_example() -> None:
    here = {f"secret:{name}" for name in SECRETS} | {f"personal:{name}" for name in PERSONAL}
    assert set(RULES) - here == {"secret:connection-string", "secret:authorization", "secret:assigned"}
    assert ("secret:connection-string", "s3cr3tpw") in found("postgres://app:s3cr3tpw@db.corp.net:5432/x")
    assert ("secret:authorization", "Zm9vYmFyMTIzNDU2Nzg5MA==") in found(
        "Authorization: Basic Zm9vYmFyMTIzNDU2Nzg5MA=="
    )


HOSTILE = {
    "one letter": "a",
    "digits": "4",
    "digits apart": "4 ",
    "ats": "a@",
    "names with dots": "a.",
    "begins of keys": "-----BEGIN PRIVATE KEY",
    "passwords": "password password=",
    "schemes": "a://b:",
    "backslashes": "\\",
    "escapes": "\\u0041",
    "percents": "%41",
    "base64 of itself": corpus.b64("eyJhbGciOiJ".ljust(30, "A")),
    "hex": "41",
    "unseen": "\u200b",
    "wide": "\uff21",
    "ligatures": "\ufdfa",
    "colons": "2a00:",
    "tokens that begin": "eyJaaaaaaaaaa.eyJ",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_readings_of_a_hostile_text_are_bounded(name: str) -> None:
    """So the work is: each reading is passed over a fixed number of times, by automata that never go back."""
    text = (HOSTILE[name] * 40_000)[:40_000]
    lengths = [len(reading.text) for reading in readings_of(text)]
    assert sum(lengths) <= 30 * len(text)
    assert len(lengths) <= 1 + 3 * len(text) // 24


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(name: str) -> None:
    """CPU time, of which a quadratic pass would take 64 times as much for 8 times the length."""
    whole = (HOSTILE[name] * 160_000)[:160_000]
    DETECTOR.find(whole[:1000])
    spent = []
    for size in (20_000, 160_000):
        least = min(_cpu(whole[:size]) for _ in range(3))
        spent.append(max(least, 0.001))
    assert spent[1] / spent[0] < 30, spent


def _cpu(text: str) -> float:
    before = time.thread_time()
    DETECTOR.find(text)
    return time.thread_time() - before


@given(st.text(alphabet="abcXYZ019@=:/\\%.-_ \n\"'é", max_size=120))
def test_what_is_passed_over_at_a_glance_has_nothing(text: str) -> None:
    """Words alone are not looked at with the patterns, so the patterns must find nothing in them, however they are read."""
    if _SUSPECT.search(text) is None:
        assert [text] == [reading.text for reading in readings_of(text)]
        assert not [span for reading in readings_of(text) for span in _matches(reading)]
    for examples in (*SECRETS.values(), *PERSONAL.values()):
        assert all(_SUSPECT.search(example) for example in examples)
