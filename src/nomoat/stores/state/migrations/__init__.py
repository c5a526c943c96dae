"""The state's migrations (alembic), run by `State` when it opens. A released revision never changes."""
