"""Searching in PostgreSQL: the nearest vectors, and BM25, of what a transaction sees.

Rules: each score is computed for its row alone, sums are in a stated order, and equal scores are told apart by names: no answer
depends on rows that are not seen. INVARIANT (one instant): a reading is of the generation that it was decided for.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, final

from sqlalchemy import Connection, text

from nomoat.core.errors import NoMoatError


class Stale(NoMoatError):
    """The index has changed since what may be read of it was decided."""


class Nearest(NamedTuple):
    """A passage and its score; `passage` is its number in the database, which leaves by no answer."""

    passage: int
    score: float
    name: str
    number: int


class Said(NamedTuple):
    """A passage as it is given out."""

    version: str
    text: str
    attributes: Mapping[str, str | float | bool]


class Statistics(NamedTuple):
    """What BM25 goes by: how many passages are permitted, and how many words each has on average."""

    passages: int
    usual: float


_GENERATION: Final = text("SELECT generation FROM nomoat.collection WHERE index = :index")
# The gateway's own condition is what finds rows quickly; without it, row-level security leaves the same ones.
_BY_VECTOR: Final = """
    SELECT p.id, -(p.vector <#> CAST(:vector AS vector)) AS score, d.name, p.number
    FROM nomoat.passage p JOIN nomoat.document d ON d.id = p.document
    WHERE {permitted} {chosen}
    ORDER BY score DESC, d.name, p.number LIMIT :most
"""
_BY_WORDS: Final = """
    WITH found AS MATERIALIZED (
        SELECT p.passage, w.place, p.often, p.words
        FROM nomoat.posting p JOIN unnest(CAST(:asked AS text[])) WITH ORDINALITY AS w(word, place) ON w.word = p.word
        WHERE {permitted}
    ), counted AS (
        SELECT place, ln(1 + (CAST(:count AS float8) - count(*) + CAST(0.5 AS float8)) / (count(*) + CAST(0.5 AS float8))) AS weight FROM found GROUP BY place
    ), scored AS (
        SELECT passage, sum(
            weight * (often * (CAST(:k1 AS float8) + 1))
            / (often + CAST(:k1 AS float8) * (1 - CAST(:b AS float8) + CAST(:b AS float8) * (words / CAST(:usual AS float8))))
            ORDER BY place
        ) AS score FROM found JOIN counted USING (place) GROUP BY passage
    )
    SELECT p.id, s.score, d.name, p.number
    FROM scored s JOIN nomoat.passage p ON p.id = s.passage JOIN nomoat.document d ON d.id = p.document
    WHERE true {chosen}
    ORDER BY s.score DESC, d.name, p.number LIMIT :most
"""
_WHOLE: Final = """
    SELECT p.id, 0 AS score, d.name, p.number
    FROM nomoat.passage p JOIN nomoat.document d ON d.id = p.document
    WHERE {permitted} {chosen}
    ORDER BY d.name, p.number
"""
_PERMITTED: Final = "p.access = ANY(CAST(:permitted AS integer[]))"
_CHOSEN: Final = "AND d.index = :index AND d.name = ANY(CAST(:names AS text[]))"
_TEXTS: Final = text(
    "SELECT p.id, d.version, p.text, d.attributes FROM nomoat.passage p JOIN nomoat.document d ON d.id = p.document"
    " WHERE p.id = ANY(CAST(:passages AS bigint[]))"
)


@final
class Reading:
    """What is seen of an index in one transaction. `names` are the documents to look in, None for all that are permitted."""

    def __init__(
        self, connection: Connection, index: str, permitted: Sequence[int], names: Sequence[str] | None = None
    ) -> None:
        self._connection = connection
        self._given: dict[str, object] = {"index": index, "permitted": list(permitted)}
        self._chosen = "" if names is None else _CHOSEN
        if names is not None:
            self._given["names"] = list(names)

    def require(self, generation: int) -> None:
        """Raise `Stale` unless the index is as it was at `generation`."""
        if self._connection.scalar(_GENERATION, self._given) != generation:
            raise Stale

    def by_vector(self, vector: str, most: int) -> list[Nearest]:
        """The nearest by inner product, of vectors of length 1; `vector` is written as pgvector does."""
        return self._ranked(_BY_VECTOR, {"vector": vector, "most": most})

    def by_words(self, words: Sequence[str], statistics: Statistics, k1: float, b: float, most: int) -> list[Nearest]:
        """The best by BM25, with words counted in what is permitted; a choice of documents changes no score."""
        asked = {"asked": list(words), "count": statistics.passages, "usual": statistics.usual}
        return self._ranked(_BY_WORDS, {**asked, "k1": k1, "b": b, "most": most})

    def whole(self) -> list[Nearest]:
        """Every passage of the documents to look in, without a score."""
        return self._ranked(_WHOLE, {})

    def texts(self, passages: Sequence[int]) -> dict[int, Said]:
        """What passages say."""
        rows = self._connection.execute(_TEXTS, {"passages": list(passages)})
        return {row.id: Said(row.version, row.text, row.attributes) for row in rows}

    def _ranked(self, statement: str, asked: Mapping[str, object]) -> list[Nearest]:
        sql = text(statement.format(permitted=_PERMITTED, chosen=self._chosen))
        rows = self._connection.execute(sql, {**self._given, **asked})
        return [Nearest(row.id, float(row.score), row.name, row.number) for row in rows]
