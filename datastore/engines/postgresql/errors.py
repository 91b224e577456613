"""Translate psycopg's errors to this library's, by SQLSTATE and never by message text."""

from __future__ import annotations

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from datastore.errors import (
    ROLLBACK_REFUSED,
    BusyError,
    CheckError,
    ClosedError,
    CommitOutcomeUnknownError,
    ConflictError,
    ConnectionLostError,
    ConstraintError,
    DatabaseError,
    DatastoreError,
    DiskFullError,
    ForeignKeyError,
    InvalidValueError,
    LegalHoldError,
    ReadOnlyDatabaseError,
    RollbackRefusedError,
    TransactionLostError,
    TransitionError,
    UniqueError,
)

_constraints: dict[str, tuple[type[ConstraintError], str]] = {
    "23505": (UniqueError, "a row with this key already exists"),
    "23503": (ForeignKeyError, "a row that it refers to does not exist, or a row is still referred to"),
    "23001": (ForeignKeyError, "a row that it refers to does not exist, or a row is still referred to"),
    "23514": (CheckError, "a value is outside its range"),
    "23502": (CheckError, "a value is missing"),
    "22P02": (CheckError, "a value has a different type than its column"),
    "22007": (CheckError, "a value has a different type than its column"),
    "42804": (CheckError, "a value has a different type than its column"),
    # Raised by the triggers of migrations/postgresql.
    "DS001": (TransitionError, "not allowed from here"),
}

_pooled = (
    "a connection pooler mixed up this session's prepared statements; set max_prepared_statements above 0 in PgBouncer 1.21"
    " and newer, or pool_mode = session in an older one"
)

_others: dict[str, tuple[type[DatastoreError], str]] = {
    "40001": (ConflictError, "another transaction changed the same rows; run the whole transaction again"),
    "40P01": (ConflictError, "two transactions waited for each other; run the whole transaction again"),
    "55P03": (BusyError, "another transaction holds a lock on the row; try again"),
    "57014": (BusyError, "it took longer than the timeout, or was cancelled; it was undone"),
    "25P02": (TransactionLostError, "an earlier statement failed, and the whole transaction is undone; begin it again"),
    "25P03": (TransactionLostError, "the server ended an idle transaction; all of it is undone, begin it again"),
    "25006": (ReadOnlyDatabaseError, "the server takes no writes (a standby, or a read-only session)"),
    "42501": (ReadOnlyDatabaseError, "the role may not do this; docs/scaling.md says which rights it needs"),
    "53100": (DiskFullError, "no space left on the server; the statement was undone"),
    "22001": (InvalidValueError, "a value is longer than its column"),
    "22003": (InvalidValueError, "a number is out of range"),
    "22021": (InvalidValueError, "text that the database's encoding cannot represent"),
    "22P05": (InvalidValueError, "text that the database's encoding cannot represent"),
    "54000": (InvalidValueError, "a value is larger than PostgreSQL can store"),
    "26000": (DatabaseError, _pooled),
    "42P05": (DatabaseError, _pooled),
    "53300": (BusyError, "the server has no connection left; try again"),
    "57P03": (BusyError, "the server is starting up or shutting down; try again"),
}


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
    if isinstance(error, PoolClosed):
        return ClosedError(f"{where}: the store is closed; open it again")
    if isinstance(error, PoolTimeout):
        return BusyError(f"{where}: no connection to the server became free in time; try again")
    if not isinstance(error, psycopg.Error):
        return error
    code = error.sqlstate or ""
    if found := _constraints.get(code):
        kind, meaning = found
        constraint = error.diag.constraint_name or _column(error)
        if constraint.endswith("_rollback_guard"):
            return RollbackRefusedError(f"{where}: {ROLLBACK_REFUSED.format(constraint)}")
        if constraint.endswith("_legal_hold"):
            return LegalHoldError(f"{where}: it is on legal hold; release the hold first ({constraint})", constraint)
        return kind(f"{where}: {meaning}" + (f" ({constraint})" if constraint else ""), constraint)
    if known := _others.get(code):
        other, meaning = known
        return other(f"{where}: {code}: {meaning}")
    if isinstance(error, psycopg.OperationalError) and (not code or code.startswith(("08", "57P"))):
        if committing:
            return CommitOutcomeUnknownError(
                f"{where}: the connection was lost while committing; the change may or may not survive."
                " Check before you repeat it"
            )
        return ConnectionLostError(f"{where}: the connection to the server was lost, or could not be made; try again")
    if isinstance(error, psycopg.DataError) and not code:
        return InvalidValueError(
            f"{where}: a value that PostgreSQL cannot store (a NUL in text, or not a text, number or flag)"
        )
    if isinstance(error, psycopg.ProgrammingError) and not code:
        return InvalidValueError(f"{where}: a value is of a type that a database cannot store")
    # The server's message may quote a value, so it stays in the cause.
    return DatabaseError(f"{where}: SQLSTATE {code or 'unknown'}; the driver's message is this error's cause")


def _column(error: psycopg.Error) -> str:
    table, column = error.diag.table_name, error.diag.column_name
    return f"{table}.{column}" if table and column else ""
