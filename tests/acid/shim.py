"""Builds shim.c and drives it: a recorder of file operations, and faults at the k-th of them."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

WRITE, SYNC, READ, TRUNCATE, OPEN, UNLINK, MARK = 1, 2, 4, 8, 16, 32, 64

#: What a fault can be: the calls it hits, and the error; -1 ends the process, as kill -9 does.
FAULTS = {
    "EIO in a write": (WRITE | TRUNCATE, errno.EIO),
    "ENOSPC in a write": (WRITE | TRUNCATE, errno.ENOSPC),
    "failed fsync": (SYNC, errno.EIO),
    "EIO in a read": (READ, errno.EIO),
    "EMFILE in an open": (OPEN, errno.EMFILE),
}

_head = struct.Struct("iiqq")


@attrs.frozen
class Operation:
    """One call that changed a file, or a mark that the caller set between two."""

    kind: int
    #: The file's name, without its folder; "" for a mark.
    file: str
    #: Where, or the length of a truncation, or the mark's number.
    offset: int
    data: bytes


@functools.cache
def library() -> str:
    """The built library's path.

    Where there is no C compiler the suites that need one are skipped, saying so; in CI that is a failure: a crash
    suite that was skipped is no evidence.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        message = "crash images and I/O faults need a C compiler (cc), and there is none"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = tempfile.mkdtemp(prefix="acid-shim-")
    built = f"{folder}/shim.so"
    source = Path(__file__).with_name("shim.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", built, str(source), "-ldl", "-lpthread"]
    subprocess.run(command, check=True, timeout=60)
    return built


class Shim:
    """The library in this process; the process must have been started with it preloaded."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.shim_seen.restype = ctypes.c_int64
        self._library.shim_length.restype = ctypes.c_int64
        self._library.shim_log.restype = ctypes.c_void_p
        self._library.shim_name.restype = ctypes.c_char_p

    def mark(self, number: int) -> None:
        """Note in the record that *number* was reached."""
        self._library.shim_mark(ctypes.c_int64(number))

    def arm(self, kinds: int, number: int, error: int, *, stays: bool = False) -> None:
        """Let the *number*-th call of these kinds from now on fail with *error*; 0 only counts them."""
        self._library.shim_arm(kinds, ctypes.c_int64(number), error, int(stays))

    def disarm(self) -> int:
        """No more faults; gives the number of calls since it was armed."""
        seen = int(self._library.shim_seen())
        self._library.shim_arm(0, ctypes.c_int64(0), 0, 0)
        return seen

    def watch(self, folder: Path) -> None:
        """Record what happens to the databases in *folder*, from nothing on; none of them may be open."""
        self._library.shim_watch(os.fsencode(folder))

    def stop(self) -> None:
        """Watch nothing any more; what was recorded is gone."""
        self._library.shim_watch(b"")

    def operations(self) -> Iterator[Operation]:
        """What was recorded, in its order."""
        log = ctypes.string_at(self._library.shim_log() or 0, self._library.shim_length())
        place = 0
        while place < len(log):
            kind, file, offset, length = _head.unpack_from(log, place)
            place += _head.size
            data = log[place : place + length] if kind == WRITE else b""
            place += len(data)
            name = "" if kind == MARK else Path(os.fsdecode(self._library.shim_name(file))).name
            yield Operation(kind, name, offset, data)
