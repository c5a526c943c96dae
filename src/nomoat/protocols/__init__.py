"""One thin room for each wire protocol: bytes become (Presented, Operation), a result becomes bytes.

Rules: no policy here, no store, no socket. Every route is one Operation or stands on the public list.
"""
