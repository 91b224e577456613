"""``datastore copy``: everything from one database to another, SQLite to PostgreSQL or back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from datastore.engines.copying import TABLES, Digest, PostgreSQLSide, Side, SQLiteSide, pages
from datastore.errors import CopyError
from datastore.opening import database_path, is_server, server_engine
from datastore.store import Datastore

#: So many rows at most are one transaction of the target.
BATCH_ROWS = 4000

#: Called with a table's name, how many of its rows are there, and how many there are to be.
Progress = Callable[[str, int, int], None]


@attrs.frozen(kw_only=True)
class Copied:
    """What a copy did."""

    #: Rows that this call wrote, by table.
    written: dict[str, int]
    #: Rows that were there already: a copy that was interrupted is gone on with.
    found: dict[str, int]
    #: SHA-256 of each table, the same in both.
    digests: dict[str, str]


def copy(source: str, target: str, *, on_progress: Progress | None = None) -> Copied:
    """Copy every table, the audit chain and the history of jobs too, and compare the two at the end.

    Where an interrupted copy ended, the next one goes on. Nobody may use the target meanwhile; what is written to the source
    meanwhile is not seen. On PostgreSQL the role must own the tables.

    Args:
        source: A path or URL.
        target: A path or URL; a missing file, or a database without a schema, is made.
        on_progress: Called after each batch.

    Raises:
        CopyError: The target has something that the source has not.
        BusyError: The target is in use.
    """
    with Datastore.open(source) as store:
        numbered = store.audit.high_water()
    Datastore.open(target, migrate=True).close()
    engines: list[Any] = []
    sides: list[Side] = []
    try:
        for place, is_target in ((source, False), (target, True)):
            if is_server(place):
                engines.append(server_engine(place))
                sides.append(PostgreSQLSide(engines[-1], target=is_target))
            else:
                sides.append(SQLiteSide(database_path(place), target=is_target))
        copied = _copy(sides[0], sides[1], on_progress or (lambda *_: None))
    finally:
        for side in sides:
            side.close()
        for engine in engines:
            engine.close()
    with Datastore.open(target) as store:
        store.transfer.settle(numbered)
        store.transfer.fill_full_text()
    return copied


def _copy(source: Side, target: Side, tell: Progress) -> Copied:
    written, found, digests = {}, {}, {}
    for table, keys in TABLES:
        columns = source.columns(table)
        if sorted(columns) != sorted(target.columns(table)):
            raise CopyError(f"{table} has other columns in the target: bring both to the same migration first")
        total, found[table], written[table] = source.count(table), target.count(table), 0
        seen = Digest()
        for page in pages(source, table, columns, keys, target.last(table, keys), BATCH_ROWS):
            target.write(table, columns, page)
            seen.update(page)
            written[table] += len(page)
            tell(table, found[table] + written[table], total)
        target.settle()
        # What an earlier copy wrote is read again; what this one wrote, it has seen.
        digests[table] = Digest.of(source, table, columns, keys) if found[table] else seen.hex
    target.finish()
    for table, keys in TABLES:
        if digests[table] != Digest.of(target, table, source.columns(table), keys):
            raise CopyError(f"{table} of the target has rows that the source has not: give it an empty database")
    target.settle()
    return Copied(written=written, found=found, digests=digests)
