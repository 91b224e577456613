"""An audit hook that refuses to open the files of a live database other than through SQLite.

POSIX locks belong to a process and a file: whoever opens and closes a database's file (to copy it, say) in the process
that has it open drops SQLite's locks on it without a word, and another process's last connection then deletes the WAL
under it. An audit hook sees every form of it that goes through Python. It cannot be taken out again, so it is installed
in processes of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

SUFFIXES = ("", "-wal", "-shm")


class UnsafeCopyError(RuntimeError):
    """A live database file was about to be opened behind SQLite's back."""


class Guard:
    """Refuses; see the module."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._inodes: set[tuple[int, int]] = set()
        sys.addaudithook(self._hook)

    def protect(self, path: Path) -> None:
        """From now on *path* is live."""
        for suffix in SUFFIXES:
            name = f"{path}{suffix}"
            self._files.add(os.path.realpath(name))
            if os.path.exists(name):
                found = os.stat(name)
                self._inodes.add((found.st_dev, found.st_ino))

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        name = os.fsdecode(arguments[0])
        if os.path.realpath(name) in self._files or self._inode(name) in self._inodes:
            raise UnsafeCopyError(f"{name} is a live database; back it up with sqlite3.Connection.backup")

    def _inode(self, name: str) -> tuple[int, int] | None:
        try:
            found = os.stat(name)
        except OSError:
            return None
        return found.st_dev, found.st_ino
