"""Find the processes that are reading a database and so prevent its WAL from being truncated."""

from __future__ import annotations

import os
from pathlib import Path

#: The range of bytes in the -shm file; each reader locks one of them (SQLite's walformat: WAL_READ_LOCK).
_FIRST, _LAST = 123, 127

_locks = Path("/proc/locks")


def reader_processes(path: Path) -> list[int] | None:
    """The ids of the processes with a read transaction on a database in WAL mode; None if the system does not report them.

    They come from /proc/locks (Linux): no file of the database is opened. A process in another container may show as 0.
    """
    try:
        shm = os.stat(f"{path}-shm")
    except FileNotFoundError:
        return []  # nobody has it open
    try:
        lines = _locks.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    inode = f"{os.major(shm.st_dev):02x}:{os.minor(shm.st_dev):02x}:{shm.st_ino}"
    found = set()
    for line in lines:
        # 12: POSIX  ADVISORY  READ 4242 08:01:131077 124 124
        parts = [part for part in line.split() if part != "->"]
        if len(parts) == 8 and parts[1] == "POSIX" and parts[5] == inode and _meets(parts[6], parts[7]):
            found.add(int(parts[4]))
    return sorted(found)


def _meets(first: str, last: str) -> bool:
    return int(first) <= _LAST and (last == "EOF" or int(last) >= _FIRST)
