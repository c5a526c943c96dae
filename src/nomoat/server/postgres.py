"""The `[postgres]` table of nomoat.toml: where indexes are kept that say so, and how confidential what lies there may be.

Rules: a password has a file of its own. Without a table, no index is kept so.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from nomoat.core.errors import Malformed
from nomoat.core.lineage import Label
from nomoat.core.names import Classification, parse_classification, parse_subject_name
from nomoat.stores.postgres.database import parse_url

_FIELDS: Final = frozenset({"url", "password_file", "highest", "labels"})

USUAL: Final = Label(Classification.INTERNAL)


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """What `[postgres]` says: the database, the file of its password (None: none is needed), and what may lie there in plaintext."""

    url: str
    password_file: Path | None = None
    highest: Label = USUAL

    def dump(self) -> list[str]:
        """Return the lines of the table."""
        lines = ["", "[postgres]", f"url = {json.dumps(self.url)}"]
        if self.password_file is not None:
            lines += [f"password_file = {json.dumps(str(self.password_file))}"]
        lines += [f"highest = {json.dumps(self.highest.classification.name.lower())}"]
        return [*lines, f"labels = {json.dumps(sorted(self.highest.labels))}"]


def parse_postgres(value: object, directory: Path) -> PostgresSettings:
    """Parse the table; paths are relative to the data directory. Raises `Malformed`."""
    table = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if unknown := set(table) - _FIELDS:
        raise Malformed(f"nomoat.toml: [postgres] has {min(unknown)!r}, which is not known; remove or correct it")
    url, password, highest = table.get("url"), table.get("password_file", ""), table.get("highest", "internal")
    labels = table.get("labels", [])
    if not isinstance(url, str) or not isinstance(password, str) or not isinstance(highest, str):
        raise Malformed("nomoat.toml: [postgres] has a url, a password_file and a highest, which are texts")
    if not isinstance(labels, list) or not all(isinstance(each, str) for each in cast("list[object]", labels)):
        raise Malformed("nomoat.toml: labels of [postgres] is a list of texts")
    try:
        parse_url(url)
        label = Label(parse_classification(highest), frozenset(map(parse_subject_name, cast("list[str]", labels))))
    except Malformed as error:
        raise Malformed(f"nomoat.toml: [postgres]: {error.reason}") from None
    return PostgresSettings(url, directory / password if password else None, label)
