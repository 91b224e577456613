"""Translate the sqlite3 driver's errors to this library's, by error code and never by message text."""

from __future__ import annotations

import sqlite3

from datastore.errors import (
    ROLLBACK_REFUSED,
    BusyError,
    CheckError,
    ClosedError,
    CommitOutcomeUnknownError,
    ConstraintError,
    CorruptDatabaseError,
    DatabaseError,
    DatastoreError,
    DiskFullError,
    ForeignKeyError,
    InvalidValueError,
    LegalHoldError,
    ReadOnlyDatabaseError,
    RollbackRefusedError,
    TransitionError,
    UniqueError,
)

_constraints: dict[str, tuple[type[ConstraintError], str]] = {
    "SQLITE_CONSTRAINT_UNIQUE": (UniqueError, "a row with this key already exists"),
    "SQLITE_CONSTRAINT_PRIMARYKEY": (UniqueError, "a row with this key already exists"),
    "SQLITE_CONSTRAINT_ROWID": (UniqueError, "a row with this key already exists"),
    "SQLITE_CONSTRAINT_FOREIGNKEY": (
        ForeignKeyError,
        "a row that it refers to does not exist, or a row is still referred to",
    ),
    "SQLITE_CONSTRAINT_CHECK": (CheckError, "a value is outside its range"),
    "SQLITE_CONSTRAINT_NOTNULL": (CheckError, "a value is missing"),
    "SQLITE_CONSTRAINT_DATATYPE": (CheckError, "a value has a different type than its column"),
    "SQLITE_MISMATCH": (CheckError, "a value has a different type than its column"),
    "SQLITE_CONSTRAINT_TRIGGER": (TransitionError, "not allowed from here"),
}

#: By primary result code: the name up to the second underscore.
_others: dict[str, tuple[type[DatastoreError], str]] = {
    "SQLITE_BUSY": (BusyError, "another connection holds a lock on the database; try again"),
    "SQLITE_LOCKED": (BusyError, "another statement of this process holds a lock; try again"),
    "SQLITE_READONLY": (
        ReadOnlyDatabaseError,
        "the database cannot be written to; check the rights of file and folder",
    ),
    "SQLITE_FULL": (DiskFullError, "no space left (disk, quota or max_page_count); the statement was undone"),
    "SQLITE_CORRUPT": (
        CorruptDatabaseError,
        "the file is damaged; stop writing, run datastore verify, restore a backup",
    ),
    "SQLITE_NOTADB": (CorruptDatabaseError, "the file is not a SQLite database, or its header is damaged"),
    "SQLITE_TOOBIG": (InvalidValueError, "a value is larger than SQLite can store"),
    "SQLITE_CANTOPEN": (
        DatabaseError,
        "the file cannot be opened; check that it and its folder exist and are writable",
    ),
    "SQLITE_IOERR": (DatabaseError, "reading or writing the file failed; check the disk"),
    "SQLITE_INTERRUPT": (DatabaseError, "interrupted"),
    "SQLITE_NOMEM": (DatabaseError, "out of memory"),
}


_unnamed = {3091: "SQLITE_CONSTRAINT_DATATYPE"}


def code_of(error: BaseException) -> str:
    """The extended result code's name, e.g. "SQLITE_BUSY_SNAPSHOT"; "" if there is none."""
    name: str = getattr(error, "sqlite_errorname", "") or ""
    # Python 3.11 has no name for the newest codes.
    return _unnamed.get(getattr(error, "sqlite_errorcode", 0), name) if name == "unknown" else name


def is_busy(error: BaseException) -> bool:
    """Whether waiting may help."""
    return code_of(error).startswith("SQLITE_BUSY")


def translate(error: Exception, where: str, *, committing: bool = False) -> Exception:
    """This library's error for *error*, naming *where*; *error* itself if it is not the driver's.

    Args:
        error: The exception that was raised.
        where: The statement and its file, or the action.
        committing: Whether the failure may have happened during a commit.
    """
    if isinstance(error, DatastoreError):
        return error
    if isinstance(error, UnicodeEncodeError):
        return InvalidValueError(f"{where}: text contains a lone surrogate, which UTF-8 cannot encode")
    if isinstance(error, UnicodeDecodeError):
        # The driver cannot decode SQLite's own message, which quotes a damaged schema.
        return CorruptDatabaseError(f"{where}: the schema is damaged; stop writing, restore a backup")
    if isinstance(error, OverflowError):
        return InvalidValueError(f"{where}: an integer is larger than 64 bits")
    if not isinstance(error, sqlite3.Error):
        return error
    code = code_of(error)
    if code in _constraints:
        return _of_constraint(error, code, where)
    primary = "_".join(code.split("_")[:2])
    if committing and primary == "SQLITE_IOERR":
        return CommitOutcomeUnknownError(
            f"{where}: {code} while committing; the change may or may not survive. Check before you repeat it"
        )
    if known := _others.get(primary):
        other, meaning = known
        return other(f"{where}: {code}: {meaning}")
    if not code:
        return _without_code(error, where)
    return DatabaseError(f"{where}: {code}; the driver's message is this error's cause")


def _of_constraint(error: sqlite3.Error, code: str, where: str) -> DatastoreError:
    kind, meaning = _constraints[code]
    # SQLite names the constraint (CHECK), the columns (unique, NOT NULL) or the trigger's message; never a value.
    constraint = str(error).rpartition("failed: ")[2].strip() if ":" in str(error) else ""
    if constraint.endswith("_rollback_guard"):
        return RollbackRefusedError(f"{where}: {ROLLBACK_REFUSED.format(constraint)}")
    if code == "SQLITE_CONSTRAINT_TRIGGER":
        constraint = str(error)
        if constraint.endswith("_key"):  # REPLACE is refused like a plain insertion, but by a trigger
            kind, meaning = _constraints["SQLITE_CONSTRAINT_UNIQUE"]
        if constraint.endswith("_legal_hold"):
            return LegalHoldError(f"{where}: it is on legal hold; release the hold first ({constraint})", constraint)
    return kind(f"{where}: {meaning}" + (f" ({constraint})" if constraint else ""), constraint)


def _without_code(error: sqlite3.Error, where: str) -> DatastoreError:
    # Errors that the sqlite3 module detects itself, before it calls SQLite, carry no code.
    text = str(error)
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in text:
        return ClosedError(f"{where}: the store is closed; open it again")
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError) and "bind" in text:
        return InvalidValueError(f"{where}: a value is of a type that a database cannot store")
    if isinstance(error, sqlite3.DataError):
        return InvalidValueError(f"{where}: a value is larger than SQLite can keep")
    return DatabaseError(f"{where}: {type(error).__name__}; the driver's message is this error's cause")
