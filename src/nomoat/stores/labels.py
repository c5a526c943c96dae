"""Labels as the state has them: a number and a JSON list."""

import json

from nomoat.core.lineage import Label
from nomoat.core.names import Classification


def label_of(classification: int, labels: str) -> Label:
    """A label from its columns."""
    return Label(Classification(classification), frozenset(json.loads(labels)))


def columns_of(of: Label) -> dict[str, object]:
    """The columns of a label."""
    return {"classification": of.classification.value, "labels": json.dumps(sorted(of.labels))}
