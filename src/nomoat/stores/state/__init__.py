"""The state: what is declared, who is enrolled and which files a repository has, in one encrypted database."""

from nomoat.stores.state import metrics_schema
from nomoat.stores.state.engine import State

__all__ = ["State", "metrics_schema"]  # the tables of both schemas belong to it
