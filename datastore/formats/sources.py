"""Opens a file, pipe or standard input, plain or gzip, as a text stream with bounded memory and a position for progress bars."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import stat
import time
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from io import BufferedReader
from types import TracebackType
from typing import Any, TypeAlias

from datastore.errors import ImportFileError
from datastore.formats.records import INVALID, Broken, Record, read_records

#: Maximum wait for a pipe's writer, in seconds.
PIPE_WAIT = 10.0

PIECE = 1_048_576

#: A buffered file, whatever is below it.
Raw: TypeAlias = "BufferedReader[Any]"

_unstorable = re.compile("[\0\ud800-\udfff]")

_GZIP = b"\x1f\x8b"

#: By the first bytes. UTF-32 before UTF-16, whose mark it begins with.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# One character for each sequence of bytes that the encoding does not allow, in every encoding.
codecs.register_error("datastore.invalid", lambda error: (INVALID, getattr(error, "end", 1)))


class TextSource:
    """An open file, returned by `open_text`; a context manager.

    Args:
        raw: The open file.
        name: Its name in a `BadLine`.
        total: Its size in bytes, if it is known.
        replace_invalid: Replace bytes that are not text, and NUL characters, by U+FFFD, instead of refusing their records.
    """

    def __init__(self, raw: Raw, name: str, total: int | None = None, *, replace_invalid: bool = False) -> None:
        self.name = name
        #: Size of the file on disk in bytes; None for a pipe, whose size is unknown.
        self.total = total
        #: What is wrong with the file itself, set when reading detects it.
        self.damage: str | None = None
        self.replace_invalid = replace_invalid
        #: The number of bytes and NUL characters that were replaced so far.
        self.replaced = 0
        self._raw = raw
        self._read = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._file: Raw | gzip.GzipFile = raw
        self._ended = False
        #: Records that were looked at to detect the format, and not yet read.
        self._seen: deque[Record | Broken] = deque()
        self._records: Iterator[Record | Broken] | None = None

    @property
    def position(self) -> int:
        """Number of bytes of the file on disk read so far; `total` at the end."""
        if self._raw.closed:
            return self.total or self._read
        pipe = self._raw.raw
        if isinstance(pipe, _Pipe):
            return pipe.read_so_far
        return self._raw.tell() if self._raw.seekable() else self._read

    def read(self, size: int = PIECE, /) -> str:
        """Return at most about *size* characters; "" at the end. Undecodable bytes become `INVALID`.

        Raises:
            ImportFileError: The file cannot be read.
        """
        while not self._ended:
            data = self._bytes(size)
            self._ended = not data
            if self._decoder is None:
                self._decoder = codecs.getincrementaldecoder(_encoding(data))("datastore.invalid")
            if text := self._decoder.decode(data, final=self._ended):
                return self._replaced(text) if self.replace_invalid else text
        return ""

    def _replaced(self, text: str) -> str:
        if count := text.count(INVALID) + text.count("\0"):
            self.replaced += count
            text = text.replace(INVALID, "\ufffd").replace("\0", "\ufffd")
        return text

    def _bytes(self, size: int) -> bytes:
        try:
            if self._decoder is None and self._raw.peek(2)[:2] == _GZIP:
                self._file = gzip.GzipFile(fileobj=self._raw)
            # read1, because read would lose the data before a damaged part.
            data = self._file.read1(size)
        except EOFError:
            self.damage = "the file ends in the middle of its compressed data"
        except (zlib.error, gzip.BadGzipFile, zipfile.BadZipFile):
            self.damage = "the file's compressed data is damaged"
        except (OSError, ValueError) as error:
            raise unreadable(self.name, error) from error
        else:
            self._read += len(data)
            return data
        return b""

    def records(self) -> Iterator[Record | Broken]:
        """The records that were not read yet; all of them, if only `look_ahead` was called before.

        Raises:
            ImportFileError: The file cannot be read, or it is a gigabyte of blanks.
        """
        if self._records is None:
            self._records = self._numbered()
        while self._seen:
            yield self._seen.popleft()
        yield from self._records

    def look_ahead(self) -> Iterator[Record | Broken]:
        """The same records, which `records` will give again."""
        if self._records is None:
            self._records = self._numbered()
        yield from list(self._seen)
        for record in self._records:
            self._seen.append(record)
            yield record

    def _numbered(self) -> Iterator[Record | Broken]:
        line = 1
        try:
            for record in read_records(self):
                line = record.line
                if self.replace_invalid and isinstance(record, Record):
                    record = Record(record.line, self._cleaned(record.value), record.array)
                yield record
        except ImportFileError as error:
            raise ImportFileError(f"{self.name}: {str(error).removeprefix(f'{self.name}: ')}") from error
        if self.damage:
            yield Broken(line, self.damage)

    def _cleaned(self, value: Any) -> Any:
        """A value whose texts have no NUL characters and lone surrogates, which JSON can escape."""
        if isinstance(value, str):
            text = _unstorable.sub("\ufffd", value)
            self.replaced += text is not value and text != value and len(_unstorable.findall(value))
            return text
        if isinstance(value, dict):
            return {self._cleaned(key): self._cleaned(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self._cleaned(part) for part in value]
        return value

    def close(self) -> None:
        """Close the file; closing it twice is a no-op."""
        self._file.close()
        self._raw.close()

    def __enter__(self) -> TextSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _encoding(first: bytes) -> str:
    for mark, name in _MARKS:
        if first.startswith(mark):
            return name
    if len(first) >= 4 and not first[1] and not first[3] and first[0] and first[2]:
        return "utf-16-le"
    if len(first) >= 4 and not first[0] and not first[2] and first[1] and first[3]:
        return "utf-16-be"
    return "utf-8-sig"


class _Pipe(io.RawIOBase):
    """A pipe, after the bytes that were read to find out whether it has a writer."""

    def __init__(self, file: int, first: bytes) -> None:
        self._descriptor = file
        self._first = first
        self.read_so_far = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes a memoryview
        data = self._first[: len(buffer)] or os.read(self._descriptor, len(buffer))
        self._first = self._first[len(data) :]
        self.read_so_far += len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def open_raw(name: str) -> tuple[Raw, int | None]:
    """Open a file, a pipe or "-" without blocking on a missing writer; also return a file's size in bytes.

    Raises:
        ImportFileError: It is missing, a directory, a device, a pipe without a writer, or cannot be read.
    """
    try:
        if name == "-":
            return _opened(os.dup(0), name)
        flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        return _opened(os.open(name, os.O_RDONLY | flags), name)
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from error


def _opened(file: int, name: str) -> tuple[Raw, int | None]:
    try:
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode):
            return BufferedReader(io.FileIO(file), PIECE), found.st_size
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(0, "it is a directory")
        pipe = stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode)
        if not pipe and not os.isatty(file):
            raise ImportFileError(f"{name}: is a device, which has no end; use a file or a pipe")
        first = _first_of(file, name) if pipe and name != "-" else b""
        os.set_blocking(file, True)
        return BufferedReader(_Pipe(file, first), PIECE), None
    except BaseException:
        os.close(file)
        raise


def _first_of(file: int, name: str) -> bytes:
    """The first bytes of a pipe, as soon as it has data or a writer."""
    end = time.monotonic() + PIPE_WAIT
    while time.monotonic() < end:
        try:
            if data := os.read(file, PIECE):
                return data
        except BlockingIOError:
            return b""  # a writer has it open
        time.sleep(0.02)
    raise ImportFileError(f"{name}: this pipe has no writer; start the writer, then import")


def unreadable(name: str, error: Exception) -> ImportFileError:
    """The error for a file that cannot be read."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    return ImportFileError(f"{name}: cannot be read: {reason}")
