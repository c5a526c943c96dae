"""NoMoat: a zero-trust control plane for data, model weights and the pipeline between them.

Start reading at `nomoat/guard/guard.py`: it names the eight steps that every access takes.
"""

__version__ = "0.1.0"
