"""The companion at the caller's side: stock clients talk to it, and it proves a profile's key for them.

Rules: it lends a profile's identity to whoever shows its key (or comes by its owner's socket), and to nobody
else: no other process, user or web page. It gives away nothing that works without it. It is the one part of
the client that loads a server.
"""
