"""The audit room: from a `Record` to a durable, provable log, and back to an answer.

Rules: nothing is re-exported here, so that importing the pure `verification` loads no back end.
"""
