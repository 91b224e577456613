"""Reads a file or pipe, plain or gzip, as lines or as a text stream, with bounded memory and a position for progress bars."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
import time
import zlib
from collections.abc import Iterator
from io import BufferedReader
from types import TracebackType

from datastore.errors import ImportFileError
from datastore.formats.items import BadLine

#: Maximum length of a line in bytes; a longer one is invalid, and the rest of it is not kept in memory.
MAX_LINE = 67_108_864

#: If this many bytes contain no line (one long line, blanks, NUL characters), the input is not text: a device, a zip bomb.
MAX_SKIPPED = 1 << 30

#: Maximum wait for a pipe's writer, in seconds.
PIPE_WAIT = 10.0

PIECE = 1_048_576

_GZIP = b"\x1f\x8b"


class TextSource:
    """An open file, returned by `open_text`; a context manager."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        #: The path as given, which is the name in a `BadLine`.
        self.name = os.fsdecode(path)
        try:
            self._raw, size = _open(self.name)
        except (OSError, ValueError) as error:
            raise _unreadable(self.name, error) from error
        #: Size of the file on disk in bytes; None for a pipe, whose size is unknown.
        self.total = size
        #: What is wrong with the file itself, set when reading detects it.
        self.damage: str | None = None
        self._skipped = 0
        try:
            self._begin()
        except OSError as error:
            self._raw.close()
            raise _unreadable(self.name, error) from error

    def _begin(self) -> None:
        raw = self._raw
        packed = raw.peek(2)[:2] == _GZIP
        self._file: BufferedReader | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if packed else raw
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._ended = False
        self.damage = None
        self._skipped = 0

    def rewind(self, *, last: bool = True) -> None:
        """Go back to the beginning; a pipe keeps the data that was read in memory until the *last* rewind."""
        try:
            pipe = self._raw.raw
            if isinstance(pipe, _Pipe):
                self._raw.detach()  # otherwise its destructor would close the pipe
                self._raw = BufferedReader(pipe.again(keep=not last))
            else:
                self._raw.seek(0)
            self._begin()
        except OSError as error:
            raise _unreadable(self.name, error) from error

    @property
    def position(self) -> int:
        """Number of bytes of the file on disk read so far; `total` at the end."""
        if self._raw.closed:
            return self.total or 0
        return self._raw.raw.read_so_far if isinstance(self._raw.raw, _Pipe) else self._raw.tell()

    def read(self, size: int = PIECE, /) -> str:
        """Return at most about *size* characters; "" at the end. An undecodable byte becomes a lone surrogate.

        Raises:
            ImportFileError: The file cannot be read.
        """
        while not self._ended:
            data = self._guarded(size, line=False)
            self._ended = not data
            if text := self._decoder.decode(data, final=self._ended):
                return text
        return ""

    def lines(self) -> Iterator[tuple[int, str | BadLine]]:
        """Yield the lines that are not blank with their numbers; a line that is too long or not UTF-8 is a `BadLine`.

        NUL characters at the ends of a line are dropped: crashes and programs that preallocate space leave them.

        Raises:
            ImportFileError: The file cannot be read, or has no lines of text.
        """
        number = 0
        while data := self._line():
            number += 1
            if data is _TOO_LONG:
                yield number, BadLine(self.name, number, f"longer than {MAX_LINE} bytes")
                continue
            try:
                text = data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield number, BadLine(self.name, number, f"invalid UTF-8 at byte {error.start + 1} of the line")
                continue
            del data
            if text and not text.isspace():
                self._skipped = 0
                yield number, text
        if self.damage:
            yield number + 1, BadLine(self.name, number + 1, self.damage)

    def _line(self) -> bytes:
        """The next line with its newline; b"" at the end of the file, `_TOO_LONG` for a line that was skipped."""
        data = self._counted()
        if (len(data) < PIECE or data.endswith(b"\n")) and len(data) <= MAX_LINE:
            return _unpadded(data) if b"\0" in data else data
        parts: list[bytes] = []
        held = nuls = 0
        too_long = False
        while data:
            if not data.strip(b"\0\n"):
                nuls += len(data)  # most likely padding: it is not kept
            else:
                nuls = nuls if parts else 0
                held += nuls + len(data)
                too_long = too_long or held - data.endswith(b"\n") > MAX_LINE
                if too_long:
                    parts.clear()
                else:
                    parts += [bytes(nuls), data]
                nuls = 0
            if data.endswith(b"\n"):
                break
            data = self._counted()
        if too_long:
            return _TOO_LONG
        return _unpadded(b"".join(parts))

    def _counted(self) -> bytes:
        data = self._guarded(PIECE, line=True)
        self._skipped += len(data)
        if self._skipped > MAX_SKIPPED:
            raise ImportFileError(f"{self.name}: {MAX_SKIPPED >> 20} MiB without a line of text; give a text file")
        return data

    def _guarded(self, size: int, *, line: bool) -> bytes:
        try:
            # read1, because read would lose the data before a damaged part.
            return self._file.readline(size) if line else self._file.read1(size)
        except EOFError:
            self.damage = "the file ends in the middle of its compressed data"
        except (zlib.error, gzip.BadGzipFile):
            self.damage = "the file's compressed data is damaged"
        except (OSError, ValueError) as error:
            raise _unreadable(self.name, error) from error
        return b""

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


#: Represents a line that is too long to keep; compared by identity.
_TOO_LONG = bytes(bytearray(b"too long"))


def _unpadded(line: bytes) -> bytes:
    """A line without the NUL characters at its ends; never empty, because empty means the end of the file."""
    return line.strip(b"\0\r\n \t") + b"\n"


class _Pipe(io.RawIOBase):
    """A pipe that can be rewound: the data that was read is kept while a rewind is still possible."""

    def __init__(self, file: int, kept: bytes = b"") -> None:
        self._descriptor = file
        self._kept = bytearray(kept)
        self._place = 0
        self._keeping = True
        self.read_so_far = len(kept)

    def again(self, *, keep: bool) -> _Pipe:
        self._place, self._keeping = 0, keep
        return self

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes a memoryview
        if self._place < len(self._kept):
            data = bytes(self._kept[self._place : self._place + len(buffer)])
            self._place += len(data)
            if not self._keeping and self._place == len(self._kept):
                self._kept, self._place = bytearray(), 0
        else:
            data = os.read(self._descriptor, len(buffer))
            self.read_so_far += len(data)
            if self._keeping:
                self._kept += data
                self._place += len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _open(name: str) -> tuple[BufferedReader, int | None]:
    """Open a file or pipe without blocking on a missing writer; also return a file's size in bytes."""
    file = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode):
            return os.fdopen(file, "rb"), found.st_size
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(0, "it is a directory")
        if not stat.S_ISFIFO(found.st_mode) and not os.isatty(file):
            raise ImportFileError(f"{name}: is a device, which has no end; use a file or a pipe")
        kept = _first_of(file, name) if stat.S_ISFIFO(found.st_mode) else b""
        os.set_blocking(file, True)
        return BufferedReader(_Pipe(file, kept)), None
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


def _unreadable(name: str, error: Exception) -> ImportFileError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return ImportFileError(f"{name}: cannot be read: {reason}")
