"""The files that this library makes for a while: what they are called, who may read them, who uses them, who removes them.

A file that is to become FILE is written as ``FILE.unfinished``, and SQLite may keep more files beside that. It is private, it is
locked while it is in use, and it is removed at the end. Where its process was killed, `sweep` removes it.
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

#: Every name that is given for a while ends so; no other module makes such names.
UNFINISHED = ".unfinished"

#: What SQLite and the write gate keep beside a database.
_BESIDE = ("-wal", "-shm", "-journal", ".gate")

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)

#: Those that this process uses: opening and closing one would drop SQLite's locks on it.
_in_use: set[Path] = set()


def unfinished(path: Path) -> Path:
    """The name of a file that is to become *path*, in the same folder."""
    return path.with_name(path.name + UNFINISHED)


class Draft:
    """A new, private, empty file that is to become *target*; a context manager.

    Nobody else can have it: it is made with O_EXCL and O_NOFOLLOW, so that a link that was planted under its name is not followed.
    At the end it is gone, with what SQLite kept beside it, unless `put_in_place` gave it its name.

    Raises:
        BusyError: Another command writes the same file now.
        DatabaseError: It cannot be made: see `typed`.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        #: Its name until it is finished.
        self.path = unfinished(target)
        self.file = -1
        #: Whether it has its name: then whatever is called as before is another's.
        self.placed = False

    def __enter__(self) -> Draft:
        with typed(f"writing {self.path}"):
            while self.file < 0:
                if self.path in _in_use or not sweep(self.path):
                    raise BusyError(f"another command writes {self.target} now; wait for it")
                with suppress(FileExistsError):
                    self._make()
        return self

    def _make(self) -> None:
        file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | _NOFOLLOW, 0o600)
        try:
            if not _lock(file) or not _names(self.path, file):
                os.close(file)  # a sweep took it for an old one
                return
        except BaseException:
            os.close(file)
            raise
        _in_use.add(self.path)
        self.file = file

    def put_in_place(self, rights: os.stat_result | int = 0o600, *, locked: bool = True) -> None:
        """Give it its name, so that it survives a power cut with all its bytes or not at all.

        Args:
            rights: A file whose owner, group and mode it gets as far as this process may give them; or a mode.
            locked: Whether its lock stays until the draft's end. Not for a database that somebody may open then: closing the
                descriptor would drop SQLite's locks on it.

        Raises:
            BackupError: SQLite still has a part of it in a WAL.
        """
        wal = Path(f"{self.path}-wal")
        if wal.exists() and wal.stat().st_size:
            raise BackupError(f"{self.path} is still open elsewhere: a part of it is in its WAL")
        with typed(f"writing {self.target}"):
            if isinstance(rights, int):
                self.path.chmod(rights)
            else:
                give_rights(self.file, rights)
            os.fsync(self.file)
            if not locked or fcntl is None:
                self._release()
            _remove_beside(self.path)  # a kill after the next line would leave it
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
    """Remove a file of the name *path* that a killed command left, and what is beside it.

    Args:
        path: What `unfinished` gives.

    Returns:
        Whether nothing of that name is there now: False where a command is using it.
    """
    if path in _in_use:
        return False
    if not is_left(path):
        return True
    try:
        # Where only the files beside it are left, it is made again: they are removed under its lock as well.
        file = os.open(path, os.O_RDONLY | _NOFOLLOW | (0 if os.path.lexists(path) else os.O_CREAT), 0o600)
    except FileNotFoundError:  # another command has swept meanwhile
        return True
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EMLINK):
            raise
        path.unlink(missing_ok=True)  # a link, which is nobody's draft
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
    """Whether there is a file of the name *path*, or one that SQLite keeps beside it."""
    return any(os.path.lexists(f"{path}{suffix}") for suffix in ("", *_BESIDE))


def in_use(path: Path) -> bool:
    """Whether a command has *path* as its draft, or has just finished it. Not to be asked of a database that is open here."""
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
    """Whether *path* is still the file that was opened by it."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def remove_database(path: Path) -> None:
    """Delete a file that nobody has open, with what SQLite keeps beside it; last itself, by which the others are found."""
    _remove_beside(path)
    path.unlink(missing_ok=True)


def _remove_beside(path: Path) -> None:
    for suffix in _BESIDE:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def give_rights(file: int, model: os.stat_result, *, to_writers: bool = False) -> None:
    """Give an open file the owner, group and mode of another one, as far as this process may; never wider than that one's.

    Args:
        file: The descriptor.
        model: The other one.
        to_writers: Only who may write the other one may read and write this one.
    """
    if not hasattr(os, "fchown"):  # Windows
        return
    mode = stat.S_IMODE(model.st_mode) & 0o777
    if to_writers:
        mode = 0o600 | mode & 0o222 | (mode & 0o222) << 1
    now = os.fstat(file)
    if (now.st_uid, now.st_gid) != (model.st_uid, model.st_gid):
        with suppress(PermissionError):  # only root gives files away
            os.fchown(file, model.st_uid if os.geteuid() == 0 else -1, model.st_gid)
        if os.fstat(file).st_gid != model.st_gid:
            mode &= ~0o070  # another group's
    os.fchmod(file, mode)


def make_beside(path: Path, database: Path) -> None:
    """Make the missing file *path* beside a database, empty, with the database's owner, group and mode.

    Raises:
        ReadOnlyDatabaseError: It is there, or would be, and this process may not write to it.
    """
    with typed(f"opening {path}"):
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NOFOLLOW, 0o600)
        except FileExistsError:
            if not os.access(path, os.R_OK | os.W_OK):
                raise PermissionError(
                    errno.EACCES, "another user's, made by a command that was run as that user"
                ) from None
            return
        try:
            give_rights(file, database.stat())
        finally:
            os.close(file)


def is_stream(path: Path) -> bool:
    """Whether *path* is written through, and never replaced: a pipe, a device, or a descriptor of this process (/dev/stdout)."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return True
    except FileNotFoundError:
        pass
    hop = path.absolute()
    while True:
        if Path(os.path.realpath(hop.parent)).parts[:2] in (("/", "proc"), ("/", "dev")):
            return True
        if not hop.is_symlink():
            return False
        hop = hop.parent / hop.readlink()


def rights_of_new(path: Path) -> os.stat_result | int:
    """The rights of a file that a person asked for: those of the one that is there, or what the umask leaves."""
    try:
        return path.stat()
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    with suppress(OSError):  # Windows opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def typed(action: str) -> Iterator[None]:
    """The system's errors inside the block as this library's.

    Raises:
        DiskFullError: There is no room.
        ReadOnlyDatabaseError: It is not permitted, or the file system is read-only.
        DatabaseError: Anything else.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFullError(f"{action}: {reason}; make room, or choose another folder") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ReadOnlyDatabaseError(f"{action}: {reason}; change the rights of the file or its folder") from error
        raise DatabaseError(f"{action}: {reason}") from error
