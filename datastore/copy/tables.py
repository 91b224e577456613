"""``datastore copy``: copy everything from one database to another, SQLite to PostgreSQL or back, with an application's own tables.

The tables are read from both schemas. A table that cannot be copied unchanged is refused by name before any row is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import zip_longest

import attrs

from datastore.address import database_path, is_server
from datastore.copy.sides import Digest, Part, Row, Side, chained, encoded
from datastore.copy.sqlite import SQLiteSide
from datastore.engines.schema import DERIVED, Column, Schema, Table, in_order, library_tables
from datastore.errors import CopyError, InvalidValueError
from datastore.migrations.steps import own_folders
from datastore.opening import server_engine
from datastore.store import Datastore

#: Maximum rows per transaction of the target.
BATCH_ROWS = 4000

#: Called with a table's name, the number of its rows in the target, and the number of its rows in the source.
Progress = Callable[[str, int, int], None]

#: The kind of a column in SQLite, by its kind in PostgreSQL; for every other kind it is text.
_ON_SQLITE = {"integer": "integer", "boolean": "integer", "real": "real", "blob": "blob"}


@attrs.frozen(kw_only=True)
class Copied:
    """The result of a copy."""

    #: Rows that this call wrote, by table.
    written: dict[str, int]
    #: Rows that were already in the target, by table: an interrupted copy is continued.
    found: dict[str, int]
    #: SHA-256 by table, the same in both databases.
    digests: dict[str, str]
    #: The tables that the caller excluded.
    skipped: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Move:
    """One table to copy, on both sides."""

    source: Part
    target: Part
    #: The positions of columns that one side stores as JSONB: compared as values, not as text.
    documents: tuple[int, ...]
    #: Whether a row may refer to a later one, so that all rows must be one transaction.
    whole: bool


def copy(
    source: str,
    target: str,
    *,
    migrations: Iterable[str | os.PathLike[str]] = (),
    skip: Iterable[str] = (),
    on_progress: Progress | None = None,
) -> Copied:
    """Copy every table, including the audit chain, the job history and an application's own tables, and compare both at the end.

    An interrupted copy is continued by the next call. Nobody may use the target during the copy; writes to the source during
    the copy are not copied. On PostgreSQL the role must own the tables.

    Args:
        source: A path or URL.
        target: A path or URL; a missing file is created, and a database without a schema is migrated.
        migrations: Folders with the application's own steps for the target's engine, which are applied to the target first.
        skip: Tables of the application that are not copied.
        on_progress: Called after each batch.

    Raises:
        CopyError: A table cannot be copied: it has no counterpart in the target, no primary key, or columns of different types.
            Or the target has something that the source does not have.
        InvalidValueError: A folder of *migrations* is missing or has no steps, or *skip* names an unknown table.
        BusyError: The target is in use.
    """
    folders = own_folders(migrations)
    skipped = sorted({name.lower() for name in skip})
    with Datastore.open(source) as store:
        numbered = store.audit.high_water()
    with ExitStack() as stack:
        here = stack.enter_context(_side(source, target=False))
        own = here.schema.keys() - library_tables() - {*skipped}
        if own and not folders:
            there_now = _schema_of(target)
            if lacking := sorted(own - there_now.keys()):
                raise _refused(_lacking([here.schema[name].name for name in lacking]))
        Datastore.open(target, migrate=True, migrations=folders).close()
        there = stack.enter_context(_side(target, target=True))
        copied = _copy(here, there, skipped, on_progress or (lambda *_: None))
    with Datastore.open(target) as store:
        store._parts.derived.settle(numbered)
        store._parts.index.fill()
    return copied


@contextmanager
def _side(place: str, *, target: bool) -> Iterator[Side]:
    with ExitStack() as stack:
        side: Side
        if is_server(place):
            engine = server_engine(place)
            stack.callback(engine.close)
            from datastore.copy.postgresql import PostgreSQLSide  # psycopg is there: the engine was created

            side = PostgreSQLSide(engine, target=target)
        else:
            side = SQLiteSide(database_path(place), target=target)
        stack.callback(side.close)
        yield side


def _schema_of(place: str) -> Schema:
    """A database's schema before the copy changes it."""
    if not is_server(place):
        path = database_path(place)
        if not path.exists() or not path.stat().st_size:
            return {}
    with _side(place, target=False) as side:
        return side.schema


# The tables to copy.


def _lacking(names: Sequence[str]) -> list[str]:
    """The problem, if any, with tables that the target lacks."""
    if not names:
        return []
    return [
        f"not in the target: {', '.join(names)}; give the folder of the steps that create them there (--migrations FOLDER, in the"
        " SQL of the target's engine), or leave them out (--skip TABLE)"
    ]


def _refused(problems: Iterable[str]) -> CopyError:
    return CopyError("nothing was copied; " + "; ".join(problems))


def _moves(here: Side, there: Side, skipped: Sequence[str]) -> list[Move]:
    """The tables to copy, each after those that it refers to.

    Raises:
        CopyError: A table cannot be copied; the message lists all problems.
    """
    own = (here.schema.keys() | there.schema.keys()) - library_tables()
    if unknown := sorted({*skipped} - own):
        raise InvalidValueError(f"skip: the application has no table {', '.join(unknown)} in the two databases")
    left_out = DERIVED | {*skipped} | {name for name in library_tables() if _is_virtual(name, here, there)}
    names = sorted(here.schema.keys() - left_out)
    lacking = [name for name in names if name not in there.schema and not here.schema[name].is_virtual]
    problems = _lacking([here.schema[name].name for name in lacking])
    for name in names:
        if name not in lacking:
            problems += _problems(here, there, here.schema[name], there.schema.get(name))
    problems += [
        f"{table.name} of the target has rows, and the source has no such table: empty it, or leave it out (--skip)"
        for name, table in there.schema.items()
        if name not in here.schema.keys() | left_out and (table.is_virtual or there.count(table.name))
    ]
    parents = {
        name: {
            reference.parent.lower()
            for side in (here, there)
            for reference in (side.schema[name].references if name in side.schema else ())
        }
        for name in names
    }
    order, circle = in_order(parents)
    if circle:
        problems.append(f"{', '.join(circle)} refer to each other in a cycle: leave one of them out (--skip)")
    if problems:
        raise _refused(problems)
    return [_move(here, there, name, whole=name in parents[name]) for name in order]


def _is_virtual(name: str, *sides: Side) -> bool:
    return any(name in side.schema and side.schema[name].is_virtual for side in sides)


def _problems(here: Side, there: Side, mine: Table, other: Table | None) -> Iterator[str]:
    """The reasons why a table cannot be copied."""
    name = mine.name
    if mine.is_virtual:
        yield f"{name} is a virtual or foreign table, whose rows are elsewhere: leave it out (--skip), and fill it afterwards"
        return
    assert other is not None
    names = [{column.name.lower() for column in table.columns} for table in (mine, other)]
    if names[0] != names[1]:
        differ = ", ".join(sorted(names[0] ^ names[1]))
        yield f"{name} has different columns in the target ({differ}): bring both to the same migration first"
        return
    if not mine.key or {key.lower() for key in mine.key} != {key.lower() for key in other.key}:
        yield (
            f"{name} has no primary key, or a different one in the target, so its rows cannot be identified: give it the same"
            " primary key in both, or leave it out (--skip)"
        )
    for column in mine.columns:
        opposite = other.column(column.name)
        assert opposite is not None
        if why := _mismatch(here, there, column, opposite):
            yield f"{name}.{column.name} is {column.type or 'of no type'} here and {opposite.type} in the target{why}"
        elif name not in library_tables() and here.has_odd_times(name, column):
            yield f"{name}.{column.name} has times that are infinite, before the year 1 or after 9999: correct them"


def _mismatch(here: Side, there: Side, mine: Column, other: Column) -> str | None:
    """Why the values of a column would change in the copy; None: they would not."""
    kinds = here.kind(mine.type), there.kind(other.type)
    if here.is_server == there.is_server:
        return None if kinds[0] == kinds[1] else ": give both the same type"
    on_server, on_sqlite = kinds if here.is_server else kinds[::-1]
    if on_server == "real" and there.is_server and other.type == "real":
        return ", which keeps six digits: make it double precision"
    wanted = _ON_SQLITE.get(on_server, "text")
    return None if on_sqlite == wanted else f": in SQLite it must be {wanted.upper()}"


def _move(here: Side, there: Side, name: str, *, whole: bool) -> Move:
    mine, other = here.schema[name], there.schema[name]
    opposites = [column for one in mine.columns if (column := other.column(one.name))]
    places = {column.name: place for place, column in enumerate(mine.columns)}
    key = tuple(places[column] for column in mine.key)
    documents = [
        place
        for place, pair in enumerate(zip(mine.columns, opposites, strict=True))
        if "jsonb" in (here.kind(pair[0].type), there.kind(pair[1].type))
    ]
    return Move(
        source=Part(mine.name, mine.columns, key),
        target=Part(other.name, tuple(opposites), key),
        documents=tuple(documents),
        whole=whole,
    )


# Copying the tables.


def _copy(here: Side, there: Side, skipped: Sequence[str], tell: Progress) -> Copied:
    moves = _moves(here, there, skipped)
    written, found, digests = {}, {}, {}
    for move in moves:
        name = move.source.name
        found[name], written[name], digests[name] = _copy_table(here, there, move, tell)
    there.finish(here.numbers())
    for move in moves:
        if digests[move.source.name] != Digest.of(there, move.target, move.documents):
            there.settle()
            raise CopyError(_difference(here, there, move))
    there.settle()
    left_out = tuple(here.schema[name].name for name in skipped if name in here.schema)
    return Copied(written=written, found=found, digests=digests, skipped=left_out)


def _copy_table(here: Side, there: Side, move: Move, tell: Progress) -> tuple[int, int, str]:
    """Copy the missing rows; return the number of rows found, the number written, and the digest."""
    name, total = move.source.name, here.count(move.source.name)
    found, written, seen = there.count(move.target.name), 0, Digest(move.documents)
    with closing(here.pages(move.source, there.last(move.target), BATCH_ROWS)) as pages:
        if move.whole and not found:
            there.write(move.target, chained(pages, seen), whole=True)
            there.settle()
            tell(name, total, total)
            return 0, total, seen.hex
        for page in pages:
            there.write(move.target, page, whole=False)
            seen.update(page)
            written += len(page)
            tell(name, found + written, total)
        there.settle()
    # Rows that an earlier copy wrote must be read again; those of this one are already in the digest.
    return found, written, Digest.of(here, move.source, move.documents) if found else seen.hex


def _difference(here: Side, there: Side, move: Move) -> str:
    """Describe the first difference between the two, by column name and without values."""
    name, columns = move.source.name, list(zip(move.source.columns, move.target.columns, strict=True))
    with closing(_rows(here, move.source)) as ours, closing(_rows(there, move.target)) as theirs:
        for mine, other in zip_longest(ours, theirs):
            if mine is None or other is None or any(mine[place] != other[place] for place in move.source.key):
                break
            for place, (column, opposite) in enumerate(columns):
                documents = (0,) if place in move.documents else ()
                if encoded((mine[place],), documents) != encoded((other[place],), documents):
                    return (
                        f"{name}.{column.name} has changed in the copy: it is {column.type or 'of no type'} in the source"
                        f" and {opposite.type or 'of no type'} in the target; correct its type or its values, empty {name} in"
                        " the target, and copy again"
                    )
    return f"{name} of the target has rows that the source does not have: copy to an empty database"


def _rows(side: Side, part: Part) -> Generator[Row, None, None]:
    with closing(side.pages(part, None, BATCH_ROWS)) as pages:
        for page in pages:
            yield from page
