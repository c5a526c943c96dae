"""Mails, each for whom it is from and to: what many lists of readers cost, and whether each reader finds exactly their mails.

Made ones, or those that `NOMOAT_BENCH_MAILS` names: an mbox or a folder (`examples/mails.py` says which).
"""

import asyncio
import os
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

from bench.decision import principal
from bench.measure import Figure
from examples.mails import mails
from nomoat.core.decision import Context
from nomoat.core.names import Classification
from nomoat.core.principal import Binding, Principal
from nomoat.core.retrieval import Document, Index
from nomoat.documents.formats import read
from nomoat.documents.read import Unreadable
from nomoat.policy import compile_policies, starter_policies
from nomoat.policy.classes import footprint, permitted
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.resources.retrieval.collection import Collection, Searched, Table
from nomoat.resources.retrieval.reading import Believed, File, document_of
from nomoat.retrieval.documents import vectors_of
from nomoat.retrieval.snapshot import Query
from nomoat.stores.documents import Kept, StoredDocuments
from nomoat.stores.embedders import bundled
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from tests.documents.correspondence import correspondence

Answer = TypeVar("Answer")

MADE = 1_702
PEOPLE = 150
INDEX = Index("mails", Classification.INTERNAL)
CONTEXT = Context(0, Binding.DPOP, Binding.DPOP, 0, "127.0.0.1", "s")
ASKING = 500  # readers who are asked for, at most
ALONE = 20  # of them whose answers are compared with those of an index that has their mails alone
QUERY = "who agreed about the budget of the merger"


@dataclass(frozen=True, slots=True)
class Told:
    """What was measured. Times are medians over readers, in milliseconds of CPU.

    `exact` is the share of readers who find their mails and no other, `alone` of those whose answer is that of an index of their own.
    """

    mails: int
    lists: int
    readers: int
    classes: int
    first: float
    decided: float
    gathered: float
    searched: float
    exact: float
    alone: float


def measure() -> list[Figure]:
    """Of the mails that are named, or of made ones."""
    given = os.environ.get("NOMOAT_BENCH_MAILS")
    with tempfile.TemporaryDirectory() as place:
        told = measured(documents(Path(given) if given else write(Path(place))))
    remark = f"{told.mails:,} mails, {told.lists:,} lists, {told.readers:,} readers{'' if given else ', made'}; CPU"
    return [
        Figure("readers who find exactly their mails", told.exact, "", "at least", 1.0, remark),
        Figure("readers answered as by an index of their own", told.alone, "", "at least", 1.0, remark),
        Figure("access classes of their documents", told.classes, "", "at most", 4, remark),
        Figure("classes decided for the first reader", told.first, "ms", "at most", 150, remark),
        Figure("classes decided for each other one", told.decided, "ms", "at most", 5, remark),
        Figure("what a reader may read gathered", told.gathered, "ms", "at most", 5, remark),
        Figure("top 10 by words and vector, after that", told.searched, "ms", "at most", 5, remark),
    ]


def write(place: Path, count: int = MADE, people: int = PEOPLE) -> Path:
    """Made mails in a folder."""
    for letter in correspondence(count, people):
        path = place / letter.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(letter.content)
    return place


def documents(source: Path) -> list[Document]:
    """Mails as a gateway takes them that believes them; what it could not read is left out, as it would be."""
    found: list[Document] = []
    for mail in mails(source):
        if mail is None:
            continue
        try:
            said = read(mail.name, mail.content)
        except Unreadable:
            continue
        found.append(document_of(File(mail.name, mail.content), said, INDEX, frozenset({Believed.MAIL})))
    return found


def measured(found: Sequence[Document]) -> Told:
    """Put mails into an index, ask for each reader what is theirs, and compare with whom each mail names."""
    policies, embedder = compile_policies(starter_policies()), bundled()
    kept = {each.name: Kept(each, "", asyncio.run(embedder.embed(each.passages))) for each in found}
    vector = vectors_of(asyncio.run(embedder.embed([QUERY])), 1)[0]
    query = Query(QUERY, vector)
    snapshot, table = _opened(policies, list(kept.values()))
    theirs: dict[str, set[str]] = defaultdict(set)
    for each in found:
        for reader in each.access.readers or ():
            theirs[reader].add(each.name)
    times: dict[str, list[float]] = defaultdict(list)
    exact = alone = 0
    asking = sorted(theirs)[:: max(1, len(theirs) // ASKING)]
    for number, reader in enumerate(asking):
        who = _reader(reader)
        may = _timed(times["decided"], partial(permitted, policies, who, "ReadPassages", table.classes, CONTEXT))
        scope = table.scope(who, may)
        names = _timed(times["gathered"], partial(snapshot.names, scope))
        hits = _timed(times["searched"], partial(snapshot.search, query, scope))
        exact += set(names) == theirs[reader] and {hit.name for hit in hits} <= theirs[reader]
        if number < ALONE:
            own, classes = _opened(policies, [kept[name] for name in theirs[reader]])
            everything = permitted(policies, who, "ReadPassages", classes.classes, CONTEXT)
            alone += own.search(query, classes.scope(who, everything)) == hits
    return Told(
        mails=len(found),
        lists=len({each.access.readers for each in found}),
        readers=len(theirs),
        classes=len(table.classes.targets),
        first=times["decided"][0],
        decided=median(times["decided"][1:]),
        gathered=median(times["gathered"]),
        searched=median(times["searched"]),
        exact=exact / len(asking),
        alone=alone / min(ALONE, len(asking)),
    )


def _opened(policies: PolicySnapshot, kept: Sequence[Kept]) -> tuple[Searched, Table]:
    size = len(kept[0].vectors) // 4 // len(kept[0].document.passages)
    reads = footprint(policies, "ReadPassages", "Document")
    with tempfile.TemporaryDirectory() as folder:  # of a store that nothing is put into
        state = State.create(Path(folder) / "state.db", secrets.token_bytes(32))
        collection = Collection(INDEX, StoredDocuments(state, KeyEncryptionKey(secrets.token_bytes(32))), "", size)
        state.close()
    collection.at(reads)
    collection.load(kept)
    return collection.at(reads)


def _reader(subject: str) -> Principal:
    return replace(principal(), name=subject.partition(":")[2], groups=frozenset({"index-readers"}))


def _timed(times: list[float], call: Callable[[], Answer]) -> Answer:
    begun = time.process_time()
    answer = call()
    times.append((time.process_time() - begun) * 1e3)
    return answer
