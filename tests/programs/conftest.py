"""A database for a program, on either engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs.running import Database


@pytest.fixture
def database(engine: str, datastore_database: Path | str) -> Database:
    """A migrated database without rows."""
    return Database(engine, str(datastore_database))
