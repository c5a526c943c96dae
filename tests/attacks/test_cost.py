"""Attacks on everybody else's time and memory, by callers with little or no right to anything."""

import time

import pytest

from nomoat.core.errors import Malformed, NotPermitted, TooLarge
from nomoat.core.operation import ApplyDirectory, ApplyPolicy
from nomoat.protocols.hub.ignoring import IgnoreRules
from tests.guard.world import World, in_world
from tests.resources.world import Yard, in_yard

SOON = 1.0  # seconds; each of these attacks took from several to thousands before


def test_attack_a_gitignore_whose_rules_explode_is_refused_soon() -> None:
    """One request of 40 kB kept the event loop busy for hours."""
    began = time.monotonic()
    with pytest.raises(TooLarge):
        IgnoreRules("\n".join(["/**/" + "*/" * 100 + "x"] * 200))
    rules = IgnoreRules("\n".join(["/**/*/*/x"] * 200))
    with pytest.raises(TooLarge):
        rules.ignores("a/" * 250 + "b")
    assert time.monotonic() - began < SOON


def test_attack_a_gitignore_of_many_different_patterns_compiles_soon_or_not_at_all() -> None:
    began = time.monotonic()
    with pytest.raises(TooLarge):
        IgnoreRules("\n".join("/".join(f"{rule}{part}" for part in range(60)) for rule in range(250)))
    with pytest.raises(TooLarge):
        IgnoreRules("[a-z]*" * 10_000)
    assert time.monotonic() - began < SOON


def test_a_gitignore_as_large_as_any_is_obeyed() -> None:
    rules = IgnoreRules("\n".join(f"build{number}/*.o" for number in range(250)))
    assert rules.ignores("build249/a.o")
    assert not any(rules.ignores(f"src/deep/down/file{number}.py") for number in range(256))


@in_yard
async def test_attack_policies_are_not_compiled_for_who_may_not_apply_them(there: Yard) -> None:
    """Three seconds of everybody's time for each request of a data scientist, before."""
    text = '@id("p")\npermit(principal, action, resource) when { resource.labels.contains("a") };\n' * 20_000
    for attacker in (there.scientist, there.ingest):
        began = time.monotonic()
        with pytest.raises(NotPermitted) as refused:
            async with there.guard.admit(attacker.present(), ApplyPolicy((("a.cedar", text),), dry_run=True)):
                pytest.fail("planned policies")
        assert time.monotonic() - began < SOON
        assert refused.value.record is not None


@in_yard
async def test_attack_a_declaration_is_not_parsed_for_who_may_not_declare(there: Yard) -> None:
    document = '[[group]]\nname = "a"\n' * 150_000
    for attacker in (there.scientist, there.ingest):
        began = time.monotonic()
        with pytest.raises(NotPermitted):
            async with there.guard.admit(attacker.present(), ApplyDirectory(document, dry_run=True)):
                pytest.fail("planned a directory")
        assert time.monotonic() - began < SOON


@in_world
async def test_attack_the_stolen_bearer_of_an_administrator_buys_no_parsing_either(there: World) -> None:
    stolen = there.admin.present(await there.bearer(there.admin), bound=False)
    with pytest.raises(NotPermitted):
        async with there.gateway.guard.admit(stolen, ApplyDirectory("a = " + "[" * 100_000, dry_run=True)):
            pytest.fail("planned a directory")


@in_world
async def test_attack_a_declaration_nested_too_deep_is_malformed_and_recorded(there: World) -> None:
    """It was a bug of ours that left no record."""
    with pytest.raises(Malformed) as refused:
        async with there.gateway.guard.admit(there.admin.present(), ApplyDirectory("a = " + "[" * 5000, dry_run=True)):
            pytest.fail("planned nonsense")
    assert refused.value.record is not None
