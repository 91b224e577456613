"""``datastore copy``: copy everything from one database to another, SQLite to PostgreSQL or back."""

from datastore.copy.tables import Copied, Progress, copy

__all__ = ["Copied", "Progress", "copy"]
