"""Examples that run against a live gateway: `python -m examples.NAME` runs one."""
