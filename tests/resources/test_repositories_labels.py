"""A file's labels come from its path and the declaration alone."""

import time
from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from nomoat.core.directory import FileRule, Repository
from nomoat.core.lifecycle import Stage
from nomoat.core.names import Classification, RepositoryKind, RepositoryName
from nomoat.resources.repositories.labels import Version, file_target, matches, repository_target

NAME = RepositoryName(RepositoryKind.DATASET, "acme", "digits")
REPOSITORY = Repository(
    NAME,
    Classification.CONFIDENTIAL,
    frozenset({"approved"}),
    owner_group="engineers",
    files=(
        FileRule("**/*.json", frozenset({"text"})),
        FileRule("metrics.json", frozenset({"metrics"}), Classification.INTERNAL),
        FileRule("raw/**", frozenset(), Classification.RESTRICTED),
    ),
)

segments = st.text(alphabet="ab*?.", min_size=1, max_size=4)
paths = st.lists(st.text(alphabet="ab.", min_size=1, max_size=3), min_size=1, max_size=5)


def test_a_file_has_its_repository_s_labels_and_those_of_every_rule_that_matches() -> None:
    metrics = file_target(REPOSITORY, "metrics.json")
    assert metrics.labels == {"approved", "text", "metrics"}
    assert metrics.classification is Classification.INTERNAL
    assert metrics.parents == (("Dataset", "acme/digits"),)
    assert metrics.owner_group == "engineers"
    assert metrics.facts == (("repository_kind", "dataset"),)
    assert file_target(REPOSITORY, "raw/a/b.json").classification is Classification.RESTRICTED
    assert file_target(REPOSITORY, "Metrics.json").labels == {"approved", "text"}
    assert file_target(REPOSITORY, "other").classification is Classification.CONFIDENTIAL


def test_a_name_shows_the_version_of_a_read_and_none_of_a_write() -> None:
    version = Version("3f9c" * 10, Stage.APPROVED, authored=False)
    assert file_target(REPOSITORY, "a/b", version).name == "acme/digits@3f9c3f9c:a/b"
    assert file_target(REPOSITORY, "a/b").name == "acme/digits:a/b"
    assert repository_target(REPOSITORY, version).name == "acme/digits@3f9c3f9c"
    assert repository_target(REPOSITORY).kind == "Dataset"


def test_stars_stay_in_their_segment_and_double_stars_do_not() -> None:
    assert matches("*.json", "a.json")
    assert not matches("*.json", "data/a.json")
    assert matches("**/*.json", "a.json")
    assert matches("**/*.json", "x/y/a.json")
    assert matches("data/**", "data/a/b")
    assert not matches("data/**", "data")
    assert matches("a/**/b", "a/b")
    assert matches("a/**/b", "a/x/y/b")
    assert not matches("a/*/b", "a/x/y/b")
    assert matches("**", "anything/at/all")


@given(glob=st.lists(segments, min_size=1, max_size=5), path=paths)
def test_without_double_stars_each_segment_matches_by_itself(glob: list[str], path: list[str]) -> None:
    expected = len(glob) == len(path) and all(map(fnmatchcase, path, glob))
    if "**" not in glob:
        assert matches("/".join(glob), "/".join(path)) is expected


@given(before=paths, between=st.lists(st.just("x"), max_size=4), after=paths)
def test_double_stars_stand_for_any_number_of_segments(before: list[str], between: list[str], after: list[str]) -> None:
    assert matches("/".join([*before, "**", *after]), "/".join([*before, *between, *after]))


def test_no_path_makes_matching_slow() -> None:
    started = time.process_time()
    assert not matches("/".join(["**", "*a*a*a*b"] * 40), "/".join(["aaaaaa"] * 70))
    assert time.process_time() - started < 1
