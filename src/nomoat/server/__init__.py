"""Assembly: a data directory becomes a running gateway. Concrete classes meet only here."""
