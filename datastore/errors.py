"""Everything that this library raises, as one tree.

A leaf stands for each thing that a caller would do differently::

    DatastoreError
    ├── NotFoundError               an id that names nothing (or something soft-deleted)
    ├── InvalidValueError           a value that no database could keep: change it   (also ValueError)
    │   └── CursorError             a page cursor that is damaged or of another list
    ├── ConstraintError             the database refused the row: see .constraint
    │   ├── UniqueError             it is there already
    │   ├── ForeignKeyError         what it refers to is not there
    │   ├── CheckError              a value is outside its range, missing, or of another type
    │   └── TransitionError         not from this status; or the table is append-only
    │       └── LegalHoldError      a legal hold keeps it: nothing overrides that, release it first
    ├── LeaseLostError              the job is another worker's now: stop, change nothing
    ├── TransactionError
    │   ├── BusyError               somebody else held the write lock too long: try again
    │   │   └── ConflictError       two transactions were in each other's way: run this one again, whole
    │   ├── TransactionLostError    the transaction was rolled back under you: start it again
    │   ├── CommitOutcomeUnknownError   COMMIT failed half-way: look before you repeat
    │   ├── ForkedError             the database was open in the parent process at the fork
    │   └── ClosedError             the store was closed
    ├── DatabaseError               the file or the server
    │   ├── DatabaseMissingError    no such file: nothing was created
    │   ├── NotADatastoreError      a file, but not one of ours
    │   ├── SchemaOutOfDateError    migrations are pending, unknown or were edited
    │   ├── RollbackRefusedError    a rollback would destroy holds, receipts, tombstones or the audit log
    │   ├── ReadOnlyDatabaseError   cannot be written to
    │   ├── DiskFullError           no room; the statement left no trace
    │   ├── ConnectionLostError     the server is away, or ended the connection: try again a little later
    │   └── CorruptDatabaseError    damaged: stop writing, verify, restore
    ├── UnsupportedError            the engine has a tool of its own for it: the message names it
    ├── BackupError                 a copy that is damaged, in the way, or not to be restored here
    ├── CopyError                   the target of a copy has something of its own
    ├── ImportFileError             a file that cannot be imported at all
    ├── StatementError              a .sql file breaks a rule of this library (a bug, not your data)
    └── ProjectError                [tool.datastore] is wrong, or what checking a project needs is missing

Messages name statements, files and constraints, never row values, so that a log of them holds no
user text. What the driver said is kept as ``__cause__``.
"""

from __future__ import annotations


class DatastoreError(Exception):
    """The root: catches everything that this library raises on purpose."""


class NotFoundError(DatastoreError):
    """An id that names nothing, or something that is hidden by soft deletion."""

    def __init__(self, noun: str) -> None:
        super().__init__(f"no such {noun}; list or count shows what is there")
        #: What was looked for: "conversation", "message", ...
        self.noun = noun

    def __reduce__(self) -> tuple[type[NotFoundError], tuple[str]]:
        return type(self), (self.noun,)


class InvalidValueError(DatastoreError, ValueError):
    """A value that no database could keep as it is: a naive datetime, NaN, a lone surrogate, ..."""


class CursorError(InvalidValueError):
    """A page cursor that is damaged, or that another list (or other filters) gave out."""


class ConstraintError(DatastoreError):
    """The database refused a row; nothing of the statement was kept.

    Attributes:
        constraint: The constraint's name, or the columns of a unique index, or "".
    """

    def __init__(self, message: str, constraint: str = "") -> None:
        super().__init__(message)
        self.constraint = constraint

    def __reduce__(self) -> tuple[type[ConstraintError], tuple[str, str]]:
        return type(self), (str(self), self.constraint)


class UniqueError(ConstraintError):
    """A row with this key is there already."""


class ForeignKeyError(ConstraintError):
    """The row that this one refers to is not there, or others still refer to this one."""


class CheckError(ConstraintError):
    """A value is outside its range, missing where one is required, or of another type."""


class TransitionError(ConstraintError):
    """Not a legal step from the present status, or a change of an append-only table."""


class LegalHoldError(TransitionError):
    """A legal hold keeps the conversation, and all that is in it, as it is. Nothing was changed."""


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
    """A transaction could not begin, go on or end."""


class BusyError(TransactionError):
    """Another connection held the write lock for longer than the timeout. Nothing was changed."""


class ConflictError(BusyError):
    """Two transactions were in each other's way, and this one was undone: run the whole of it again (`Datastore.run` does)."""


class TransactionLostError(TransactionError):
    """The database rolled the transaction back before its end; what it wrote is gone."""


class CommitOutcomeUnknownError(TransactionError):
    """COMMIT itself failed: the changes may or may not survive a crash from now on.

    Do not repeat blindly. Look whether the rows are there (ids are made by the client for this).
    """


class ForkedError(TransactionError):
    """The database was in use at a fork; SQLite's locks do not pass to the child."""


class ClosedError(TransactionError):
    """The store was closed; open it again."""


class DatabaseError(DatastoreError):
    """The file or the server: missing, foreign, out of date, full, damaged."""


class DatabaseMissingError(DatabaseError):
    """There is no database at that path. Nothing was created."""


class NotADatastoreError(DatabaseError):
    """There is something, but it is not a database of this library."""


class SchemaOutOfDateError(DatabaseError):
    """The schema is not the one that this version of the library needs."""


class RollbackRefusedError(DatabaseError):
    """A rollback would destroy legal holds, erasure receipts, tombstones or the audit log. Nothing was changed."""


#: What to do about a `RollbackRefusedError`.
ROLLBACK_REFUSED = (
    "the rollback would destroy what must not be lost ({}); nothing was changed. Back up first; then"
    " DATASTORE_ROLLBACK=destroy in the environment allows it (docs/migrations.md)"
)


class ReadOnlyDatabaseError(DatabaseError):
    """The file, its folder or the connection cannot be written to."""


class DiskFullError(DatabaseError):
    """No room for the change (the disk, or ``max_page_count``); the statement left no trace."""


class ConnectionLostError(DatabaseError):
    """The connection to the server was lost, or could not be made. Nothing was changed: try again a little later."""


class CorruptDatabaseError(DatabaseError):
    """The file is damaged. Stop writing, copy what is there, run ``datastore verify``, restore."""


class UnsupportedError(DatastoreError):
    """The engine has a tool of its own for this; the message names it."""


class BackupError(DatastoreError):
    """A copy of the database that is damaged, that would overwrite something, or cannot be restored there."""


class CopyError(DatastoreError):
    """A database that nothing can be copied to: it has something of its own, or another schema."""


class ImportFileError(DatastoreError):
    """A file that cannot be imported at all: unreadable, or of a format that is not known."""


class StatementError(DatastoreError):
    """A .sql file breaks a rule of this library: a duplicate name, a missing header line, ..."""


class ProjectError(DatastoreError):
    """A project cannot be checked: its ``[tool.datastore]`` is wrong, or a tool that checking needs is missing."""
