"""What runs at the caller's side: log-in profiles, certificates, tokens, running programs, offline verification.

Rules: imports core and audit's pure verification only. A private key never leaves its profile, and
no verified connection ever falls back to an unverified one.
"""
