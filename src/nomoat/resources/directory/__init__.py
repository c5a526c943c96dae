"""The directory: who and what exists, declared in TOML, changed only through the guard."""

from nomoat.resources.directory.directory import Declarations
from nomoat.resources.directory.document import Change

__all__ = ["Change", "Declarations"]
