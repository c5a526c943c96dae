"""The figures against their targets: `python -m bench` measures them in one run."""
