"""The state: what is declared, who is enrolled and which files a repository has, in one encrypted database."""

from nomoat.stores.state.engine import State

__all__ = ["State"]
