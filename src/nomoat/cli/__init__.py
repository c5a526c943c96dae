"""The `nomoat` command: one small module for each group of commands.

Rules: commands parse, call and print; what they do lives below. Exit codes: 0 done, 1 refused,
2 wrong usage, 3 unavailable, 4 verification failed, 70 a bug of ours.
"""

from nomoat.cli.root import main

__all__ = ["main"]
