"""What an administrator's files must pass: positions, ids, limits, and nothing left of what fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.core.errors import Malformed, Refused, TooLarge
from nomoat.policy import compile_policies, plan, starter_policies
from nomoat.policy.compilation import MAX_BRACKETS, MAX_FILES, MAX_POLICIES, MAX_POLICY_TEXT, MAX_TEXT, digest
from nomoat.policy.source import clauses
from tests.policy.world import EVERYTHING, ask, compiled, dataset, denied, person

READS = 'permit (principal, action == NoMoat::Action::"ReadFile", resource)'


def refusal(text: str, kind: type[Refused] = Malformed) -> str:
    with pytest.raises(kind) as refused:
        compile_policies({"rules.cedar": text})
    return refused.value.reason


def test_no_files_compile_and_deny_everything() -> None:
    for files in ({}, {"empty.cedar": ""}, {"comment.cedar": "// nothing yet\n"}):
        snapshot = compile_policies(files)
        assert snapshot.ids == ()
        assert denied(ask(snapshot, person(), "DescribeRepository", dataset())).reason == "no policy permits it"


def test_ids_are_sorted_and_files_are_kept() -> None:
    files = {"b.cedar": f'@id("z") {READS}; @id("a") {READS};', "a.cedar": f'@id("m") {READS};'}
    snapshot = compile_policies(files)
    assert snapshot.ids == ("a", "m", "z")
    assert dict(snapshot.files) == files
    assert dict(snapshot.places) == {"z": "b.cedar", "a": "b.cedar", "m": "a.cedar"}


# -- Refusals that say where and what to do ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        (f'@id("a") {READS};\n\n@id("b")\npermit (principal, action resource);', "4:27", "unexpected token `resource`"),
        (f'@id("a") {READS}', "1:1", "unexpected"),
        (f"// first\n  {READS};", "2:3", 'Write @id("some-name") before it'),
        (f"@id {READS};", "1:1", "has no id"),
        (f'@id("") {READS};', "1:1", "has no id"),
        (f'@id("A") {READS};', "1:1", "not a name"),
        (f'@id("-a") {READS};', "1:1", "not a name"),
        (f'@id("a\\n") {READS};', "1:1", "not a name"),
        (f'@id("{"a" * 65}") {READS};', "1:1", "not a name"),
        (f'@id("a") @id("b") {READS};', "1:1", "duplicate annotation"),
        (f'@id("a") {READS};\n@id("a") {READS};', "2:1", "already used in rules.cedar"),
        ('@id("a") permit (principal == ?principal, action, resource);', "1:1", "templates"),
        (f'@id("a") {READS}\nwhen {{ resource.lables.contains("x") }};', "2:17", "attribute `lables`"),
        (f'@id("a") {READS} when {{ context.colour == "x" }};', "1:92", "attribute `colour`"),
        (f'@id("a") {READS} when {{ principal.clearance == "high" }};', "1:1", "types Long and String"),
        (f'@id("a") {READS} when {{ resource.owner_person == principal }};', "1:93", "Ask `has` first"),
        ('@id("a") permit (principal, action == NoMoat::Action::"Fly", resource);', "1:39", "unrecognized action"),
        ('@id("a") permit (principal in NoMoat::Dataset::"x", action, resource);', "1:1", "applicable action"),
        ('@id("a") permit (principal is NoMoat::Robot, action, resource);', "1:31", "Robot"),
        (f'@id("a") {READS} when {{ 1.5 < 2.0 }};', "1:86", "unexpected token `5`"),
        (";", "1:1", "unexpected token `;`"),
    ],
)
def test_a_mistake_is_refused_with_its_position(text: str, position: str, said: str) -> None:
    reason = refusal(text)
    assert reason.startswith(f"rules.cedar:{position}: "), reason
    assert said in reason
    assert reason.endswith(".")


def test_an_id_of_another_file_collides() -> None:
    with pytest.raises(Malformed, match=r'b\.cedar:1:1: the id "a" is already used in a\.cedar'):
        compile_policies({"a.cedar": f'@id("a") {READS};', "b.cedar": f'@id("a") {READS};'})


@pytest.mark.parametrize("name", ["", "a", "a.txt", "../a.cedar", "a/b.cedar", ".cedar", "a\n.cedar", "ä.cedar"])
def test_a_file_has_a_plain_name(name: str) -> None:
    with pytest.raises(Malformed, match="not the name of a policy file"):
        compile_policies({name: EVERYTHING})


def test_text_that_is_not_unicode_is_refused() -> None:
    assert "UTF-8" in refusal(f"// \ud800\n{EVERYTHING}")


# -- Limits: Cedar's parser has none of its own -------------------------------------------------------


def test_attack_deep_nesting_does_not_reach_the_parser() -> None:
    """A thousand nested brackets overflow the parser's stack and would end the process."""
    for opening, closing in ("()", "[]", "{}"):
        deep = opening * 5_000 + "true" + closing * 5_000
        assert "opening brackets" in refusal(f'@id("a") {READS} when {{ {deep} }};')


@pytest.mark.parametrize("hidden", ['"\n" == "" || %s || "', "// \r%s", '"\\"" == "" || %s', "true // \n %s"])
def test_attack_brackets_that_look_like_text_are_counted(hidden: str) -> None:
    deep = "(" * 4_000 + "true" + ")" * 4_000
    assert "opening brackets" in refusal(f'@id("a") {READS} when {{ {hidden % deep} }};')


def test_as_many_brackets_as_are_allowed_do_no_harm() -> None:
    deep = MAX_BRACKETS - 3  # @id, the scope and the condition have one each
    assert compiled(f'@id("a") {READS} when {{ {"(" * deep}true{")" * deep} }};').ids == ("a",)


@pytest.mark.parametrize("number", [100, 300, 800])
@pytest.mark.parametrize("operator", ["&&", "||", "+", "*"])
def test_a_condition_too_deep_to_be_kept_is_refused_when_it_is_compiled(operator: str, number: int) -> None:
    """Not at the first decision, where it could only deny."""
    operand = "true" if operator in {"&&", "||"} else "1"
    long = operator.join([operand] * number) + ("" if operand == "true" else " == 1")
    assert "too many operators in a row" in refusal(f'@id("a") {READS} when {{ {long} }};')


def test_attack_a_question_that_grows_with_the_square_of_its_length() -> None:
    """`has a.b.c` becomes one question for each step: eight thousand steps would be gigabytes."""
    chain = ".a" * 8_000
    assert "more than 256 dots" in refusal(f'@id("a") {READS} when {{ context has a{chain} }};')


def test_sizes_are_capped() -> None:
    assert "characters" in refusal(f'@id("a") {READS} when {{ "{"x" * MAX_POLICY_TEXT}" == "" }};', TooLarge)
    with pytest.raises(TooLarge, match="policy files"):
        compile_policies({f"{n}.cedar": "" for n in range(MAX_FILES + 1)})
    with pytest.raises(TooLarge, match="characters together"):
        compile_policies({"a.cedar": "//" + "x" * MAX_TEXT})
    with pytest.raises(TooLarge, match="policies"):
        compile_policies({"a.cedar": "\n".join(f'@id("p{n}") {READS};' for n in range(MAX_POLICIES + 1))})


# -- Cutting a text into its policies -----------------------------------------------------------------


def test_semicolons_in_strings_and_comments_end_nothing() -> None:
    text = f'// one; two\n@id("a") {READS} when {{ ";\\";" == "//" }}; // three;\n@id("b") {READS};'
    snapshot = compiled(text)
    assert snapshot.ids == ("a", "b")


@given(st.text(alphabet='ab;"/\\ \n\r(){}', max_size=40))
def test_cutting_loses_nothing_but_blanks_and_comments(text: str) -> None:
    places = [(clause.line, clause.column, clause.text) for clause in clauses("f", text)]
    lines = text.split("\n")
    for line, column, found in places:
        at = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
        assert text[at:].startswith(found)
    assert sum(len(found) for _, _, found in places) <= len(text)


@given(st.text(max_size=200))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        compile_policies({"rules.cedar": text})
    except Refused:
        return
    assert "permit" not in text or "//" in text


# -- Digests and plans --------------------------------------------------------------------------------


def test_the_digest_knows_names_and_texts_but_no_order() -> None:
    one = {"a.cedar": "// 1", "b.cedar": "// 2"}
    assert digest(one) == digest(dict(reversed(one.items())))
    assert len({digest(files) for files in (one, {"a.cedar": "// 1"}, {"a.cedar": "// 2", "b.cedar": "// 1"}, {})}) == 4
    assert digest({"a": "b", "c": "d"}) != digest({"a": 'b","c":"d'})
    assert compile_policies(one).digest == digest(one)
    assert digest(one).startswith("sha256:")
    assert len(digest(one)) == 71


def test_a_plan_names_what_was_added_removed_and_changed() -> None:
    old = compile_policies({"a.cedar": f'@id("stays") {READS}; @id("goes") {READS}; @id("turns") {READS};'})
    new = compile_policies(
        {
            "a.cedar": f'// why\n@id("turns") forbid (principal, action, resource);\n@id("stays")\n{READS};',
            "b.cedar": f'@id("comes") {READS};',
        }
    )
    assert plan(old, new) == (
        ("added", "comes", "b.cedar"),
        ("removed", "goes", "a.cedar"),
        ("changed", "turns", "a.cedar"),
    )
    assert plan(old, old) == ()
    assert [change.change for change in plan(old, compile_policies({"z.cedar": old.files["a.cedar"]}))] == [
        "changed"
    ] * 3


def test_a_refused_set_leaves_nothing_behind() -> None:
    active = compile_policies(starter_policies())
    before = (active.digest, ask(active, person(), "DescribeRepository", dataset()))
    with pytest.raises(Malformed):
        compile_policies({**starter_policies(), "zz.cedar": EVERYTHING + " permit (principal, action, resource);"})
    assert (active.digest, ask(active, person(), "DescribeRepository", dataset())) == before
    assert compile_policies(starter_policies()).digest == active.digest
