"""Fixtures for the tests of applications; docs/testing.md describes them. pytest loads this module by its entry point.

Every name begins with ``datastore_``, so none clashes with an application's. A fixture of the same name in a conftest.py
overrides the one here. Imports are deferred until a test requests a fixture, so a test run that uses none of them costs
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from datastore import Datastore
    from datastore.testing import FileTemplate, ServerTemplate, SettableClock

#: The environment variable with the URL of the tests' PostgreSQL server.
SERVER = "DATASTORE_TEST_POSTGRES_URL"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("datastore_migrations", "folders with the application's own migrations", type="paths", default=[])
    parser.addini(
        "datastore_server_migrations",
        "the same for PostgreSQL; by default the folders of datastore_migrations",
        type="paths",
        default=[],
    )


@pytest.fixture(scope="session")
def datastore_migrations(pytestconfig: pytest.Config) -> dict[str, list[Path]]:
    """The folders with the application's own migrations, by engine: from the ini options."""
    own = list(pytestconfig.getini("datastore_migrations"))
    return {"sqlite": own, "postgresql": list(pytestconfig.getini("datastore_server_migrations")) or own}


@pytest.fixture
def datastore_engine(request: pytest.FixtureRequest) -> str:
    """ "sqlite" or "postgresql": parametrize it to run a test on both."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture(scope="session")
def datastore_server() -> str:
    """The URL of a database on a PostgreSQL server that allows creating databases: DATASTORE_TEST_POSTGRES_URL."""
    if url := os.environ.get(SERVER):
        return url
    message = f"no PostgreSQL server: set {SERVER}, or define the fixture datastore_server"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def datastore_file_template(
    datastore_migrations: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> FileTemplate:
    """A migrated SQLite database, copied for each test."""
    from datastore.testing import FileTemplate

    return FileTemplate(tmp_path_factory.mktemp("datastore-template"), datastore_migrations["sqlite"])


@pytest.fixture(scope="session")
def datastore_server_template(
    datastore_migrations: dict[str, list[Path]], datastore_server: str
) -> Iterator[ServerTemplate]:
    """A migrated PostgreSQL database, copied for each test."""
    from datastore.testing import ServerTemplate

    template = ServerTemplate(datastore_server, datastore_migrations["postgresql"])
    yield template
    template.close()


@pytest.fixture
def datastore_database(datastore_engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A migrated database without rows: a path, or a PostgreSQL URL."""
    if datastore_engine == "sqlite":
        file_template: FileTemplate = request.getfixturevalue("datastore_file_template")
        return file_template.copy(tmp_path / "app.db")
    server_template: ServerTemplate = request.getfixturevalue("datastore_server_template")
    return server_template.fresh()


@pytest.fixture
def datastore_clock() -> SettableClock:
    """The clock of `datastore_store`, which does not advance until a test sets it."""
    from datastore.testing import SettableClock

    return SettableClock()


@pytest.fixture
def datastore_options() -> dict[str, Any]:
    """Further arguments of `Datastore.open` for `datastore_store`."""
    return {}


@pytest.fixture
def datastore_store(
    datastore_database: Path | str,
    datastore_engine: str,
    datastore_migrations: dict[str, list[Path]],
    datastore_clock: SettableClock,
    datastore_options: dict[str, Any],
) -> Iterator[Datastore]:
    """An open store on `datastore_database`, with relaxed durability, because tests need not survive a power cut."""
    from datastore import Datastore

    options = {"durability": "relaxed", "clock": datastore_clock, **datastore_options}
    migrations = datastore_migrations[datastore_engine]
    with Datastore.open(datastore_database, migrations=migrations, **options) as store:
        yield store


@pytest.fixture
def datastore_worker(datastore_store: Datastore) -> Callable[..., int]:
    """A function that runs the due jobs of `datastore_store`: call it with handlers by type; it returns the number of jobs run."""
    from functools import partial

    from datastore.testing import run_until_idle

    return partial(run_until_idle, datastore_store)
