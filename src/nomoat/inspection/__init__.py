"""What a published content is and what it would do: judged by its bytes, without running any of it.

Rules: `naming` and `rules` are for everybody; `inspect` and what it imports are for the scanner alone (`server/scanner.py`).
"""
