"""Opens what a person names: a file, "-", a pipe, a ZIP archive, a SQLite database or a directory, as one or more sources."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, TypeAlias

import attrs

from datastore.errors import ImportFileError
from datastore.formats.sources import PIECE, Raw, TextSource, open_raw, unreadable

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_SQLITE = b"SQLite format 3\0"

#: The endings of files that may have records; others in a directory or an archive are named in the report.
_TEXT = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".gz")
_ENDINGS = (*_TEXT, ".zip", ".db", ".sqlite", ".sqlite3")

#: Files of ChatGPT's and Claude.ai's archives that have no conversations, and whose names are always the same.
_ACCOMPANYING = frozenset(
    {
        "user.json", "users.json", "user_settings.json", "message_feedback.json", "model_comparisons.json",
        "shared_conversations.json", "group_chats.json", "export_manifest.json", "manifest.json", "sora.json",
    }
)  # fmt: skip


@attrs.frozen
class DatabaseSource:
    """A SQLite database, which another program wrote."""

    name: str
    path: Path


@attrs.frozen
class NoSource:
    """A file that is not read."""

    name: str
    #: What it is, if the report only counts it.
    kind: str = ""
    #: Why it cannot be read; "": it has no conversations, and is left out on purpose.
    reason: str = ""


Source: TypeAlias = TextSource | DatabaseSource | NoSource


def open_text(path: str | os.PathLike[str], *, replace_invalid: bool = False) -> TextSource:
    """Open one file of text, plain or gzip (by its first bytes), a pipe or "-"; use it in a ``with`` statement.

    Args:
        path: The file.
        replace_invalid: Replace bytes that are not text, and NUL characters, instead of refusing their records.

    Raises:
        ImportFileError: It is missing, a directory, a device, a pipe without a writer, or cannot be read.
    """
    name = os.fsdecode(path)
    raw, size = open_raw(name)
    return TextSource(raw, name, size, replace_invalid=replace_invalid)


def open_sources(path: str | os.PathLike[str], *, replace_invalid: bool = False) -> Iterator[Source]:
    """Open everything at *path*, one source at a time: the next one closes the previous.

    A directory gives its files and those of its folders, sorted by name; an archive gives its members.

    Raises:
        ImportFileError: See `open_text`.
    """
    name = os.fsdecode(path)
    if name != "-" and "\0" not in name and Path(name).is_dir():
        yield from _of_directory(Path(name), replace_invalid)
        return
    raw, size = open_raw(name)
    with raw:
        first = _first(raw, name)
        if first.startswith(_ZIP):
            yield from _of_archive(raw, name, size, replace_invalid)
        elif first.startswith(_SQLITE):
            yield from _of_database(raw, name, size)
        else:
            with TextSource(raw, name, size, replace_invalid=replace_invalid) as source:
                yield source


def _first(raw: Raw, name: str) -> bytes:
    try:
        return raw.peek(16)[:16]
    except OSError as error:
        raise unreadable(name, error) from error


def _of_directory(folder: Path, replace_invalid: bool) -> Iterator[Source]:
    for at, folders, files in os.walk(folder, onerror=None):
        folders.sort()
        for file in sorted(files):
            name = os.path.join(at, file)  # noqa: PTH118 - keeps the name as the person gave it
            if not file.lower().endswith(_ENDINGS):
                yield NoSource(name, _kind(file))
            elif not Path(name).is_file():
                yield NoSource(name, reason="is not a regular file; name it to import it")
            else:
                try:
                    yield from open_sources(name, replace_invalid=replace_invalid)
                except ImportFileError as error:
                    yield NoSource(name, reason=str(error).removeprefix(f"{name}: "))


def _kind(name: str) -> str:
    ending = Path(name).suffix.lower()
    return f"file that ends in {ending}" if ending and len(ending) < 12 else "other file"


def _of_archive(raw: Raw, name: str, size: int | None, replace_invalid: bool) -> Iterator[Source]:
    with tempfile.TemporaryFile() as spool:
        try:
            if size is None:
                shutil.copyfileobj(raw, spool, PIECE)  # the list of members is at the end
            archive = zipfile.ZipFile(raw if size is not None else spool)
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise ImportFileError(f"{name}: is no complete ZIP archive; download it again") from error
        with archive:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                if not member.is_dir():
                    yield from _of_member(archive, member, f"{name}/{member.filename}", replace_invalid)


def _of_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, replace_invalid: bool) -> Iterator[Source]:
    file = Path(member.filename).name
    if file.lower() in _ACCOMPANYING:
        yield NoSource(name, file.lower())
        return
    if not file.lower().endswith(_ENDINGS) or file.startswith("._"):
        yield NoSource(name, _kind(file))
        return
    if member.flag_bits & 1:
        yield NoSource(name, reason="is encrypted; unpack the archive first")
        return
    try:
        opened = archive.open(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        yield NoSource(name, reason=f"cannot be unpacked: {type(error).__name__}")
        return
    # A member can seek only by unpacking again.
    with BufferedReader(_Member(opened), PIECE) as raw:
        first = _first_of_member(raw)
        if first is None:
            yield NoSource(name, reason="its compressed data is damaged; download the archive again")
        elif first.startswith(_ZIP):
            yield NoSource(name, reason="is an archive in an archive; unpack it first")
        elif first.startswith(_SQLITE):
            yield from _of_database(raw, name, None)
        else:
            with TextSource(raw, name, member.file_size, replace_invalid=replace_invalid) as source:
                yield source


class _Member(RawIOBase):
    """A member of an archive as an unbuffered file: it cannot seek, because that would unpack it again."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes a memoryview
        data = self._member.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._member.close()
        super().close()


def _first_of_member(raw: Raw) -> bytes | None:
    """The first bytes; None if they, or the checksum of a small member, are damaged."""
    try:
        return raw.peek(16)[:16]
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile):
        return None


def _of_database(raw: Raw, name: str, size: int | None) -> Iterator[Source]:
    if size is not None and name != "-":
        yield DatabaseSource(name, Path(name))
        return
    folder = Path(tempfile.mkdtemp(prefix="datastore-"))  # readable by this user only
    try:
        with (folder / "copy.db").open("xb") as copy:
            shutil.copyfileobj(raw, copy, PIECE)
        yield DatabaseSource(name, folder / "copy.db")
    except OSError as error:
        raise unreadable(name, error) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
