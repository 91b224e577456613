"""Backups: made online, verified, registered and rotated; and restoring one."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from datastore.address import real_path
from datastore.engines.sqlite.files import copy_into, held_alone
from datastore.errors import (
    BackupError,
    BusyError,
    CorruptDatabaseError,
    DatabaseError,
    DiskFullError,
    InvalidValueError,
)
from datastore.files import Draft, in_use, is_left, sweep, sync_folder, typed, unfinished
from datastore.records.backups import Backup, BackupStatus
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS
from datastore.upkeep.verify import Mark, Problems, present_mark

if TYPE_CHECKING:
    from datastore.engines.sqlite.engine import SQLiteEngine
    from datastore.repositories import AuditRepository, BackupRepository


class Verified(Protocol):
    """The part of a store that verification needs."""

    audit: AuditRepository

    def verify(self, marks: Iterable[Mark] = (), *, deep: bool = False) -> Problems: ...


#: Opens a copy as a store, to verify it.
Opener = Callable[[Path], AbstractContextManager[Verified]]

Progress = Callable[[float], None]

Noted = TypeVar("Noted")

#: Free space that must remain in addition to the copy's own size.
_SPARE_BYTES = 16 * 1024 * 1024

_every_status: tuple[BackupStatus, ...] = ("kept", "writing", "removed", "failed")


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
        on_progress: Progress | None = None,
    ) -> Backup:
        """Write a consistent copy while others read and write, verify it, register it, and rotate.

        It needs no space on the database's own disk. If that disk is full, so that the register cannot be written, the copy's
        status is "unregistered": `register` it once there is space, so that erasures and rotation include it.

        Args:
            target: A file that does not exist yet, or a folder, in which the file is named after the time.
            keep: Number of registered copies (the newest) to keep in that folder; at least 1.
            max_age: Registered copies in that folder that are older are deleted; the newest is kept whatever its age.
            on_progress: Called periodically with the seconds elapsed. It may use the store.

        Raises:
            BackupError: *target* exists, the copy is damaged, or *keep* is less than 1.
            DiskFullError: There is no space for it.
            ReadOnlyDatabaseError: The folder cannot be written to.
            BusyError: Another command is writing the same file.
        """
        if keep is not None and keep < 1:
            raise BackupError("keep must be at least 1: the newest copy is always kept")
        path = self._place(real_path(target))
        with typed(f"a backup to {path}"), self._engine.events.operation("backup") as counts:
            self._settle()
            backup = self._make(path, on_progress)
            counts["bytes"] = backup.file_bytes or 0
            self.rotate(path.parent, keep=keep, max_age=max_age)
        return backup

    def list(self, *, after: str | None = None, max_rows: int = DEFAULT_ROWS) -> Page[Backup]:
        """One page of the kept copies, newest first; a copy whose file is gone is left out and recorded as removed.

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        page = self._register.list(after=after, max_rows=max_rows)
        return attrs.evolve(page, items=tuple(filter(self._is_there, page)))

    def iterate(self) -> Iterator[Backup]:
        """Every kept copy, newest first, read page by page."""
        return every(self.list)

    def _is_there(self, backup: Backup) -> bool:
        if Path(backup.path).exists():
            return True
        if Path(backup.path).parent.is_dir():  # if not, its disk may be unmounted
            self._note(self._register.remove, backup.id)
        return False

    def verify(self, path: str | os.PathLike[str]) -> Problems:
        """Verify one copy: its bytes, then everything that `datastore.upkeep.verify.verify` checks.

        Raises:
            BackupError: No registered copy is at that path.
            BusyError: Another command is verifying it.
        """
        place = real_path(path)
        known = [backup for backup in self._register.iterate() if backup.path == str(place)]
        if not known:
            raise BackupError(f"no registered backup is at {place}; datastore backups lists them")
        with typed(f"verifying {place}"):
            if not place.exists():
                return {"bytes": ["the file is gone"]}
            if checksum(place) != known[0].checksum:
                return {"bytes": ["the file was changed after it was written"]}
            return {"bytes": [], **self._verify_copy(place, [_mark(known[0])])}

    def register(self, path: str | os.PathLike[str]) -> Backup:
        """Register an unregistered copy of this database, made on a full disk or moved. It is verified first.

        Raises:
            BackupError: There is no copy at that path, it is damaged, or it is already registered.
        """
        place = real_path(path)
        if any(backup.path == str(place) for backup in self._register.iterate()):
            raise BackupError(f"{place} is already registered")
        refuse_no_backup(place)
        with typed(f"registering {place}"):
            with self._engine.transaction():
                self._register.fail(
                    self._register.add(str(place))
                )  # `sweep` needs this row to find the draft of a killed command
            with Draft(place) as draft:
                shutil.copyfile(place, draft.path)
                problems, mark = self._arrived(draft.path)
            if problems:
                raise BackupError(f"{place} is damaged: {problems[0]}")
            return self._finish(self._register.add(str(place)), place, mark)

    def rotate(self, folder: Path, *, keep: int | None = None, max_age: timedelta | None = None) -> Sequence[Backup]:
        """Delete registered copies in *folder* beyond a count or an age; the newest is always kept."""
        held = [backup for backup in self.iterate() if Path(backup.path).parent == folder.absolute()]
        oldest = None if max_age is None else self._engine.now() - max_age
        gone = [
            backup
            for place, backup in enumerate(held)
            if place and ((keep is not None and place >= keep) or (oldest is not None and backup.created_at < oldest))
        ]
        for backup in gone:
            Path(backup.path).unlink(missing_ok=True)
            sync_folder(folder)
            self._note(self._register.remove, backup.id)
        return gone

    def _settle(self) -> None:
        """Clean up after killed commands: finish or fail each backup that was being written, and remove its draft."""
        self.sweep()
        for backup in self._register.iterate("writing"):
            path = Path(backup.path)
            # In this order: between the two checks it may be renamed.
            if not sweep(unfinished(path)) or in_use(path):
                continue  # it is being written
            if path.exists():  # it gets its final name only after it is verified
                with self._open(path) as copy:
                    mark = present_mark(copy.audit)
                self._finish(backup.id, path, mark)
            else:
                self._note(self._register.fail, backup.id)

    def sweep(self) -> tuple[int, Sequence[Path]]:
        """Remove what killed commands left: drafts of restored databases, of backups, and of copies of backups.

        Returns:
            The number of removed drafts, and the drafts that a command is writing now.
        """
        places = [self._engine.path]
        places += [Path(backup.path) for status in _every_status for backup in self._register.iterate(status)]
        there = [draft for draft in dict.fromkeys(map(unfinished, places)) if is_left(draft)]
        busy = [draft for draft in there if not sweep(draft)]
        return len(there) - len(busy), busy

    def _make(self, path: Path, progress: Progress | None) -> Backup:
        self._refuse_full(path.parent)
        # Register it before the file exists, so that a kill leaves nothing unknown.
        id, draft = self._note(self._register.add, str(path)), Draft(path)
        try:
            with draft:
                if id is not None and id not in [row.id for row in self._register.iterate("writing")]:
                    id = self._note(self._register.add, str(path))  # another `_settle` ran before the file existed
                copy_into(self._engine, draft.path, progress)
                problems, mark = self._arrived(draft.path)
                if problems:
                    raise BackupError(f"the new copy is damaged: {problems[0]}")
                draft.put_in_place()
                return self._finish(id, path, mark)
        except BaseException:
            if id is not None and not draft.placed:
                self._note(self._register.fail, id)
            raise

    def _note(self, write: Callable[[str], Noted], value: str) -> Noted | None:
        """Write the register; None if its disk is full: the copy needs no space there, and `_settle` and `list` catch up later."""
        try:
            with typed("the register of backups"):
                return write(value)
        except DiskFullError:
            return None

    def _arrived(self, draft: Path) -> tuple[Sequence[str], Mark]:
        with self._open(draft) as copy:
            return problems_in(copy.verify(deep=True)), present_mark(copy.audit)

    def _verify_copy(self, path: Path, marks: Sequence[Mark]) -> Problems:
        # Verify a copy of the copy: opening a database may change it (its journal mode, say).
        with Draft(path) as draft:
            try:
                shutil.copyfile(path, draft.path)
                with self._open(draft.path) as copy:
                    return copy.verify(marks, deep=True)
            except DatabaseError as error:
                return {"file": [str(error)]}

    def _finish(self, id: str | None, path: Path, mark: Mark) -> Backup:
        size, sum = path.stat().st_size, checksum(path)

        def finish(place: str) -> Backup:
            known = self._register.add(place) if id is None else id
            return self._register.finish(
                known, file_bytes=size, checksum=sum, audit_id=mark.audit_id, audit_hash=mark.audit_hash
            )

        return self._note(finish, str(path)) or Backup(
            id="",
            path=str(path),
            status="unregistered",
            created_at=self._engine.now(),
            finished_at=self._engine.now(),
            removed_at=None,
            file_bytes=size,
            checksum=sum,
            audit_id=mark.audit_id,
            audit_hash=mark.audit_hash,
        )

    def _place(self, target: Path) -> Path:
        if target.is_dir():
            at = self._engine.now()
            target /= f"{self._engine.path.stem}-{at:%Y%m%dT%H%M%S}.{at.microsecond:06d}Z.db"
        if target.exists():
            raise BackupError(f"{target} already exists; give another path")
        if not target.parent.is_dir():
            raise BackupError(f"there is no folder {target.parent}")
        return target

    def _refuse_full(self, folder: Path) -> None:
        needed = self._engine.pragma("page_count") * self._engine.pragma("page_size")
        refuse_full(folder, needed, "a backup")


@attrs.frozen
class Restored(Mark):
    """The restored database's high-water mark, and the effect of its tombstones."""

    #: Subjects in the backup that were erased again; and those that a legal hold in the backup protected.
    erased: int = 0
    held: int = 0
    #: Whether its SHA-256 was compared with a registered or given one. False: only its content was verified.
    compared: bool = False


def restore(
    backup: Path,
    database: Path,
    *,
    opener: Opener,
    sums: Iterable[str] | None = None,
    amend: Callable[[Any, str], tuple[int, int]],
    settled: Callable[[], bool] = lambda: True,
    force: bool = False,
    timeout: float = 1.0,
) -> Restored:
    """Replace *database*, which nobody may have open, with a verified copy of *backup*.

    Whenever it fails, *database* is either unchanged or the complete backup.

    Args:
        backup: The file that `Backups.create` made.
        database: The path to restore to; it may be missing.
        opener: Opens the copy, to verify it.
        sums: The allowed SHA-256 values of the backup. None: its SHA-256 is unknown.
        amend: Called with the copy and the backup's SHA-256: erases again what was erased after the backup, and registers the
            backup in the copy; returns the number of erased subjects and of those that a hold protected.
        settled: Called once nobody can open *database* any more: whether *amend*'s information is still complete.
        force: Replace a database that is too damaged to tell whether it is in use.
        timeout: How long to wait for others to close it, in seconds.

    Returns:
        The restored database's high-water mark, and the result of *amend*.

    Raises:
        BackupError: The backup is missing, damaged, not the registered one, or the database itself; nothing was changed.
        BusyError: The database is in use, or something was erased from it meanwhile; nothing was changed.
        CorruptDatabaseError: It is damaged and *force* was not given; nothing was changed.
        DiskFullError: There is no space; nothing was changed.
    """
    refuse_no_backup(backup)
    with typed(f"restoring {backup}"):
        if database.exists() and backup.samefile(database):
            raise BackupError("the backup is the database itself")
        refuse_full(database.parent, backup.stat().st_size, "restoring")
        with Draft(database) as draft:
            shutil.copyfile(backup, draft.path)
            # Of the copy: the backup may change between two reads.
            sum = checksum(draft.path)
            if sums is not None and sum not in sums:
                raise BackupError(
                    f"{backup} has changed since it was registered: its SHA-256 differs; restore another backup"
                )
            done = _verified(draft.path, opener, lambda copy: amend(copy, sum))
            # Keep the old database's permissions; if it is missing, the backup's, which are private.
            rights = (database if database.exists() else backup).stat()
            with _out_of_use(database, timeout=timeout, force=force):
                if not settled():
                    raise BusyError(f"something was erased from {database} meanwhile; restore again")
                draft.put_in_place(rights, locked=False)
    return attrs.evolve(done, compared=sums is not None)


def refuse_no_backup(path: Path) -> None:
    """Refuse a path that is not a file, is empty, or has a WAL.

    Raises:
        BackupError: It is one of these.
    """
    if not path.is_file() or not path.stat().st_size:
        raise BackupError(f"there is no backup at {path}")
    wal = Path(f"{path}-wal")
    if wal.exists() and wal.stat().st_size:
        raise BackupError(f"{path} has a WAL: it is a database in use, not a backup; make a backup of it first")


def known_sums(backup: Path, register: Sequence[Backup] | None) -> list[str] | None:
    """The SHA-256 values that a backup may have, by the register of the database that it is restored to.

    Args:
        backup: The file.
        register: Every copy that was ever registered. None: the database cannot be read, so its register is unknown.

    Raises:
        BackupError: It is registered neither at this path nor, with the same bytes, at another one.
    """
    if register is None:
        return None
    here = [row.checksum for row in register if row.path == str(backup) and row.checksum is not None]
    if here:
        return here[:1]  # the newest at that path
    moved = [row.checksum for row in register if row.checksum is not None]
    if checksum(backup) in moved:
        return moved
    raise BackupError(
        f"{backup} is not registered in the database that it would replace; choose one that datastore backups lists, or use"
        " --unregistered (unregistered=True) to restore it if its content is sound"
    )


def _verified(draft: Path, opener: Opener, amend: Callable[[Verified], tuple[int, int]]) -> Restored:
    counts = 0, 0
    try:
        with opener(draft) as copy:
            problems = problems_in(copy.verify(deep=True))
            if not problems:
                counts = amend(copy)
                problems = problems_in(copy.verify()) if counts[0] else []
            mark = present_mark(copy.audit)
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
                f"{database} is damaged, so it is unknown whether it is in use; stop all processes that use it, then force"
            ) from error
        for suffix in ("-wal", "-shm", "-journal"):  # they do not belong to the restored file
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        yield
        return
    try:
        yield
    finally:
        holding.__exit__(None, None, None)


def checksum(path: Path) -> str:
    """SHA-256 in lower-case hex. Never call it for a database that this process has open: closing it drops SQLite's locks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(text: str) -> str:
    """Normalize a typed SHA-256 to lower case.

    Raises:
        InvalidValueError: It is not a SHA-256.
    """
    sum = text.strip().lower()
    if len(sum) != 64 or not set(sum) <= set("0123456789abcdef"):
        raise InvalidValueError("sha256: 64 hexadecimal digits are needed")
    return sum


def refuse_full(folder: Path, needed: int, action: str) -> None:
    """Raise if a folder's disk has less free space than *needed* bytes and a reserve.

    Raises:
        DiskFullError: There is not enough space.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise DiskFullError(
            f"{action} needs {(needed + _SPARE_BYTES) >> 20} MiB in {folder}, and {free >> 20} MiB are free; free some space"
        )


def problems_in(results: Problems) -> list[str]:
    """The problems of all checks, in one list."""
    return [problem for problems in results.values() for problem in problems]


def _mark(backup: Backup) -> Mark:
    return Mark(backup.audit_id or 0, backup.audit_hash or "")
