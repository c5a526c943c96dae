"""A whole pipeline through a live gateway, then attacked: `python -m examples.pipeline`, or `make demo`."""
