"""A database file's pages: which bytes belong to a row or an index entry, and which are free space.

A deleted row's bytes may remain in free space: pages outside every tree, the gap and the free blocks of a page, the
end of an overflow chain (https://www.sqlite.org/fileformat2.html). Each file is read through one descriptor that is never
closed: closing it would drop this process's locks on the database.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import attrs

_held: dict[tuple[int, int], int] = {}
_held_lock = threading.Lock()

#: Pages per read.
_RUN = 256
_NOTHING = 0
_LOCK_BYTE = 1 << 30


@attrs.frozen
class Part:
    """Some bytes of the file."""

    #: The kind that the caller assigned to their tree; None: free space.
    kind: int | None
    data: bytes


class Pages:
    """The pages of one file, while a snapshot prevents them from being overwritten.

    Args:
        path: The database.
        trees: Each tree's root page and its kind, 1 to 255.
    """

    def __init__(self, path: Path, trees: Iterable[tuple[int, int]]) -> None:
        self._file = descriptor(path)
        head = os.pread(self._file, 100, 0)
        size = int.from_bytes(head[16:18], "big")
        self.size = 65536 if size == 1 else size
        self.usable = self.size - head[20]
        self.count = os.fstat(self._file).st_size // self.size
        self._kinds = bytearray(self.count + 1)
        #: The number of bytes used in the last page of each overflow chain.
        self._ends: dict[int, int] = {}
        self._auto_vacuum = int.from_bytes(head[52:56], "big") != 0
        for root, kind in trees:
            self._walk(root, kind)

    def parts(self) -> Iterator[Part]:
        """Every nonzero byte of the file, either in a part of a tree (with its free space zeroed) or in free space."""
        # Overflow chains are found while reading, so their pages come last.
        later: list[int] = []
        for number, page in self._pages():
            kind = self._kinds[number]
            if kind and page[100 if number == 1 else 0] in (2, 5, 10, 13):
                live: bytes | bytearray = page
                for first, end in self._free(page, 100 if number == 1 else 0, kind):
                    if page[first:end].strip(b"\0"):
                        yield Part(None, page[first:end])
                        live = bytearray(live)
                        live[first:end] = bytes(end - first)
                yield Part(kind, bytes(live))
            elif not self._is_map(number):
                later.append(number)
        for number in later:
            page = self._page(number)
            kind = self._kinds[number]
            used = self._ends.get(number, self.size) if kind else 0
            if kind:
                yield Part(kind, page[:used])
            if page[used:].strip(b"\0"):
                yield Part(None, page[used:])

    def _walk(self, root: int, kind: int) -> None:
        level = [root]
        while level:
            self._mark(level, kind)
            below = []
            for number in level:
                page = self._page(number)
                head = 100 if number == 1 else 0
                if not page or page[head] not in (2, 5):
                    return  # leaves: all have the same depth
                below += [int.from_bytes(page[at : at + 4], "big") for at in self._cells(page, head)]
                below.append(int.from_bytes(page[head + 8 : head + 12], "big"))
            level = [number for number in below if 0 < number <= self.count]

    def _mark(self, numbers: list[int], kind: int) -> None:
        for number in numbers:
            if 0 < number <= self.count:
                self._kinds[number] = kind

    def _cells(self, page: bytes, head: int) -> tuple[int, ...]:
        count = int.from_bytes(page[head + 3 : head + 5], "big")
        start = head + (12 if page[head] in (2, 5) else 8)
        count = min(count, (self.size - start) // 2)
        return struct.unpack_from(f">{count}H", page, start)

    def _free(self, page: bytes, head: int, kind: int) -> list[tuple[int, int]]:
        """The free space in a tree's page: the gap and the free blocks. Also follows the page's overflow chains."""
        cells = self._cells(page, head)
        leaf = page[head] in (10, 13)
        start = head + (8 if leaf else 12) + 2 * len(cells)
        content = int.from_bytes(page[head + 5 : head + 7], "big") or 65536
        free = [(start, max(start, min(content, self.size)))]
        block, seen = int.from_bytes(page[head + 1 : head + 3], "big"), 0
        while block and seen < self.size and block + 4 <= self.size:
            length = int.from_bytes(page[block + 2 : block + 4], "big")
            free.append((block + 4, max(block + 4, min(block + length, self.size))))
            block, seen = int.from_bytes(page[block : block + 2], "big"), seen + 4
        if page[head] != 5:
            self._follow(page, page[head], cells, kind)
        return free

    def _follow(self, page: bytes, type: int, cells: tuple[int, ...], kind: int) -> None:
        usable = self.usable
        most = usable - 35 if type == 13 else (usable - 12) * 64 // 255 - 23
        least = (usable - 12) * 32 // 255 - 23
        skip = 4 if type == 2 else 0
        if len(cells) > 1 and not skip and max(cells) < self.size and max(itemgetter(*cells)(page)) < 0x80:
            return  # every cell has fewer than 128 bytes
        first = 0x80 | min(most >> 7, 0x7F)  # the first byte of every larger number of two bytes
        for at in cells:
            number = page[at + skip : at + skip + 2]
            if len(number) < 2 or number[0] < 0x80 or (number[1] < 0x80 and number[0] < first):
                continue
            payload, place = varint(page, at + skip)
            if type == 13:
                _, place = varint(page, place)
            if payload <= most:
                continue
            local = least + (payload - least) % (usable - 4)
            local = local if local <= most else least
            overflow = int.from_bytes(page[place + local : place + local + 4], "big")
            self._chain(overflow, payload - local, kind)

    def _chain(self, number: int, left: int, kind: int) -> None:
        while 0 < number <= self.count and left > 0:
            self._kinds[number] = kind
            if left <= self.usable - 4:
                self._ends[number] = 4 + left
                return
            left -= self.usable - 4
            number = int.from_bytes(os.pread(self._file, 4, (number - 1) * self.size), "big")

    def _is_map(self, number: int) -> bool:
        # The pointer-map pages that auto_vacuum needs, and the lock-byte page.
        if number == _LOCK_BYTE // self.size + 1:
            return True
        return self._auto_vacuum and number >= 2 and (number - 2) % (self.usable // 5 + 1) == 0

    def _page(self, number: int) -> bytes:
        return os.pread(self._file, self.size, (number - 1) * self.size)

    def _pages(self) -> Iterator[tuple[int, bytes]]:
        for first in range(1, self.count + 1, _RUN):
            run = os.pread(self._file, self.size * _RUN, (first - 1) * self.size)
            for at in range(0, len(run) - self.size + 1, self.size):
                yield first + at // self.size, run[at : at + self.size]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode a SQLite varint of 1 to 9 bytes; return its value and the offset after it."""
    value = 0
    for place in range(at, min(at + 8, len(data))):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | (data[at + 8] if at + 8 < len(data) else 0), at + 9


def descriptor(path: Path) -> int:
    """A descriptor of a database's file, opened for reading and kept open until the process ends."""
    with _held_lock:
        found = path.stat()
        key = found.st_dev, found.st_ino
        if key not in _held:
            _held[key] = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        return _held[key]


def read_whole(path: Path) -> bytes:
    """All bytes of a database's file; b"" if it is missing."""
    try:
        file = descriptor(path)
    except FileNotFoundError:
        return b""
    return os.pread(file, os.fstat(file).st_size, 0)
