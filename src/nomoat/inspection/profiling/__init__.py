"""Profiling: bytes → Profile: how many rows a data file has, and what its columns and rows are like, in figures.

Rules: like the rest of the room, it runs in a process that can open no file any more.
"""
