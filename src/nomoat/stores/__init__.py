"""Raw back ends: keys, encrypted objects, log files and state. They know no policy.

Rules: whatever reaches a disk is encrypted or authenticated, or both; a failing disk raises
`Unavailable`, never a half result; bytes that fail verification raise `Corrupt` and are not served.
"""
