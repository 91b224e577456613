"""Migrations from Python: apply, roll back, and the lock file of checksums.

The same as ``yoyo apply`` and ``yoyo rollback`` do. ``python -m datastore.migrations lock`` writes SHA256SUMS.
"""

from datastore.migrations.runner import apply, migration_ids, other_steps, pending, rollback, unknown

__all__ = ["apply", "migration_ids", "other_steps", "pending", "rollback", "unknown"]
