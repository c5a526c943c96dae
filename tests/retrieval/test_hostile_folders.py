"""Folders that somebody else writes into, and rules that are not quite what they are meant to be."""

import os
from pathlib import Path

import pytest

from nomoat.client.folders import LARGEST, Access, DocumentFile
from tests.cli.live import Caller
from tests.retrieval.conftest import Library

SHELF = "shelf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = tmp_path / "docs/plans/next.md"
    file.parent.mkdir(parents=True)
    file.write_text("an echidna stands here")
    return tmp_path / "docs"


def added(library: Library, folder: Path) -> tuple[int, str]:
    said = Caller(library.live.root / "home").nomoat(
        "index", "add", SHELF, str(folder), "--profile", library.live.profiles["librarian"].name
    )
    return said.code, said.err


@pytest.mark.parametrize(
    "rule",
    [
        'labels = "legal"',
        'readers = "person:ada"',
        "classification = 3",
        "owner = true",
        "labels = [1]",
        "readers = {}",
    ],
)
def test_attack_a_rule_of_another_type_is_taken_for_another_rule(library: Library, folder: Path, rule: str) -> None:
    """`labels = "legal"` would be five labels of a letter each, which no policy asks for."""
    (folder / ".access.toml").write_text(f'[[file]]\npath = "*"\n{rule}\n')
    code, err = added(library, folder)
    assert code != 0
    assert rule.partition(" ")[0] in err
    assert library.found("ada", "echidna", index=SHELF) == []


def test_attack_rules_in_a_folder_below_are_believed_to_protect(library: Library, folder: Path) -> None:
    (folder / "plans/.access.toml").write_text('[[file]]\npath = "*"\nclassification = "confidential"\n')
    code, err = added(library, folder)
    assert code != 0
    assert "plans/.access.toml" in err
    assert library.found("bob", "echidna", index=SHELF) == []


def test_attack_a_name_is_encoded_otherwise_than_the_rule_for_it(library: Library, folder: Path) -> None:
    (folder / "lo\u0308hne").mkdir()  # as macOS writes an ö
    (folder / "lo\u0308hne/mai.md").write_text("an echidna is paid")
    (folder / ".access.toml").write_text('[[file]]\npath = "l\u00f6hne/*"\nclassification = "confidential"\n')
    assert added(library, folder)[0] == 0
    assert library.found("bob", "echidna", index=SHELF) == ["plans/next.md"]


def test_attack_a_file_is_a_link_by_the_time_it_is_read(folder: Path, tmp_path: Path) -> None:
    """Who may write into the folder would have what whoever puts it in may read, as a document of their own."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "next.md").write_text("the key is under the mat")
    file = DocumentFile("plans/next.md", folder, Access())
    assert file.content() == b"an echidna stands here"
    (folder / "plans/next.md").unlink()
    (folder / "plans/next.md").symlink_to(secret / "next.md")
    with pytest.raises(OSError):
        file.content()
    (folder / "plans/next.md").unlink()
    (folder / "plans").rmdir()
    (folder / "plans").symlink_to(secret)
    with pytest.raises(OSError):
        file.content()
    (folder / "plans").unlink()
    (folder / "plans").mkdir()
    os.mkfifo(folder / "plans/next.md")
    with pytest.raises(OSError):
        file.content()
    (folder / "plans/next.md").unlink()
    (folder / "plans/next.md").mkdir()
    with pytest.raises(OSError):
        file.content()


def test_attack_a_file_has_grown_by_the_time_it_is_read(folder: Path) -> None:
    with (folder / "plans/next.md").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(OSError, match="too large"):
        DocumentFile("plans/next.md", folder, Access()).content()
