"""Documents → what they say: titles, texts and passages, of the formats that people write in.

Rules: no I/O, no clock; parsers may be anybody's bytes' prey, so the gateway runs them in a confined process (`nomoat.server.reader`).
"""
