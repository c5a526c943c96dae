"""SPIFFE IDs: each caller has exactly one, and each accepted one is exactly one caller's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.core.errors import Malformed, Unauthenticated
from nomoat.core.principal import PrincipalKind
from nomoat.identity.trust_domain import Subject, TrustDomain

DOMAIN = TrustDomain("acme.example")
PERSON, WORKLOAD = PrincipalKind.PERSON, PrincipalKind.WORKLOAD
NAMES = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,40}[A-Za-z0-9])?", fullmatch=True)
TRICKY = st.sampled_from(["a_40b", "a_5f40b", "a__40b", "a@b", "a_@b", "a+_2bb", "a_5f", "x_4@0"])
SUBJECTS = st.builds(Subject, st.just(WORKLOAD), NAMES | TRICKY) | st.builds(
    Subject, st.just(PERSON), NAMES | TRICKY, st.from_regex(r"d-[a-z2-7]{16}", fullmatch=True) | st.just("")
)


@given(SUBJECTS)
def test_parsing_reverses_building_and_only_path_characters_appear(subject: Subject) -> None:
    spiffe_id = DOMAIN.spiffe_id(subject)
    assert DOMAIN.parse(spiffe_id) == subject
    assert re.fullmatch(r"spiffe://acme\.example(/[A-Za-z0-9._-]+)+", spiffe_id)


@given(SUBJECTS, SUBJECTS)
def test_two_callers_never_share_an_id(one: Subject, other: Subject) -> None:
    assert (DOMAIN.spiffe_id(one) == DOMAIN.spiffe_id(other)) == (one == other)


def test_ids_look_as_documented() -> None:
    assert DOMAIN.id == "spiffe://acme.example"
    assert DOMAIN.spiffe_id(Subject(WORKLOAD, "train_eval")) == "spiffe://acme.example/train_eval"
    assert DOMAIN.parse("spiffe://acme.example/person") == Subject(WORKLOAD, "person")
    ada = Subject(PERSON, "ada@acme.example", "d-abcdefghijklmnop")
    assert DOMAIN.spiffe_id(ada) == "spiffe://acme.example/person/ada_40acme.example/device/d-abcdefghijklmnop"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://acme.example",
        "spiffe://acme.example/",
        "spiffe://acme.example/train/",
        "spiffe://acme.example//train",
        "spiffe://acme.example/..",
        "spiffe://acme.example/.",
        "spiffe://acme.example/tr%61in",
        "spiffe://acme.example/train?x=1",
        "spiffe://acme.example/train#x",
        "spiffe://acme.example:443/train",
        "spiffe://user@acme.example/train",
        "SPIFFE://acme.example/train",
        "spiffe://ACME.example/train",
        "https://acme.example/train",
        "spiffe://acme.example/train\n",
        "spiffe://acme.example/trаin",  # noqa: RUF001 # a Cyrillic letter
        "spiffe://acme.example/a_5fb",  # nothing there needed an escape
        "spiffe://acme.example/person/ada/device",
        "spiffe://acme.example/person/ada/device/1",
        "spiffe://acme.example/person/ada/device/d-ABCDEFGHIJKLMNOP",
        "spiffe://acme.example/person/ada/laptop/d-abcdefghijklmnop",
        "spiffe://acme.example/a/b",
        "spiffe://acme.example/" + "a" * 2048,
    ],
)
def test_what_is_not_exactly_an_id_of_ours_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        DOMAIN.parse(text)
    assert refused.value.kind == "malformed"


@pytest.mark.parametrize("text", ["spiffe://evil.example/train", "spiffe://acme.example.evil.example/train"])
def test_an_id_of_another_trust_domain_is_refused_as_such(text: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        DOMAIN.parse(text)
    assert refused.value.kind == "wrong-trust-domain"


@pytest.mark.parametrize("name", ["", "Acme", "acme.example/x", "acme example", "-acme", "a" * 256])
def test_what_is_no_trust_domain_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        TrustDomain(name)


@pytest.mark.parametrize("name", ["", "a/b", "a b", ".", "..", "ä", "a" * 129])
def test_names_that_are_none_get_no_id(name: str) -> None:
    with pytest.raises(Malformed):
        DOMAIN.spiffe_id(Subject(WORKLOAD, name))
