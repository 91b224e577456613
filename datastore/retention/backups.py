"""Backups: made online, verified before they count, registered, rotated; and restoring one."""

from __future__ import annotations

import builtins
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from datastore.engines.gate import Gate
from datastore.engines.sqlite_files import copy_into, held_alone
from datastore.errors import BackupError, BusyError, CorruptDatabaseError, DatabaseError, DiskFullError
from datastore.records.backups import Backup
from datastore.retention.verify import Mark, Verified, present_mark, verify

if TYPE_CHECKING:
    from datastore.engines.sqlite import SQLiteEngine
    from datastore.repositories import BackupRepository

#: Opens the copy that is to be verified, as a store.
Opener = Callable[[Path], AbstractContextManager[Verified]]

Progress = Callable[[float], None]

#: How a copy is called until it is verified.
_UNFINISHED = ".unfinished"

#: Room that is left beside the copy's own bytes.
_SPARE_BYTES = 16 * 1024 * 1024


class Backups:
    """The copies of one database: ``store.backups``."""

    def __init__(self, engine: SQLiteEngine, register: BackupRepository, opener: Opener) -> None:
        self._engine = engine
        self._register = register
        self._open = opener

    def create(
        self,
        target: str | os.PathLike[str],
        *,
        keep: int | None = None,
        max_age: timedelta | None = None,
        progress: Progress | None = None,
    ) -> Backup:
        """Write a consistent copy while others read and write, verify it, register it, and rotate.

        Args:
            target: A file that is not there yet, or a folder, in which the file's name is made of the time.
            keep: Of the registered copies in that folder, only so many (the newest) stay; at least 1.
            max_age: Of those, the ones that are older go; the newest stays whatever its age.
            progress: Called now and then with the seconds so far.

        Raises:
            BackupError: Something is at *target*, the copy was damaged on arrival, or *keep* is no count.
            DiskFullError: There is no room for it.
            BusyError: Another backup of this database is being made.
        """
        if keep is not None and keep < 1:
            raise BackupError("keep is at least 1: the newest copy always stays")
        path = self._place(Path(target).expanduser().absolute())
        with self._one_at_a_time():
            self.settle()
            backup = self._make(path, progress)
            self.rotate(path.parent, keep=keep, max_age=max_age)
            return backup

    def list(self) -> builtins.list[Backup]:
        """The copies that are kept, newest first. Those whose file has gone are noted as removed."""
        kept = []
        for backup in self._register.list():
            if Path(backup.path).exists():
                kept.append(backup)
            elif Path(backup.path).parent.is_dir():  # otherwise a disk that is not mounted now
                self._register.remove(backup.id)
        return kept

    def verify(self, path: str | os.PathLike[str]) -> dict[str, builtins.list[str]]:
        """Verify one copy: its bytes, and then whatever `datastore.retention.verify.verify` does.

        Raises:
            BackupError: No registered copy is at that path.
        """
        place = str(Path(path).expanduser().absolute())
        known = [backup for backup in self._register.list() if backup.path == place]
        if not known:
            raise BackupError(f"no registered backup is at {place}; datastore backups lists them")
        if not Path(place).exists():
            return {"bytes": ["the file is gone"]}
        if checksum(Path(place)) != known[0].checksum:
            return {"bytes": ["the file is not as it was written"]}
        return {"bytes": [], **self._verify_copy(Path(place), [_mark(known[0])])}

    def rotate(self, folder: Path, *, keep: int | None = None, max_age: timedelta | None = None) -> Sequence[Backup]:
        """Delete registered copies in *folder* beyond a count or an age; the newest always stays."""
        held = [backup for backup in self.list() if Path(backup.path).parent == folder.absolute()]
        oldest = None if max_age is None else self._engine.now() - max_age
        gone = [
            backup
            for place, backup in enumerate(held)
            if place and ((keep is not None and place >= keep) or (oldest is not None and backup.created_at < oldest))
        ]
        for backup in gone:
            Path(backup.path).unlink(missing_ok=True)
            sync_folder(folder)
            self._register.remove(backup.id)
        return gone

    def settle(self) -> None:
        """Tidy up behind a backup whose process was killed: its file is finished or it is gone."""
        for backup in self._register.list("writing"):
            path = Path(backup.path)
            remove_database(unfinished(path))
            if path.exists():  # it is given its name only once it is verified
                with self._open(path) as copy:
                    mark = present_mark(copy)
                self._finish(backup.id, path, mark)
            else:
                self._register.fail(backup.id)

    def _make(self, path: Path, progress: Progress | None) -> Backup:
        self._refuse_full(path.parent)
        draft = unfinished(path)
        id = self._register.add(str(path))
        try:
            # Made here first, so that nobody else can read it: it holds all that the database holds.
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            copy_into(self._engine, draft, progress)
            problems, mark = self._arrived(draft)
            if problems:
                raise BackupError(f"the copy was damaged on arrival: {problems[0]}")
            put_in_place(draft, path)
        except BaseException:
            remove_database(draft)
            self._register.fail(id)
            raise
        return self._finish(id, path, mark)

    def _arrived(self, draft: Path) -> tuple[builtins.list[str], Mark]:
        with self._open(draft) as copy:
            return problems_in(verify(copy, deep=True)), present_mark(copy)

    def _verify_copy(self, path: Path, marks: builtins.list[Mark]) -> dict[str, builtins.list[str]]:
        # A copy of the copy: opening a database may change it (its journal mode, say).
        draft = unfinished(path)
        remove_database(draft)
        try:
            shutil.copyfile(path, draft)
            with self._open(draft) as copy:
                return verify(copy, marks, deep=True)
        except DatabaseError as error:
            return {"file": [str(error)]}
        finally:
            remove_database(draft)

    def _finish(self, id: str, path: Path, mark: Mark) -> Backup:
        return self._register.finish(
            id,
            file_bytes=path.stat().st_size,
            checksum=checksum(path),
            audit_id=mark.audit_id,
            audit_hash=mark.audit_hash,
        )

    def _place(self, target: Path) -> Path:
        if target.is_dir():
            at = self._engine.now()
            target /= f"{self._engine.path.stem}-{at:%Y%m%dT%H%M%S}.{at.microsecond:06d}Z.db"
        if target.exists():
            raise BackupError(f"{target} is there already; a backup overwrites nothing")
        if not target.parent.is_dir():
            raise BackupError(f"there is no folder {target.parent}")
        return target

    def _refuse_full(self, folder: Path) -> None:
        needed = self._engine.pragma("page_count") * self._engine.pragma("page_size")
        refuse_full(folder, needed, "a backup")

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        gate = Gate(f"{self._engine.path}.backup")
        try:
            gate.acquire(0.1)
        except BusyError as error:
            gate.close()
            raise BusyError("another backup of this database is being made; wait for it") from error
        try:
            yield
        finally:
            gate.release()
            gate.close()


@attrs.frozen
class Restored(Mark):
    """The restored database's high-water mark, and what its tombstones did."""

    #: Subjects that the backup had, and that were erased again; and those that a legal hold of the backup kept.
    erased: int = 0
    held: int = 0


def restore(
    backup: Path,
    database: Path,
    *,
    opener: Opener,
    amend: Callable[[Verified], tuple[int, int]] | None = None,
    force: bool = False,
    timeout: float = 1.0,
) -> Restored:
    """Put a verified copy of *backup* in the place of *database*, which nobody may have open.

    Whatever happens on the way, *database* is either what it was or the whole backup.

    Args:
        backup: The file that `Backups.create` made.
        database: Where to; it may be missing.
        opener: Opens the copy, to verify it.
        amend: Erases again what the copy has and is not to have; gives how much went and how much was kept.
        force: Replace a database that is too damaged to tell whether it is in use.
        timeout: How long to wait for others to close it, in seconds.

    Returns:
        The restored database's high-water mark, and what *amend* did.

    Raises:
        BackupError: The backup is missing, damaged or the database itself; nothing was changed.
        BusyError: The database is in use; nothing was changed.
        CorruptDatabaseError: It is damaged and *force* was not given; nothing was changed.
    """
    if not backup.is_file() or not backup.stat().st_size:
        raise BackupError(f"there is no backup at {backup}")
    if database.exists() and backup.samefile(database):
        raise BackupError("the backup is the database itself")
    wal = Path(f"{backup}-wal")
    if wal.exists() and wal.stat().st_size:
        raise BackupError(f"{backup} has a WAL: it is a database in use, not a backup; make one of it first")
    draft = unfinished(database)
    remove_database(draft)
    refuse_full(database.absolute().parent, backup.stat().st_size, "restoring")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        shutil.copyfile(backup, draft)
        done = _verified(draft, opener, amend)
        with _out_of_use(database, timeout=timeout, force=force):
            put_in_place(draft, database)
        return done
    finally:
        remove_database(draft)


def _verified(draft: Path, opener: Opener, amend: Callable[[Verified], tuple[int, int]] | None) -> Restored:
    counts = 0, 0
    try:
        with opener(draft) as copy:
            problems = problems_in(verify(copy, deep=True))
            if amend is not None and not problems:
                counts = amend(copy)
                problems = problems_in(verify(copy))
            mark = present_mark(copy)
    except DatabaseError as error:
        raise BackupError(f"the backup cannot be restored: {error}") from error
    if problems:
        raise BackupError(f"the backup is damaged: {problems[0]}")
    return Restored(mark.audit_id, mark.audit_hash, *counts)


@contextmanager
def _out_of_use(database: Path, *, timeout: float, force: bool) -> Iterator[None]:
    if not database.exists():
        yield
        return
    holding = held_alone(database, timeout)
    try:
        holding.__enter__()
    except CorruptDatabaseError as error:
        if not force:
            raise CorruptDatabaseError(
                f"{database} is damaged, so it cannot be seen whether it is in use; stop what uses it, then force"
            ) from error
        for suffix in ("-wal", "-shm", "-journal"):  # the restored file is not theirs
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        yield
        return
    try:
        yield
    finally:
        holding.__exit__(None, None, None)


def unfinished(path: Path) -> Path:
    """The name of a file that is to become *path*, in the same folder."""
    return path.with_name(path.name + _UNFINISHED)


def put_in_place(draft: Path, path: Path) -> None:
    """Give a finished file its name, so that it survives a power cut with all its bytes or not at all."""
    wal = Path(f"{draft}-wal")
    if wal.exists() and wal.stat().st_size:
        raise BackupError(f"{draft} is still open elsewhere: a part of it is in its WAL")
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    with suppress(OSError):  # Windows opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_database(path: Path) -> None:
    """Delete a file that nobody has open, with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal", ".gate"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def checksum(path: Path) -> str:
    """SHA-256, lower-case hex. Never of a database that this process has open: closing it drops SQLite's locks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_full(folder: Path, needed: int, action: str) -> None:
    """Raise where a folder's disk has no room for so many bytes and some to spare.

    Raises:
        DiskFullError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise DiskFullError(
            f"{action} needs {(needed + _SPARE_BYTES) >> 20} MiB in {folder}, and {free >> 20} MiB are free"
        )


def problems_in(results: dict[str, list[str]]) -> list[str]:
    """What every check found, in one list."""
    return [problem for problems in results.values() for problem in problems]


def _mark(backup: Backup) -> Mark:
    return Mark(backup.audit_id or 0, backup.audit_hash or "")
