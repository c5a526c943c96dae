"""Statements about artifacts, and who signed them: built, parsed strictly and verified, without I/O and without a clock.

Rules: a signature is verified before what it signs is parsed. What is not signed has exactly the fields that are
known here; what is signed may say more, which is passed over as in-toto wants (parsing rules). No verification
reads the time: it is told at which time to judge.
"""
