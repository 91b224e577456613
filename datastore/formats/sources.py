"""A file as lines or as a text stream, plain or gzip, with the place for a progress bar."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from types import TracebackType

from datastore.errors import ImportFileError
from datastore.formats.items import BadLine

#: A line of more bytes is bad; no more than these are held.
MAX_LINE = 67_108_864

_PIECE = 1_048_576


class TextSource:
    """An open file; made by `open_text`. A context manager."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        #: The path, as it was given: the name in a `BadLine`.
        self.name = os.fspath(path)
        try:
            self._raw = Path(self.name).open("rb")  # noqa: SIM115 (closed by close)
            if not self._raw.seekable():
                self._raw.close()
                raise ImportFileError(f"{self.name}: a pipe cannot be read twice, as a file is; save it to one first")
            try:
                #: Bytes of the file on disk.
                self.total = os.fstat(self._raw.fileno()).st_size
                packed = self._raw.read(2) == b"\x1f\x8b"
                self._raw.seek(0)
            except OSError:
                self._raw.close()
                raise
        except (OSError, ValueError) as error:
            raise _unreadable(self.name, error) from error
        self._file: BufferedReader | gzip.GzipFile = gzip.GzipFile(fileobj=self._raw) if packed else self._raw
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._ended = False
        #: What is wrong with the file itself, once reading met it.
        self.damage: str | None = None

    @property
    def position(self) -> int:
        """Bytes of the file on disk read so far; `total` at the end."""
        return self.total if self._raw.closed else self._raw.tell()

    def read(self, size: int = _PIECE, /) -> str:
        """At most about *size* characters; "" at the end. An undecodable byte becomes a lone surrogate.

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
        """The lines that are not blank, each with its number; one that is no UTF-8 or too long as a `BadLine`.

        Raises:
            ImportFileError: The file cannot be read.
        """
        number = 0
        while data := self._guarded(MAX_LINE + 1, line=True):
            number += 1
            if len(data) > MAX_LINE and not data.endswith(b"\n"):
                del data
                self._skip_line()
                yield number, BadLine(self.name, number, f"longer than {MAX_LINE} bytes")
                continue
            try:
                text = data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield number, BadLine(self.name, number, f"no UTF-8 at byte {error.start + 1} of the line")
                continue
            if not text.isspace() and text:
                yield number, text
        if self.damage:
            yield number + 1, BadLine(self.name, number + 1, self.damage)

    def _skip_line(self) -> None:
        while (data := self._guarded(_PIECE, line=True)) and not data.endswith(b"\n"):
            pass

    def _guarded(self, size: int, *, line: bool) -> bytes:
        try:
            # read1, for read would lose what stands before the end of damaged data.
            return self._file.readline(size) if line else self._file.read1(size)
        except EOFError:
            self.damage = "the file ends in the middle of its compressed data"
        except (zlib.error, gzip.BadGzipFile):
            self.damage = "the file's compressed data is damaged"
        except (OSError, ValueError) as error:
            raise _unreadable(self.name, error) from error
        return b""

    def close(self) -> None:
        """Close the file; again does nothing."""
        self._file.close()
        self._raw.close()

    def __enter__(self) -> TextSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unreadable(name: str, error: Exception) -> ImportFileError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return ImportFileError(f"{name}: cannot be read: {reason}")
