"""NoMoat: a zero-trust control plane for data, model weights and the pipeline between them.

Start reading at `nomoat/guard/guard.py`: it names the eight steps that every access takes.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nomoat.client.connection import Connection

__version__ = "0.1.0"


def connect(profile: str = "") -> "Connection":
    """Use a log-in profile (of `nomoat login`): `connect().query(sql, dataset=…, view=…)`, `connect().search(index, question)`."""
    from nomoat.client.connection import connect  # noqa: PLC0415 - every command imports this package

    return connect(profile)
