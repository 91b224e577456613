"""A database for a program, on either engine."""

from __future__ import annotations

import pytest

from tests.programs.running import Database


@pytest.fixture
def database(engine: str, request: pytest.FixtureRequest) -> Database:
    """A migrated database without rows."""
    if engine == "sqlite":
        return Database(engine, str(request.getfixturevalue("path")))
    from tests.postgresql import empty, for_stores

    url = request.getfixturevalue("migrated_server")
    empty(url)
    return Database(engine, for_stores(url))
