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
    names = rows(store, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    return [
        f"{name} {text}"
        for (name,) in names
        for (text,) in rows(store, f"SELECT CAST(kept AS TEXT) FROM {name} AS kept ORDER BY 1")
    ]
