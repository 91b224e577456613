"""Forked processes: which parts of a parent's store a child may use, and which it may not.

SQLite keeps a process's locks in memory that a fork copies, while the locks themselves stay with the parent. A child that
opens the same file believes that it has locks which it does not have, and the parent's last connection deletes the WAL while
the child uses it. So the forking thread's connection is closed before the fork; if the child inherits other connections, it
may not open that file. On PostgreSQL, a child that used its parent's socket would mix up both sessions with the server.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Protocol

from datastore.errors import ForkedError


class Forkable(Protocol):
    """An engine's hooks around a fork."""

    def before_fork(self) -> None: ...
    def after_fork(self) -> None: ...


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_inherited_connections: list[object] = []
_inherited_paths: set[Path] = set()


def watch(engine: Forkable) -> None:
    """Call the engine before every fork and in every child, for its lifetime."""
    _watched.add(engine)


def unwatch(engine: Forkable) -> None:
    """Stop calling it."""
    _watched.discard(engine)


def keep(connection: object, path: Path | None = None) -> None:
    """In a child: keep a connection of the parent open, because closing it would disturb the parent.

    Args:
        connection: The driver's connection.
        path: SQLite: the file, which the child may not open.
    """
    _inherited_connections.append(connection)
    if path is not None:
        _inherited_paths.add(path)


def refuse_after_fork(path: Path) -> None:
    """Raise ForkedError if the parent had *path* open at the fork."""
    if path in _inherited_paths:
        raise ForkedError(
            "this process was forked while its parent had the database open in a transaction or in another"
            " thread; SQLite's locks do not pass to the child. Fork before opening, or start processes by spawn"
        )


def _before_fork() -> None:
    for engine in list(_watched):
        engine.before_fork()


def _after_fork() -> None:
    for engine in list(_watched):
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
