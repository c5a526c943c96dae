"""Key management: what wraps the key-encryption key itself; `port.py` says what each of these does."""
