"""Searching passages, by keywords and by vectors, in what a caller may read and in nothing else.

Rules: pure; it needs numpy and simsimd, so its modules are imported where there is an index (but `scopes`). INVARIANT (non-interference): ids, order,
scores, counts and errors for a scope are those of an index that holds what the scope permits and nothing else, to the last bit.
"""
