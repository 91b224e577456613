"""``datastore copy``: everything from one database to another, SQLite to PostgreSQL or back, an application's own tables too.

Which tables there are is read from the schema of both. What cannot be copied as it is, is refused by name before a row is written.
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

#: So many rows at most are one transaction of the target.
BATCH_ROWS = 4000

#: Called with a table's name, how many of its rows are there, and how many there are to be.
Progress = Callable[[str, int, int], None]

#: What a column may be on SQLite's side, by what PostgreSQL keeps in it; every other type is text there.
_ON_SQLITE = {"integer": "integer", "boolean": "integer", "real": "real", "blob": "blob"}


@attrs.frozen(kw_only=True)
class Copied:
    """What a copy did."""

    #: Rows that this call wrote, by table.
    written: dict[str, int]
    #: Rows that were there already: a copy that was interrupted is gone on with.
    found: dict[str, int]
    #: SHA-256 of each table, the same in both.
    digests: dict[str, str]
    #: The tables that were left out because the caller said so.
    skipped: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Move:
    """One table that is copied, as it is on each side."""

    source: Part
    target: Part
    #: The places of columns that one side keeps as JSONB: compared as values, not as text.
    documents: tuple[int, ...]
    #: Whether a row may refer to a later one, so that all of them are one transaction.
    whole: bool


def copy(
    source: str,
    target: str,
    *,
    migrations: Iterable[str | os.PathLike[str]] = (),
    skip: Iterable[str] = (),
    on_progress: Progress | None = None,
) -> Copied:
    """Copy every table, the audit chain, the history of jobs and an application's own tables too, and compare the two at the end.

    Where an interrupted copy ended, the next one goes on. Nobody may use the target meanwhile; what is written to the source
    meanwhile is not seen. On PostgreSQL the role must own the tables.

    Args:
        source: A path or URL.
        target: A path or URL; a missing file, or a database without a schema, is made.
        migrations: Folders with the application's own steps for the target's engine, which are applied to the target first.
        skip: Tables of the application that are not copied.
        on_progress: Called after each batch.

    Raises:
        CopyError: A table cannot be copied: it has no counterpart in the target, no primary key, or columns of other types. Or
            the target has something that the source has not.
        InvalidValueError: A folder of *migrations* is missing or has no steps, or *skip* names a table that is not there.
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
            from datastore.copy.postgresql import PostgreSQLSide  # psycopg, only where it is needed

            stack.callback(engine.close)
            side = PostgreSQLSide(engine, target=target)
        else:
            side = SQLiteSide(database_path(place), target=target)
        stack.callback(side.close)
        yield side


def _schema_of(place: str) -> Schema:
    """What a database has before anything is made in it."""
    if not is_server(place):
        path = database_path(place)
        if not path.exists() or not path.stat().st_size:
            return {}
    with _side(place, target=False) as side:
        return side.schema


# What is copied.


def _lacking(names: Sequence[str]) -> list[str]:
    """What is wrong where the target has no such tables."""
    if not names:
        return []
    return [
        f"not in the target: {', '.join(names)}; give the folder of the steps that make them there (--migrations FOLDER, in the"
        " words of the target's engine), or leave them out (--skip TABLE)"
    ]


def _refused(problems: Iterable[str]) -> CopyError:
    return CopyError("nothing was copied; " + "; ".join(problems))


def _moves(here: Side, there: Side, skipped: Sequence[str]) -> list[Move]:
    """What is copied, those first that others refer to.

    Raises:
        CopyError: Something cannot be copied; the message names all of it.
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
        problems.append(f"{', '.join(circle)} refer to each other in a circle: leave one of them out (--skip)")
    if problems:
        raise _refused(problems)
    return [_move(here, there, name, whole=name in parents[name]) for name in order]


def _is_virtual(name: str, *sides: Side) -> bool:
    return any(name in side.schema and side.schema[name].is_virtual for side in sides)


def _problems(here: Side, there: Side, mine: Table, other: Table | None) -> Iterator[str]:
    """Why a table cannot be copied."""
    name = mine.name
    if mine.is_virtual:
        yield f"{name} is a virtual or foreign table, whose rows are elsewhere: leave it out (--skip), and fill it afterwards"
        return
    assert other is not None
    names = [{column.name.lower() for column in table.columns} for table in (mine, other)]
    if names[0] != names[1]:
        differ = ", ".join(sorted(names[0] ^ names[1]))
        yield f"{name} has other columns in the target ({differ}): bring both to the same migration first"
        return
    if not mine.key or {key.lower() for key in mine.key} != {key.lower() for key in other.key}:
        yield (
            f"{name} has no primary key, or another one in the target, so that its rows cannot be told apart: give it one in both,"
            " or leave it out (--skip)"
        )
    for column in mine.columns:
        opposite = other.column(column.name)
        assert opposite is not None
        if why := _mismatch(here, there, column, opposite):
            yield f"{name}.{column.name} is {column.type or 'of no type'} here and {opposite.type} in the target{why}"
        elif name not in library_tables() and here.has_odd_times(name, column):
            yield f"{name}.{column.name} has times that are infinite, before the year 1 or after 9999: correct them"


def _mismatch(here: Side, there: Side, mine: Column, other: Column) -> str | None:
    """Why the values of a column would not come back as they were; None: they do."""
    kinds = here.kind(mine.type), there.kind(other.type)
    if here.is_server == there.is_server:
        return None if kinds[0] == kinds[1] else ": give both the same type"
    on_server, on_sqlite = kinds if here.is_server else kinds[::-1]
    if on_server == "real" and there.is_server and other.type == "real":
        return ", which keeps six digits: make it double precision"
    wanted = _ON_SQLITE.get(on_server, "text")
    return None if on_sqlite == wanted else f": in SQLite it has to be {wanted.upper()}"


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


# Copying it.


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
    """Copy what is not there yet; gives how many rows were there, how many were written, and the digest."""
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
    # What an earlier copy wrote is read again; what this one wrote, it has seen.
    return found, written, Digest.of(here, move.source, move.documents) if found else seen.hex


def _difference(here: Side, there: Side, move: Move) -> str:
    """Where the two first differ, by the name of the column; no value."""
    name, columns = move.source.name, list(zip(move.source.columns, move.target.columns, strict=True))
    with closing(_rows(here, move.source)) as ours, closing(_rows(there, move.target)) as theirs:
        for mine, other in zip_longest(ours, theirs):
            if mine is None or other is None or any(mine[place] != other[place] for place in move.source.key):
                break
            for place, (column, opposite) in enumerate(columns):
                documents = (0,) if place in move.documents else ()
                if encoded((mine[place],), documents) != encoded((other[place],), documents):
                    return (
                        f"{name}.{column.name} does not come back as it was: it is {column.type or 'of no type'} in the source"
                        f" and {opposite.type or 'of no type'} in the target; correct its type or its values, empty {name} in"
                        " the target, and copy again"
                    )
    return f"{name} of the target has rows that the source has not: give it an empty database"


def _rows(side: Side, part: Part) -> Generator[Row, None, None]:
    with closing(side.pages(part, None, BATCH_ROWS)) as pages:
        for page in pages:
            yield from page
