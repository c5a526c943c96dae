"""The state: what is declared, who is enrolled and which files a repository has, in one encrypted database."""

from nomoat.stores.state import inference_schema, metrics_schema, quota_schema, retrieval_schema
from nomoat.stores.state.engine import State

__all__ = [
    "State",
    "inference_schema",
    "metrics_schema",
    "quota_schema",
    "retrieval_schema",
]  # the tables of all schemas belong to it
