"""Mails in an index: hundreds of lists of readers, and each finds exactly the mails that they are from or to."""

import mailbox
import re
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from bench.mails import documents, measured, write
from examples.mails import INDEX, declaration, lay_out, mails, main
from tests.cli.live import Caller
from tests.documents.correspondence import DOMAIN, Letter, correspondence
from tests.hub.live import ADMIN
from tests.retrieval.conftest import Library
from tests.retrieval.test_guide import GUIDE

MAILS, PEOPLE = 90, 20
READERS = tuple(f"p{number:03d}@{DOMAIN}" for number in range(0, PEOPLE, 4))


@pytest.fixture(scope="module")
def letters() -> list[Letter]:
    return list(correspondence(MAILS, PEOPLE))


def boxed(path: Path, letters: list[Letter]) -> None:
    with closing(mailbox.mbox(path)) as made:
        for letter in letters:
            made.add(letter.content)


@pytest.fixture
def box(tmp_path: Path, letters: list[Letter]) -> Path:
    """The mails in one mbox; each is known by its place there."""
    boxed(tmp_path / "all.mbox", letters)
    return tmp_path / "all.mbox"


def theirs(letters: list[Letter]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for number, letter in enumerate(letters):
        for person in letter.people:
            found[person].add(f"all.mbox/{number:06d}.eml")
    return found


def test_each_of_many_readers_finds_exactly_their_mails(tmp_path: Path) -> None:
    made = list(correspondence(600, 60))
    read = documents(write(tmp_path, 600, 60))
    assert {each.name: each.access.readers for each in read} == {
        letter.name: frozenset(f"person:{each}" for each in letter.people) for letter in made
    }
    told = measured(read)
    assert (told.mails, told.readers) == (600, 60)
    assert told.lists > 400
    assert told.classes <= 2, "a list of readers is no class of its own"
    assert (told.exact, told.alone) == (1.0, 1.0)


@pytest.fixture(scope="module")
def posted(library: Library, letters: list[Letter], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The mails are laid out and put in by the commands of the guide."""
    place = tmp_path_factory.mktemp("mails")
    boxed(place / "all.mbox", letters)
    (fence,) = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    script, apply, add = fence.splitlines()
    assert script.startswith("python -m examples.mails ")
    caller, profiles = Caller(library.live.root / "home"), library.live.profiles
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(script.split()[3:]) == 0
        for command, profile in (([*apply.split()[1:], "--yes"], ADMIN), (add.split()[2:], "librarian")):
            said = caller.nomoat(*command, "--profile", profiles[profile].name)
            assert said.code == 0, said.err
    for name in READERS:
        library.live.join(f"person:{name}")


@pytest.mark.usefixtures("posted")
@pytest.mark.parametrize("reader", READERS)
def test_through_a_gateway_each_reader_finds_exactly_their_mails(
    library: Library, letters: list[Letter], reader: str
) -> None:
    mine = theirs(letters)[reader]
    assert 0 < len(mine) < 50, "an answer holds as many"
    assert set(library.found(reader, "colleagues", index=INDEX, max_num_results=50)) == mine
    other = next(number for number, letter in enumerate(letters) if reader not in letter.people)
    hidden = library.search(reader, f"case{other}", index=INDEX, ranking_options={"ranker": "keyword"})
    nothing = library.search(reader, "case99999", index=INDEX, ranking_options={"ranker": "keyword"})
    assert [cast("dict[str, Any]", each[1])["data"] for each in (hidden, nothing)] == [[], []]


def test_a_folder_and_an_mbox_are_laid_out_byte_for_byte(tmp_path: Path, box: Path, letters: list[Letter]) -> None:
    laid = lay_out(box, tmp_path / "out")
    assert (laid.mails, laid.people, laid.others) == (MAILS, PEOPLE, 0)
    assert laid.lists == len({letter.people for letter in letters})
    written = sorted((tmp_path / "out" / INDEX).rglob("*.eml"))
    assert [path.read_bytes().strip() for path in written] == [letter.content.strip() for letter in letters]


def test_names_are_ones_that_an_index_takes_and_other_files_are_counted(tmp_path: Path) -> None:
    (letter,) = correspondence(1, 10)
    for name in ("inbox/1.", "in@box/2#", ".hidden/3.eml"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(letter.content)
    (tmp_path / "in" / "notes.txt").write_text("no mail at all\n")
    (tmp_path / "in" / "elsewhere").symlink_to(tmp_path / "in" / "inbox" / "1.")
    found = list(mails(tmp_path / "in"))
    assert [each.name for each in found if each] == ["_hidden/3.eml", "in_box/2_.eml", "inbox/1.eml"]
    assert found.count(None) == 1


def test_people_are_declared_as_far_as_they_can_be(tmp_path: Path, box: Path) -> None:
    assert lay_out(box, tmp_path / "out", "elsewhere.example").people == 0
    told = declaration(["ann@acme.example", "o'brien@acme.example", "ann@acme.example"])
    assert told.count("[[person]]") == 1
    assert "brien" not in told


def test_what_is_there_already_is_left_alone(tmp_path: Path, box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(box), str(tmp_path)])
    assert "is there already" in capsys.readouterr().err
