"""Temporary files of this library: their names, permissions, locks and removal.

A file that will become FILE is first written as ``FILE.unfinished``, and SQLite may create companion files next to it. It is
private, locked while in use, and removed at the end. If its process was killed, `sweep` removes it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from datastore.errors import BackupError, BusyError, DatabaseError, DiskFullError, ReadOnlyDatabaseError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: The suffix of every temporary name; only this module creates such names.
UNFINISHED = ".unfinished"

#: The suffixes of files that SQLite and the write gate keep next to a database.
_BESIDE = ("-wal", "-shm", "-journal", ".gate")

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)

#: The drafts that this process is using: opening and closing one would drop SQLite's locks on it.
_in_use: set[Path] = set()


def unfinished(path: Path) -> Path:
    """The temporary name, in the same folder, of a file that will become *path*."""
    return path.with_name(path.name + UNFINISHED)


class Draft:
    """A new, private, empty file that will become *target*; a context manager.

    No other process can have it: it is created with O_EXCL and O_NOFOLLOW, so a link planted under its name is not followed.
    At the end it is removed, with SQLite's companion files, unless `put_in_place` renamed it.

    Raises:
        BusyError: Another command is writing the same file.
        DatabaseError: It cannot be created: see `typed`.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        #: Its temporary name.
        self.path = unfinished(target)
        self.file = -1
        #: Whether it was renamed to *target*: a file under the temporary name then belongs to another command.
        self.placed = False

    def __enter__(self) -> Draft:
        with typed(f"writing {self.path}"):
            while self.file < 0:
                if self.path in _in_use or not sweep(self.path):
                    raise BusyError(f"another command is writing {self.target}; wait for it")
                with suppress(FileExistsError):
                    self._make()
        return self

    def _make(self) -> None:
        file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | _NOFOLLOW, 0o600)
        try:
            if not _lock(file) or not _names(self.path, file):
                os.close(file)  # a sweep mistook it for an old one
                return
        except BaseException:
            os.close(file)
            raise
        _in_use.add(self.path)
        self.file = file

    def put_in_place(self, rights: os.stat_result | int = 0o600, *, locked: bool = True) -> None:
        """Rename it to its target, so that after a power cut it is there either completely or not at all.

        Args:
            rights: A file whose owner, group and mode it gets, as far as this process may set them; or a mode.
            locked: Whether to keep its lock until the draft ends. False for a database that others may open at once: closing the
                descriptor would drop SQLite's locks on it.

        Raises:
            BackupError: SQLite still has a part of it in a WAL.
        """
        wal = Path(f"{self.path}-wal")
        if wal.exists() and wal.stat().st_size:
            raise BackupError(f"{self.path} is still open elsewhere: part of it is in its WAL; close it first")
        with typed(f"writing {self.target}"):
            if isinstance(rights, int):
                self.path.chmod(rights)
            else:
                give_rights(self.file, rights)
            os.fsync(self.file)
            if not locked or fcntl is None:
                self._release()
            _remove_beside(self.path)  # a kill after the next line would leave these files
            self.path.replace(self.target)
            self.placed = True
            sync_folder(self.target.parent)

    def _release(self) -> None:
        if self.file >= 0:
            file, self.file = self.file, -1
            os.close(file)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self.placed:
                remove_database(self.path)
        finally:
            self._release()
            _in_use.discard(self.path)


def sweep(path: Path) -> bool:
    """Remove the file *path* that a killed command left, and its companion files.

    Args:
        path: A name that `unfinished` returned.

    Returns:
        Whether no file with that name remains: False if a command is using it.
    """
    if path in _in_use:
        return False
    if not is_left(path):
        return True
    try:
        # If only companion files are left, create it again: they too are removed under its lock.
        file = os.open(path, os.O_RDONLY | _NOFOLLOW | (0 if os.path.lexists(path) else os.O_CREAT), 0o600)
    except FileNotFoundError:  # another command has swept it in the meantime
        return True
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EMLINK):
            raise
        path.unlink(missing_ok=True)  # a link, which cannot be a draft
        return True
    try:
        if not _lock(file):
            return False
        if _names(path, file):
            remove_database(path)
        return True
    finally:
        os.close(file)


def is_left(path: Path) -> bool:
    """Whether the file *path* or one of SQLite's companion files exists."""
    return any(os.path.lexists(f"{path}{suffix}") for suffix in ("", *_BESIDE))


def in_use(path: Path) -> bool:
    """Whether a command has *path* as its draft, or has just finished it. Never call it for a database open in this process."""
    if path in _in_use:
        return True
    try:
        file = os.open(path, os.O_RDONLY | _NOFOLLOW)
    except OSError:
        return False
    try:
        return not _lock(file)
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _names(path: Path, file: int) -> bool:
    """Whether *path* still names the file that was opened."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def remove_database(path: Path) -> None:
    """Delete a file that nobody has open, after SQLite's companion files, which are found by its name."""
    _remove_beside(path)
    path.unlink(missing_ok=True)


def _remove_beside(path: Path) -> None:
    for suffix in _BESIDE:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def give_rights(file: int, model: os.stat_result, *, to_writers: bool = False) -> None:
    """Give an open file the owner, group and mode of another file, as far as this process may; never a wider mode.

    Args:
        file: The descriptor.
        model: The other file's status.
        to_writers: Give read and write access only to those who may write the other file.
    """
    if not hasattr(os, "fchown"):  # Windows
        return
    mode = stat.S_IMODE(model.st_mode) & 0o777
    if to_writers:
        mode = 0o600 | mode & 0o222 | (mode & 0o222) << 1
    now = os.fstat(file)
    if (now.st_uid, now.st_gid) != (model.st_uid, model.st_gid):
        with suppress(PermissionError):  # only root may change the owner
            os.fchown(file, model.st_uid if os.geteuid() == 0 else -1, model.st_gid)
        if os.fstat(file).st_gid != model.st_gid:
            mode &= ~0o070  # it has a different group
    os.fchmod(file, mode)


def make_beside(path: Path, database: Path) -> None:
    """Create the missing file *path* next to a database, empty, with the database's owner, group and mode.

    Raises:
        ReadOnlyDatabaseError: It cannot be created, or it exists and this process may not write to it.
    """
    with typed(f"opening {path}"):
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NOFOLLOW, 0o600)
        except FileExistsError:
            if not os.access(path, os.R_OK | os.W_OK):
                raise PermissionError(
                    errno.EACCES, "it belongs to another user, who ran a command that created it"
                ) from None
            return
        try:
            give_rights(file, database.stat())
        finally:
            os.close(file)


def is_stream(path: Path) -> bool:
    """Whether *path* must be written in place, not replaced: a pipe, a device, or a descriptor of this process (/dev/stdout)."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return True
    except FileNotFoundError:
        pass
    hop = path.absolute()
    while True:
        folder = Path(os.path.realpath(hop.parent)).parts
        if folder[:2] == ("/", "proc") or folder == ("/", "dev"):  # not /dev/shm, whose files are regular
            return True
        if not hop.is_symlink():
            return False
        hop = hop.parent / hop.readlink()


def rights_of_new(path: Path) -> os.stat_result | int:
    """The permissions for a requested file: those of the existing one, or the umask's default."""
    try:
        return path.stat()
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, if the system supports it."""
    with suppress(OSError):  # Windows cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def typed(action: str) -> Iterator[None]:
    """Translate the system's errors inside the block to this library's.

    Raises:
        DiskFullError: There is no space.
        ReadOnlyDatabaseError: It is not permitted, or the file system is read-only.
        DatabaseError: Any other error.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFullError(f"{action}: {reason}; free some space, or choose another folder") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ReadOnlyDatabaseError(f"{action}: {reason}; change the rights of the file or its folder") from error
        raise DatabaseError(f"{action}: {reason}") from error
