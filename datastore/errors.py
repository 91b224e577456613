"""The exceptions that this library raises, as one tree.

There is one leaf class per way in which a caller may want to react::

    DatastoreError
    ├── NotFoundError               no row has this id, or it is soft-deleted
    ├── InvalidValueError           a value that cannot be stored: change it   (also ValueError)
    │   └── CursorError             a page cursor that is damaged or belongs to another list
    ├── ConstraintError             the database refused the row: see .constraint
    │   ├── UniqueError             a row with this key already exists
    │   ├── ForeignKeyError         the row that it refers to does not exist
    │   ├── CheckError              a value is outside its range, missing, or of another type
    │   └── TransitionError         not allowed in the current status, or the table is append-only
    │       └── LegalHoldError      under legal hold: nothing overrides a hold, release it first
    ├── LeaseLostError              the lease has ended: stop working on the job; nothing was changed
    ├── TransactionError
    │   ├── BusyError               another connection held the write lock too long: try again
    │   │   └── ConflictError       two transactions conflicted: run the whole transaction again
    │   ├── TransactionLostError    the database rolled the transaction back: start it again
    │   ├── CommitOutcomeUnknownError   COMMIT failed: check whether the rows exist before repeating
    │   ├── ForkedError             the database was open in the parent process at the fork
    │   └── ClosedError             the store was closed
    ├── DatabaseError               the file or the server
    │   ├── DatabaseMissingError    no such file: nothing was created
    │   ├── NotADatastoreError      the file exists, but this library did not create it
    │   ├── SchemaOutOfDateError    migrations are pending, unknown or have been edited
    │   ├── RollbackRefusedError    a rollback would destroy holds, receipts, tombstones or the audit log
    │   ├── ReadOnlyDatabaseError   the database cannot be written to
    │   ├── DiskFullError           no space left; the statement changed nothing
    │   ├── ConnectionLostError     the server is unreachable or closed the connection: try again later
    │   └── CorruptDatabaseError    damaged: stop writing, verify, restore
    ├── UnsupportedError            this engine or installation cannot do it: the message says what to use instead
    ├── EmbeddingError              the application's embed failed: no vector was stored; search by words works
    ├── BackupError                 a backup is damaged, would overwrite a file, or cannot be restored here
    ├── CopyError                   the target of a copy already has data of its own
    ├── ImportFileError             the file cannot be imported at all
    ├── StatementError              a .sql file breaks a rule of this library (a bug, not your data)
    └── ProjectError                [tool.datastore] is wrong, or a tool that the check needs is missing

Messages name statements, files and constraints, never row values, so they are safe to log. The
driver's own exception is kept as ``__cause__``.
"""

from __future__ import annotations


class DatastoreError(Exception):
    """Base class of every exception that this library raises on purpose."""


class NotFoundError(DatastoreError):
    """No row has this id, or the row is soft-deleted."""

    def __init__(self, noun: str) -> None:
        super().__init__(f"no such {noun}; use list or count to see which exist")
        #: What was not found: "conversation", "message", ...
        self.noun = noun

    def __reduce__(self) -> tuple[type[NotFoundError], tuple[str]]:
        return type(self), (self.noun,)


class InvalidValueError(DatastoreError, ValueError):
    """A value that cannot be stored unchanged: a naive datetime, NaN, a lone surrogate, ..."""


class CursorError(InvalidValueError):
    """A page cursor that is damaged, or that comes from another list or from other filters."""


class ConstraintError(DatastoreError):
    """The database refused a row; the statement changed nothing.

    Attributes:
        constraint: The constraint's name, or the columns of a unique index, or "".
    """

    def __init__(self, message: str, constraint: str = "") -> None:
        super().__init__(message)
        self.constraint = constraint

    def __reduce__(self) -> tuple[type[ConstraintError], tuple[str, str]]:
        return type(self), (str(self), self.constraint)


class UniqueError(ConstraintError):
    """A row with this key already exists."""


class ForeignKeyError(ConstraintError):
    """The row that this one refers to does not exist, or other rows still refer to this one."""


class CheckError(ConstraintError):
    """A value is outside its range, missing where one is required, or of another type."""


class TransitionError(ConstraintError):
    """The step is not allowed in the current status, or the table is append-only."""


class LegalHoldError(TransitionError):
    """The conversation is under legal hold, with everything in it. Nothing was changed."""


class LeaseLostError(DatastoreError):
    """The job's lease expired or was taken over; the call changed nothing."""

    def __init__(self, action: str) -> None:
        super().__init__(
            f"{action}: the lease on this job is lost (it expired, the job was cancelled, or it ended);"
            " stop working on it, nothing was changed"
        )
        self.action = action

    def __reduce__(self) -> tuple[type[LeaseLostError], tuple[str]]:
        return type(self), (self.action,)


class TransactionError(DatastoreError):
    """A transaction could not begin, continue or end."""


class BusyError(TransactionError):
    """Another connection held the write lock for longer than the timeout. Nothing was changed."""


class ConflictError(BusyError):
    """Two transactions conflicted and this one was rolled back: run all of it again (`Datastore.run` does)."""


class TransactionLostError(TransactionError):
    """The database rolled the transaction back before its end; its changes are lost."""


class CommitOutcomeUnknownError(TransactionError):
    """COMMIT itself failed: the changes may or may not survive a crash.

    Do not repeat blindly. Check whether the rows exist (the client generates ids so that this is possible).
    """


class ForkedError(TransactionError):
    """The database was open during a fork; a child process does not inherit SQLite's locks."""


class ClosedError(TransactionError):
    """The store was closed; open it again."""


class DatabaseError(DatastoreError):
    """The file or the server: missing, foreign, out of date, full, damaged."""


class DatabaseMissingError(DatabaseError):
    """No database exists at that path. Nothing was created."""


class NotADatastoreError(DatabaseError):
    """The path exists, but it is not a database of this library."""


class SchemaOutOfDateError(DatabaseError):
    """The schema does not match this version of the library."""


class RollbackRefusedError(DatabaseError):
    """A rollback would destroy legal holds, erasure receipts, tombstones or the audit log, or does not exist. Nothing was
    changed."""


#: What to do about a `RollbackRefusedError`.
ROLLBACK_REFUSED = (
    "the rollback would destroy data that must be kept ({}); nothing was changed. Back up first; then"
    " `datastore rollback --allow-loss` allows it, or DATASTORE_ROLLBACK=destroy in yoyo's environment (docs/migrations.md)"
)


class ReadOnlyDatabaseError(DatabaseError):
    """The file, its folder or the connection cannot be written to."""


class DiskFullError(DatabaseError):
    """No space for the change (the disk or ``max_page_count`` is full); the statement changed nothing."""


class ConnectionLostError(DatabaseError):
    """The connection to the server was lost or could not be opened. Nothing was changed: try again later."""


class CorruptDatabaseError(DatabaseError):
    """The file is damaged. Stop writing, copy the file, run ``datastore verify``, then restore a backup."""


class UnsupportedError(DatastoreError):
    """This engine or this installation cannot do this; the message says what to use instead."""


class EmbeddingError(DatastoreError):
    """The application's function `embed` raised, took too long, or returned wrong vectors. No vector of this call was stored.

    Searching with ``mode="words"`` needs no vector.

    Attributes:
        lasting: Whether the next call would fail too.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class BackupError(DatastoreError):
    """A backup that is damaged, would overwrite a file, or cannot be restored there."""


class CopyError(DatastoreError):
    """The target of a copy cannot be used: it has data of its own, or another schema."""


class ImportFileError(DatastoreError):
    """A file that cannot be imported at all: it is unreadable, or its format is unknown."""


class StatementError(DatastoreError):
    """A .sql file breaks a rule of this library: a duplicate name, a missing header line, ..."""


class ProjectError(DatastoreError):
    """A project cannot be checked: its ``[tool.datastore]`` is wrong, or a tool that the check needs is missing."""
