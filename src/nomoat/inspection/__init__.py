"""What a published content is and what it would do: judged by its bytes, without running any of it."""

from nomoat.inspection.inspect import inspect
from nomoat.inspection.naming import worse_by_name

__all__ = ["inspect", "worse_by_name"]
