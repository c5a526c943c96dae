"""Pages of a listing put together are the listing, wherever they are cut."""

from hypothesis import given
from hypothesis import strategies as st

from nomoat.resources.repositories.listing import Entry, Listing, at, below, entries_of, pages
from nomoat.stores.blob import StoredBlob
from nomoat.stores.revisions import StoredFile

FILE = StoredFile("0" * 64, 1, "", StoredBlob("0" * 32, 1, b""))
# Characters around the slash, so that a folder's files and its siblings come close.
names = st.text(alphabet="a-.0", min_size=1, max_size=2).filter(lambda name: name not in {".", ".."})


@st.composite
def trees(draw: st.DrawFn) -> list[str]:
    found: set[str] = set()
    for parts in draw(st.lists(st.lists(names, min_size=1, max_size=3), max_size=12)):
        path = "/".join(parts)
        if not any(path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in found):
            found.add(path)
    return sorted(found)


def listing(paths: list[str], under: str = "") -> Listing:
    return Listing("c" * 40, under, dict.fromkeys(paths, FILE), below(paths, under), lambda _: {})


def naive(paths: list[str], under: str, *, recursive: bool) -> set[tuple[str, bool]]:
    prefix = f"{under}/" if under else ""
    found: set[tuple[str, bool]] = set()
    for path in paths:
        if path.startswith(prefix):
            parts = path.removeprefix(prefix).split("/")
            for depth in range(1, len(parts) + 1 if recursive else 2):
                found.add((prefix + "/".join(parts[:depth]), depth == len(parts)))
    return found


def walked(of: Listing, *, recursive: bool, limit: int) -> list[Entry]:
    entries: list[Entry] = []
    after = ""
    while True:
        page = pages(of, recursive=recursive, after=after, limit=limit)
        assert len(page.entries) <= limit
        entries += page.entries
        if not page.following:
            return entries
        assert len(page.entries) == limit
        after = page.following


@given(paths=trees(), recursive=st.booleans(), limit=st.integers(1, 5), data=st.data())
def test_pages_are_the_whole_listing_once(paths: list[str], recursive: bool, limit: int, data: st.DataObject) -> None:
    folders = sorted({path.rpartition("/")[0] for path in paths} | {""})
    under = data.draw(st.sampled_from(folders))
    entries = walked(listing(paths, under), recursive=recursive, limit=limit)
    shown = [(entry.path, entry.file is not None) for entry in entries]
    assert len(shown) == len(set(shown))
    assert set(shown) == naive(paths, under, recursive=recursive)
    assert shown == [
        (entry.path, entry.file is not None) for entry in walked(listing(paths, under), recursive=recursive, limit=99)
    ]


@given(paths=trees(), folder=names)
def test_below_is_what_begins_with_the_folder(paths: list[str], folder: str) -> None:
    assert list(below(paths, folder)) == [path for path in paths if path.startswith(f"{folder}/")]
    assert list(at(paths, folder)) == [path for path in paths if path == folder]


def test_entries_of_leaves_out_what_is_not_there() -> None:
    found = entries_of(listing(["a/b", "c"]), ["c", "a", "a/b", "a/c", "", "/", "../c"])
    assert [(entry.path, entry.file is not None) for entry in found] == [("c", True), ("a", False), ("a/b", True)]
