"""The vocabulary of the path: names, principals, operations, decisions, permits, records, errors.

Rules: standard library only, no input or output, no clock. Every other floor imports from here.
"""
