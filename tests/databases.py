"""What a person with the database's own shell could do, on either engine."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from datastore import Datastore


def rows(store: Datastore, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query, on a connection that is not the store's; parameters are ``?``."""
    if store.engine.name == "sqlite":
        with closing(sqlite3.connect(store.engine.path)) as connection, connection:
            return connection.execute(sql, parameters).fetchall()
    import psycopg

    engine: Any = store.engine
    with psycopg.connect(engine._conninfo, autocommit=True) as server:
        cursor = server.execute(sql.replace("?", "%s"), parameters)
        return cursor.fetchall() if cursor.description else []


def everything(store: Datastore) -> list[str]:
    """The whole database as text."""
    if store.engine.name == "sqlite":
        with closing(sqlite3.connect(store.engine.path)) as connection:
            return list(connection.iterdump())
    tables = rows(store, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    queries = [f"SELECT '{name}', CAST(kept AS TEXT) FROM {name} AS kept" for (name,) in tables]
    return sorted(f"{name} {text}" for name, text in rows(store, " UNION ALL ".join(queries)))
