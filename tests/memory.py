"""Where tests keep their files: in memory where there is room for them, because no test that uses this cuts the power.

A test about a disk asks for one (``disk=True`` in tests/acid/child.py).
"""

from __future__ import annotations

import functools
import os
import shutil

MEMORY = "/dev/shm"

#: The tests' files, and those of the PostgreSQL server, take about half a gigabyte at most.
_NEEDED = 2 * 1024**3


@functools.cache
def in_memory() -> str | None:
    """The folder in memory; None if there is none, or too little room: then files go where `tempfile` puts them."""
    if not os.access(MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(MEMORY).free < _NEEDED:
        return None
    return MEMORY
