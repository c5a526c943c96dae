"""The disk: making a name in a directory as durable as the file that it names.

Rule: whoever creates, links or renames a file that must survive a crash syncs the file first, then
its directory.
"""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable (fsync(2): syncing a file does not sync its name)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
