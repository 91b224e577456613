"""Migrations from Python: apply them, roll them back, and check their checksums.

`apply` and `rollback` do the same as ``yoyo apply`` and ``yoyo rollback``. ``python -m datastore.migrations lock`` writes
SHA256SUMS.
"""

from datastore.migrations.runner import apply, migration_ids, other_steps, pending, rollback, unknown

__all__ = ["apply", "migration_ids", "other_steps", "pending", "rollback", "unknown"]
