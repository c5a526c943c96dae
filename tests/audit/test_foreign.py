"""Verifiers that are not ours: they accept our checkpoints, tiles and proofs, and reject every change to them.

tlog-scales always; Go's checksum database where Go and its packages are installed (Debian: golang-go,
golang-golang-x-mod-dev).
"""

import asyncio
import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint, ConsistencyProof, InclusionProof

from nomoat.audit.checkpoint import WITNESS_KEY, NoteSigner, sign_checkpoint
from nomoat.audit.tree import EMPTY_ROOT, Frontier, Head, leaf_hash
from tests.audit.published import OLDER, PLACES, RECORDS, Published, publish

GO = Path("/usr/share/gocode")
PROGRAM = Path(__file__).parent / "sumdb" / "main.go"


@dataclass(frozen=True)
class Question:
    """Something to be judged. `kind` is note, record or tree."""

    kind: str
    size: int
    root: bytes
    proof: tuple[bytes, ...] = ()
    index: int = 0
    leaf: bytes = bytes(32)
    old: int = 0
    old_root: bytes = bytes(32)
    note: bytes = b""
    key: str = ""


Judge = Callable[[Sequence[Question]], list[bool]]


def by_scales(questions: Sequence[Question]) -> list[bool]:
    return [_accepts(question) for question in questions]


def _accepts(question: Question) -> bool:
    try:
        match question.kind:
            case "note":
                checkpoint = Checkpoint.from_text(question.note.decode())
                vkey = Vkey.from_string(question.key)
                checkpoint.verify(vkey)
                # It verifies what it parsed, not what it was given; a changed byte that it reads over is no change.
                same = checkpoint.serialize().encode() == question.note
                return same and (checkpoint.origin, checkpoint.size, checkpoint.root_hash) == (
                    vkey.name,
                    question.size,
                    question.root,
                )
            case "record":
                included = InclusionProof(question.index, question.size, list(question.proof))
                included.check(question.leaf, question.root)
            case _:
                extends = ConsistencyProof(question.old, question.size, list(question.proof))
                extends.check(question.old_root, question.root)
    except Exception:  # noqa: BLE001 - whatever a foreign verifier raises, it did not accept
        return False
    return True


def by_go(program: Path) -> Judge:
    def judge(questions: Sequence[Question]) -> list[bool]:
        lines = "".join(json.dumps(_as_json(question)) + "\n" for question in questions)
        done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True, timeout=120)
        answers = done.stdout.splitlines()
        assert len(answers) == len(questions), done.stderr
        return [answer == "accepted" for answer in answers]

    return judge


def text(value: bytes) -> str:
    return b64encode(value).decode()


def _as_json(question: Question) -> dict[str, object]:
    return {
        "Kind": question.kind,
        "Key": question.key,
        "Note": text(question.note),
        "Size": question.size,
        "Root": text(question.root),
        "Proof": [text(step) for step in question.proof],
        "Index": question.index,
        "Leaf": text(question.leaf),
        "Old": question.old,
        "OldRoot": text(question.old_root),
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return asyncio.run(publish(tmp_path_factory.mktemp("published")))


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("go")
    if compiler is None or not (GO / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("Go's sumdb is not installed (Debian: golang-go, golang-golang-x-mod-dev)")
    built = tmp_path_factory.mktemp("go")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": str(GO),
        "GOCACHE": str(built / "cache"),
        "GOFLAGS": "",
    }
    command = [compiler, "build", "-o", str(built / "sumdb"), str(PROGRAM)]
    subprocess.run(command, env=environment, check=True, timeout=300)
    return built / "sumdb"


@pytest.fixture(params=["tlog-scales", "go"])
def judge(request: pytest.FixtureRequest) -> Judge:
    return by_scales if request.param == "tlog-scales" else by_go(request.getfixturevalue("go"))


# -- What is right -------------------------------------------------------------------------------------


def notes(published: Published) -> list[Question]:
    head = published.head
    return [Question("note", head.size, head.root, note=published.note, key=published.key)]


def records(published: Published) -> list[Question]:
    head = published.head
    return [
        Question("record", head.size, head.root, tuple(published.inclusion[place]), place, published.leaves[place])
        for place in PLACES
    ]


def trees(published: Published) -> list[Question]:
    head = published.head
    return [
        Question(
            "tree",
            head.size,
            head.root,
            tuple(published.consistency[old]),
            old=old,
            old_root=published.heads[old].root,
        )
        for old in OLDER
    ]


def test_a_foreign_verifier_accepts_ours(published: Published, judge: Judge) -> None:
    assert published.head.size == RECORDS
    questions = notes(published) + records(published) + trees(published)
    assert [question for question, accepted in zip(questions, judge(questions), strict=True) if not accepted] == []


# -- What is not ---------------------------------------------------------------------------------------


def flipped(value: bytes) -> Iterator[bytes]:
    for at in range(0, len(value), 7):
        yield value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]


def wrong_proofs(proof: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    for at, step in enumerate(proof):
        yield proof[:at] + proof[at + 1 :]
        yield from ((*proof[:at], other, *proof[at + 1 :]) for other in (bytes(32), *flipped(step)))
        if at and proof[at - 1] != step:
            yield (*proof[: at - 1], step, proof[at - 1], *proof[at + 1 :])
    yield (*proof, bytes(32))
    yield (bytes(32), *proof)


def mutated(question: Question) -> Iterator[Question]:
    """Every kind of lie about one thing that is true."""
    if question.kind == "note":
        # Bits of the text, of the key's id and of the signature; the last base64 digit holds unused bits.
        for at in range(len(question.note)):
            changed = bytearray(question.note)
            changed[at] ^= 1
            yield replace(question, note=bytes(changed))
        return
    for proof in wrong_proofs(question.proof):
        yield replace(question, proof=proof)
    for root in flipped(question.root):
        yield replace(question, root=root)
    if question.kind == "record":
        yield from (replace(question, leaf=leaf) for leaf in flipped(question.leaf))
        yield from (replace(question, index=other) for other in PLACES if other != question.index)
        yield replace(question, index=question.size)
    elif question.old != question.size:
        yield from (replace(question, old_root=root) for root in flipped(question.old_root))
        yield from (replace(question, old=other) for other in OLDER if other != question.old)


@pytest.mark.parametrize("kind", [notes, records, trees])
def test_a_foreign_verifier_rejects_every_mutation(
    published: Published, judge: Judge, kind: Callable[[Published], list[Question]]
) -> None:
    lies = [lie for question in kind(published) for lie in mutated(question)]
    assert len(lies) > 100
    assert [lie for lie, accepted in zip(lies, judge(lies), strict=True) if accepted] == []


def test_the_edges(judge: Judge) -> None:
    """An empty leaf, one leaf, the same size; an old size of 0, which a textbook verifier does not take."""
    frontier = Frontier()
    frontier.extend([leaf_hash(b"")])
    one = frontier.head()
    signer = NoteSigner("edge.example/log", bytes(range(32)))
    empty = Question("note", 0, EMPTY_ROOT, note=sign_checkpoint(signer, Head(0, EMPTY_ROOT)), key=str(signer.key))
    alone = Question("record", 1, one.root, (), 0, leaf_hash(b""))
    itself = Question("tree", 1, one.root, (), old=1, old_root=one.root)
    assert judge([empty, alone, itself]) == [True, True, True]
    assert judge([replace(alone, proof=(bytes(32),)), replace(alone, leaf=bytes(32))]) == [False, False]
    # Go refuses an old size of 0 altogether, the other one takes exactly the empty root and an empty proof.
    begins = Question("tree", 1, one.root, (), old=0, old_root=EMPTY_ROOT)
    assert judge([begins]) == [judge is by_scales]
    assert judge([replace(begins, old_root=bytes(32)), replace(begins, proof=(bytes(32),))]) == [False, False]


# -- Tiles ---------------------------------------------------------------------------------------------


def test_a_foreign_monitor_rebuilds_the_log_from_its_tiles(published: Published) -> None:
    reader = TilesReader(LocalBackend(published.directory))
    reader.get_checkpoint().verify(Vkey.from_string(published.key))
    assert reader.calculate_root_hash() == published.head.root
    for place in PLACES:
        entry = reader.get_entry(place)
        assert leaf_hash(entry) == published.leaves[place]
        assert json.loads(entry)["n"] == place
        assert reader.get_inclusion_proof(place, published.head.size).node_hashes == published.inclusion[place]
    for old in OLDER:
        assert reader.get_consistency_proof(old, published.head.size).node_hashes == published.consistency[old]


def tiles_question(published: Published, directory: Path) -> str:
    head = published.head
    asked = {"Kind": "tiles", "Directory": str(directory), "Size": head.size, "Root": b64encode(head.root).decode()}
    return json.dumps(asked) + "\n"


def test_go_reads_every_leaf_from_the_tiles_and_no_changed_tile(published: Published, go: Path, tmp_path: Path) -> None:
    def ask(directory: Path) -> str:
        question = tiles_question(published, directory)
        return subprocess.run([go], input=question, capture_output=True, text=True, check=True, timeout=60).stdout

    assert ask(published.directory) == "accepted\n"
    copy = Path(shutil.copytree(published.directory, tmp_path / "copy"))
    for path in sorted(path for path in (copy / "tile").rglob("*") if path.is_file() and "entries" not in path.parts):
        data = path.read_bytes()
        path.write_bytes(data[:33] + bytes([data[33] ^ 1]) + data[34:])  # in the second hash
        assert ask(copy).startswith("rejected"), path
        path.write_bytes(data)


def test_a_foreign_verifier_takes_our_witness_s_cosignature(published: Published) -> None:
    witness = NoteSigner("witness.example/w1", bytes(range(32, 64)), WITNESS_KEY)
    signed = published.note.partition(b"\n\n")[0] + b"\n"
    for at in (1_795_000_000, 0):
        cosigned: Any = Checkpoint.from_text((published.note + witness.cosign(signed, at)).decode())
        cosigned.verify(Vkey.from_string(str(witness.key)))
    forged: Any = Checkpoint.from_text((published.note + witness.cosign(signed + b"\n", 1)).decode())
    with pytest.raises(Exception):  # noqa: B017 - cryptography's
        forged.verify(Vkey.from_string(str(witness.key)))
