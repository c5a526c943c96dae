"""Acme's pitch controller: the source that the demonstration keeps from other houses. Made up, and only an example."""
