"""What a Hub client sends is parsed strictly, within limits, and while it arrives."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.core.errors import (
    Conflict,
    Malformed,
    NoMoatError,
    NotFound,
    NotPermitted,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from nomoat.core.operation import Change
from nomoat.protocols.hub import error_headers
from nomoat.protocols.hub.answers import parse_cursor, write_cursor
from nomoat.protocols.hub.commits import (
    LONGEST_LINE,
    MOST_CONTENT,
    CommitBody,
    ContentBudget,
    parse_commit,
)
from nomoat.protocols.hub.ignoring import MOST_RULES, IgnoreRules
from nomoat.protocols.hub.ranges import parse_range
from nomoat.resources.repositories.resolution import MOST_CHANGES

HEADER = {"key": "header", "value": {"summary": "title", "description": ""}}


# -- ranges ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (None, None)),
        ("bytes=0-0", (0, 0)),
        ("bytes=5-", (5, None)),
        ("Bytes = 5-9", (None, None)),
        ("BYTES=5-9", (5, 9)),
        ("bytes=-7", (-7, None)),
        ("bytes=-0", (sys.maxsize, None)),
        ("bytes=-", (None, None)),
        ("bytes=9-5", (None, None)),
        ("bytes=0-1,4-5", (None, None)),
        ("bytes=-1-2", (None, None)),
        ("bytes=0x1-2", (None, None)),
        ("bytes=\u0661-\u0662", (None, None)),
        ("lines=0-1", (None, None)),
        ("bytes=" + "9" * 400 + "-", (None, None)),
        ("bytes=0-" + "9" * 18, (0, 10**18 - 1)),
        ("", (None, None)),
    ],
)
def test_one_range_of_bytes_or_everything(header: str | None, expected: tuple[int | None, int | None]) -> None:
    assert parse_range(header) == expected


@given(st.text(alphabet="bytes=-0123456789, ", max_size=30))
def test_no_range_header_is_an_error(header: str) -> None:
    first, last = parse_range(header)
    assert last is None or (first is not None and 0 <= first <= last)


# -- commits --------------------------------------------------------------------------------------------


async def chunks(parts: Iterable[bytes], taken: list[int] | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        if taken is not None:
            taken.append(len(part))
        yield part


def ndjson(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def parsed(*parts: bytes, budget: ContentBudget | None = None) -> CommitBody:
    with (budget or ContentBudget()).share() as share:
        return asyncio.run(parse_commit(chunks(parts), share))


def file(path: str, content: bytes) -> dict[str, object]:
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}}


EVERYTHING = ndjson(
    {"key": "header", "value": {"summary": "title", "description": "d", "parentCommit": "a" * 40}},
    file("a.txt", b"content"),
    {"key": "file", "value": {"path": "b.txt", "content": "plain"}},
    {"key": "lfsFile", "value": {"path": "c.bin", "algo": "sha256", "oid": "0" * 64, "size": 7}},
    {"key": "lfsFile", "value": {"path": "copy.bin", "algo": "sha256", "oid": "1" * 64}},
    {"key": "deletedFile", "value": {"path": "d"}},
    {"key": "deletedFolder", "value": {"path": "e/"}},
)


@given(cut=st.lists(st.integers(0, len(EVERYTHING)), max_size=6))
def test_a_commit_means_the_same_however_it_arrives(cut: list[int]) -> None:
    edges = [0, *sorted(cut), len(EVERYTHING)]
    parts = [EVERYTHING[start:end] for start, end in pairwise(edges)]
    assert parsed(*parts) == CommitBody(
        "title",
        "a" * 40,
        (
            Change("a.txt", content=b"content"),
            Change("b.txt", content=b"plain"),
            Change("c.bin", digest="0" * 64, size=7),
            Change("copy.bin", digest="1" * 64, size=-1),
            Change("d", removal=True),
            Change("e", removal=True, folder=True),
        ),
    )


def test_the_last_line_may_lack_its_end() -> None:
    assert parsed(EVERYTHING.rstrip(b"\n")) == parsed(EVERYTHING) == parsed(EVERYTHING + b"\n")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"{}",
        b"[]\n",
        b"null\n",
        b"\xff\xfe\n",
        b"[" * 100_000,
        b'{"a":' * 5_000,
        ndjson(file("a", b"x")),
        ndjson(HEADER, HEADER),
        ndjson({"key": "header", "value": {"summary": 1}}),
        ndjson({"key": "header", "value": {"summary": "s" * 1001}}),
        ndjson({"key": "header", "value": {"summary": "s", "parentCommit": "main"}}),
        ndjson(HEADER, {"key": "file"}),
        ndjson(HEADER, {"key": "exec", "value": {"path": "a"}}),
        ndjson(HEADER, {"key": {"__entity": {"type": "NoMoat::Group", "id": "g"}}, "value": {"path": "a"}}),
        ndjson(HEADER, {"key": "file", "value": {"path": {"__entity": {"type": "Person", "id": "x"}}, "content": ""}}),
        ndjson(HEADER, {"key": "file", "value": {"path": "a", "content": "%%%", "encoding": "base64"}}),
        ndjson(HEADER, {"key": "file", "value": {"path": "a", "content": "YQ", "encoding": "base64"}}),
        ndjson(HEADER, {"key": "file", "value": {"path": "a", "content": "a", "encoding": "rot13"}}),
        ndjson(HEADER, {"key": "file", "value": {"path": "a", "content": 7}}),
        ndjson(HEADER, {"key": "lfsFile", "value": {"path": "a", "oid": "0" * 63, "size": 1}}),
        ndjson(HEADER, {"key": "lfsFile", "value": {"path": "a", "oid": "A" * 64, "size": 1}}),
        ndjson(HEADER, {"key": "lfsFile", "value": {"path": "a", "oid": "0" * 64, "size": -1}}),
        ndjson(HEADER, {"key": "lfsFile", "value": {"path": "a", "oid": "0" * 64, "size": True}}),
        ndjson(HEADER, {"key": "lfsFile", "value": {"path": "a", "oid": "0" * 64, "size": 1.5}}),
        ndjson(HEADER, {"key": "lfsFile", "value": {"path": "a", "algo": "md5", "oid": "0" * 64, "size": 1}}),
        *(
            ndjson(HEADER, {"key": key, "value": {"path": path, "content": "", "oid": "0" * 64}})
            for key in ("file", "lfsFile", "deletedFile", "deletedFolder")
            for path in ("", "/a", "../a", "a/../b", "a//b", ".git/config", "a/.GIT/x", "a\\b", "a\nb", "\0", "x" * 513)
        ),
    ],
)
def test_what_is_not_exactly_a_commit_is_refused(body: bytes) -> None:
    with pytest.raises((Malformed, TooLarge)):
        parsed(body)


@pytest.mark.parametrize(
    "bomb",
    [
        [b"x" * 65536],
        [b"\n" * 65536],
        [ndjson(HEADER), b'{"key":"file","value":{"content":"', b"A" * 65536],
        [ndjson(HEADER), ndjson({"key": "deletedFile", "value": {"path": "a"}}) * 1000],
        [ndjson(HEADER), ndjson(file("a", b"x" * 1_000_000))],
    ],
    ids=["one endless line", "endless lines", "one endless content", "endless changes", "endless contents"],
)
def test_an_ndjson_bomb_is_refused_while_it_arrives(bomb: list[bytes]) -> None:
    taken: list[int] = []

    def endless() -> Iterable[bytes]:
        yield from bomb[:-1]
        while sum(taken) < 128 << 20:
            yield bomb[-1]

    async def feed() -> None:
        with ContentBudget().share() as share:
            await parse_commit(chunks(endless(), taken), share)

    with pytest.raises(TooLarge):
        asyncio.run(feed())
    assert sum(taken) <= max(LONGEST_LINE + 2 * 65536, MOST_CONTENT * 4 // 3 + (2 << 20))


def test_all_commits_together_have_a_budget_that_is_given_back() -> None:
    budget = ContentBudget(most=100)
    body = ndjson(HEADER, file("a", b"x" * 60))
    with budget.share() as other:
        other.take(60)
        with pytest.raises(Unavailable):
            parsed(body, budget=budget)
    for _ in range(3):
        assert len(parsed(body, budget=budget).changes) == 1


def test_more_changes_than_may_be_decided_are_refused() -> None:
    line = ndjson({"key": "deletedFile", "value": {"path": "a"}})
    assert len(parsed(ndjson(HEADER) + line * MOST_CHANGES).changes) == MOST_CHANGES
    with pytest.raises(TooLarge):
        parsed(ndjson(HEADER) + line * (MOST_CHANGES + 2))


# -- .gitignore -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "ignored", "kept"),
    [
        ("*.pyc\n", ["a.pyc", "x/y/a.pyc"], ["a.py", "a.pyc.txt"]),
        ("build/\n", ["build/a", "x/build/a/b"], ["build", "builds/a"]),
        ("/build\n", ["build", "build/a"], ["x/build"]),
        ("a/b\n", ["a/b", "a/b/c"], ["x/a/b"]),
        ("a/**/b\n", ["a/b", "a/x/b", "a/x/y/b"], ["x/a/b", "a/c"]),
        ("**/logs\n", ["logs", "x/logs", "x/logs/y"], ["logs2"]),
        ("*\n!keep.txt\n", ["a", "b/keep.txt"], ["keep.txt"]),
        ("x/\n!x/keep\n", ["x/keep"], []),
        ("x/*\n!x/keep\n", ["x/other"], ["x/keep"]),
        ("# comment\n\n  \n", [], ["# comment", "a"]),
        ("\\#file\n\\!file\n", ["#file", "!file"], ["file"]),
        ("trailing   \n", ["trailing"], ["trailing   x"]),
        ("*.[oa]\n", ["x.o", "x.a"], ["x.c"]),
        ("secret?\n", ["secret1"], ["secret", "secret/1"]),
        ("\\*\n", ["*"], ["a"]),
    ],
)
def test_gitignore_rules(rules: str, ignored: list[str], kept: list[str]) -> None:
    matcher = IgnoreRules(rules)
    assert [path for path in ignored + kept if matcher.ignores(path)] == ignored


def test_too_many_rules_are_refused() -> None:
    with pytest.raises(TooLarge):
        IgnoreRules("a\n" * (MOST_RULES + 1))
    with pytest.raises(TooLarge):
        IgnoreRules("#" * 70_000)


# -- cursors and errors -----------------------------------------------------------------------------------


@given(
    st.text(alphabet=st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\."), min_size=1, max_size=99)
)
def test_a_cursor_comes_back_as_it_was(path: str) -> None:
    assert parse_cursor(write_cursor(path)) == path


@pytest.mark.parametrize("text", ["", "*", "Lw", "Li4vYQ", "_w", "YQ=", "é", "a"])
def test_a_cursor_that_was_not_ours_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_cursor(text)


@pytest.mark.parametrize(
    "error",
    [
        NotFound("line\r\nX-Evil: 1", kind="entry"),
        NotPermitted("päth/文件 may not"),
        Conflict("x" * 5000),
        Unauthenticated("\0", kind="missing"),
        Unavailable("log", "\u2028"),
    ],
)
def test_no_sentence_breaks_a_header(error: NoMoatError) -> None:
    for value in error_headers(error).values():
        value.encode("latin-1")
        assert value.isprintable()
        assert len(value) < 1100


def test_a_client_tells_errors_apart_by_their_codes() -> None:
    assert error_headers(NotFound("x", kind="repository"))["X-Error-Code"] == "RepoNotFound"
    assert error_headers(NotFound("x", kind="revision"))["X-Error-Code"] == "RevisionNotFound"
    missing = error_headers(NotFound("x", kind="entry", version="c" * 40))
    assert (missing["X-Error-Code"], missing["X-Repo-Commit"]) == ("EntryNotFound", "c" * 40)
    assert "X-Error-Code" not in error_headers(NotFound("x", kind="route"))
    assert error_headers(NotPermitted("x"), "unknown/None; hf_hub/1.0.0")["X-Error-Code"] == "GatedRepo"
    assert error_headers(NotPermitted("x"), "huggingface-cli/1.0.0; hf_hub/1.0.0") == {"X-Error-Message": "refused: x"}
    expired = error_headers(Unauthenticated("expired", kind="expired"))
    assert expired == {"X-Error-Message": "Invalid credentials in Authorization header"}
