"""Alembic's migrations. The ledger is never batch-migrated: that would drop its triggers."""
