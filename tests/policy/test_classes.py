"""Access classes: documents of one class are decided alike, by any policies, for anybody."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.decision import Allow
from nomoat.core.names import Classification
from nomoat.core.operation import AccessClasses, Target
from nomoat.core.principal import Principal
from nomoat.policy.classes import class_of, footprint, permitted
from nomoat.policy.engine import decide
from tests.policy.world import compiled, context, document, person

READ = "ReadPassages"
LABELS = ("a", "b", "c")
CONDITIONS = (
    'resource.labels.contains("a")',
    'resource.labels.containsAny(["a", "b"])',
    'resource.labels.containsAll(["b", "c"])',
    'resource.labels == ["c"]',
    "resource.labels.isEmpty()",
    "principal.clearance >= resource.classification",
    "resource.listed && !resource.shared",
    "resource.owned",
    'resource == NoMoat::Document::"handbook:d1"',
    'resource in NoMoat::Index::"handbook"',
    "resource has owner_group && principal in resource.owner_group",
    "(if principal.clearance > 1 then resource else resource).classification < 2",
    '[resource].contains(NoMoat::Document::"handbook:d2")',
    "resource.labels.contains(principal.segment)",
    "context.auth_age < 100",
    'resource == NoMoat::Document::"other" || resource == NoMoat::Document::"other-0"',
    'resource is NoMoat::Document in NoMoat::Document::"handbook:d1"',
    'resource in [NoMoat::Document::"handbook:d3", NoMoat::Document::"other"]',
    "{a: resource, labels: [1]}.a.shared",
    'resource.labels.containsAny(if resource.owned then ["a"] else ["c"])',
    '["a", "b"].containsAll(resource.labels)',
    '(if principal.clearance > 1 then resource.labels else ["b"]).contains("b")',
    "resource.classification * 9223372036854775807 > 5",
    'resource has owner_group && resource.owner_group == NoMoat::Group::"team"',
    "[resource.owned, resource.listed].contains(true) && {x: resource.classification}.x < 2",
    "(if resource.listed then resource.classification else 0) < 1",
    '(if resource.shared then NoMoat::Document::"handbook:d2" else resource) == resource',
)
policies = st.lists(
    st.tuples(st.sampled_from(["permit", "forbid"]), st.sampled_from(CONDITIONS), st.sampled_from(["when", "unless"])),
    min_size=1,
    max_size=4,
).map(
    lambda rules: "\n".join(
        f'@id("p{number}") {effect} (principal, action == NoMoat::Action::"{READ}", resource) {clause} {{ {condition} }};'
        for number, (effect, condition, clause) in enumerate(rules)
    )
)
targets = st.builds(
    lambda name, level, labels, listed, shared, owned, group: document(
        name, listed=listed, shared=shared, owned=owned, classification=level, labels=labels, owner_group=group
    ),
    st.sampled_from(["d1", "d2", "d3"]),
    st.sampled_from(Classification),
    st.frozensets(st.sampled_from(LABELS)),
    *(st.booleans(),) * 3,
    st.sampled_from(["", "team"]),
)
people = st.builds(
    lambda groups, level: person("ada", *groups, clearance=level),
    st.sets(st.sampled_from(["team", "other"])),
    st.sampled_from(Classification),
)


@settings(max_examples=300, deadline=None)
@given(policies, st.lists(targets, min_size=1, max_size=8), people)
def test_what_stands_for_a_document_is_decided_as_the_document(text: str, on: list[Target], who: Principal) -> None:
    snapshot = compiled(text)
    read = footprint(snapshot, READ, "Document")
    stand_in = [class_of(each, read) for each in on]
    plain = [isinstance(decide(snapshot, who, READ, (each,), context()), Allow) for each in on]
    assert permitted(snapshot, who, READ, AccessClasses(stand_in), context()) == {
        number for number, allowed in enumerate(plain) if allowed
    }


def test_labels_that_no_policy_asks_for_make_no_classes() -> None:
    read = footprint(
        compiled(
            f'@id("p") permit (principal, action == NoMoat::Action::"{READ}", resource)'
            ' when { resource.labels.contains("a") };'
        ),
        READ,
        "Document",
    )
    assert class_of(document(labels=frozenset({"a", "b"})), read) == class_of(
        document("d9", labels=frozenset("ac")), read
    )
    assert class_of(document(labels=frozenset("b")), read) != class_of(document(labels=frozenset("a")), read)


def test_a_policy_about_other_things_makes_no_classes() -> None:
    read = footprint(
        compiled(
            '@id("p") permit (principal, action == NoMoat::Action::"ReadFile", resource) when { resource.labels.isEmpty() };'
        ),
        READ,
        "Document",
    )
    assert not read.reads("labels")
