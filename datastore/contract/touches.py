"""What each statement and trigger reads and writes, by table and column, and which trigger or foreign key does it.

SQLite is asked, not the text: an authorizer sees what the prepared program may do, its triggers and cascades
included. What only the text knows is added: which columns an INSERT names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import attrs

from datastore.contract.database import Catalogue
from datastore.contract.facts import ProjectFacts
from datastore.contract.named import identifier
from datastore.contract.text import Token, tokens
from datastore.engines import sqlite_explain
from datastore.statements.loader import read_texts


@attrs.frozen
class Touch:
    """One thing that a statement or trigger does to one column."""

    #: "read", "insert", "update" or "delete".
    action: str
    table: str
    #: "" for the row as a whole: a DELETE, or a count of rows.
    column: str
    #: The trigger, view or foreign key that does it; "" for the statement's own words.
    by: str = ""

    @property
    def writes(self) -> bool:
        return self.action != "read"


@attrs.frozen
class ForeignKey:
    """One foreign key, with its constraint's name."""

    #: As the constraint is named, else "TABLE (COLUMNS)".
    name: str
    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str


@attrs.frozen
class Touches:
    """What is known of a whole project."""

    #: By statement: over every choice of its optional lines.
    statements: Mapping[str, tuple[Touch, ...]]
    #: By trigger: what stands in it, whoever fires it.
    triggers: Mapping[str, tuple[Touch, ...]]
    #: By statement: the triggers that its program goes into, directly or through others and cascades.
    fires: Mapping[str, tuple[str, ...]]
    foreign_keys: tuple[ForeignKey, ...]


def read_touches(facts: ProjectFacts) -> Touches:
    """What every statement and every trigger of a project touches."""
    catalogue = facts.catalogue
    keys = foreign_keys(catalogue)
    triggers = dict(_of_triggers(catalogue))
    statements, fires = {}, {}
    for name, one in facts.statements.items():
        every = (touch for variant in one.variants for touch in touches(catalogue, keys, variant.sql))
        statements[name] = tuple(dict.fromkeys(every))
        entered = {by for variant in one.variants for by in _entered(catalogue, variant.sql)}
        fires[name] = tuple(sorted(entered & {*triggers}))
    return Touches(statements, triggers, fires, keys)


def _entered(catalogue: Catalogue, sql: str) -> Iterator[str]:
    with sqlite_explain.foreign_keys(catalogue.connection):
        seen = sqlite_explain.touched(catalogue.connection, sql)
    return (by for action, _, _, by in seen if action == "enter")


def touches(catalogue: Catalogue, keys: Sequence[ForeignKey], sql: str) -> tuple[Touch, ...]:
    """What one text touches; what only happens with foreign keys on is theirs.

    Raises:
        sqlite3.Error: It does not prepare.
    """
    connection = catalogue.connection
    own = _known(catalogue, sqlite_explain.touched(connection, sql))
    with sqlite_explain.foreign_keys(connection):
        every = _known(catalogue, sqlite_explain.touched(connection, sql))
    changed = {touch.table for touch in every if touch.writes}
    found: list[Touch] = list(own)
    for touch in every:
        if touch in own:
            continue
        names = [] if touch.by else [key.name for key in keys if _does(key, touch, changed)]
        found += [attrs.evolve(touch, by=name) for name in names] if names else [touch]
    return tuple(dict.fromkeys(one for touch in found for one in _with_columns(catalogue, touch, sql)))


def foreign_keys(catalogue: Catalogue) -> tuple[ForeignKey, ...]:
    """Every foreign key of the schema."""
    pairs: dict[tuple[str, int], list[tuple[str, ...]]] = {}
    for table, number, *pair in catalogue.connection.execute(_statements()["list_foreign_key_columns"]).fetchall():
        pairs.setdefault((table, number), []).append(tuple(pair))
    return tuple(sorted((_foreign_key(catalogue, table, rows) for (table, _), rows in pairs.items()), key=_order))


def table_details(catalogue: Catalogue, table: str) -> list[tuple[str, str, int, str | None, int, int]]:
    """(name, declared type, NOT NULL, default, place in the primary key, hidden) of a table's columns."""
    return catalogue.connection.execute(_statements()["list_table_details"], {"table_name": table}).fetchall()


def _order(key: ForeignKey) -> tuple[str, tuple[str, ...]]:
    return key.table, key.columns


def _foreign_key(catalogue: Catalogue, table: str, rows: Sequence[tuple[str, ...]]) -> ForeignKey:
    columns = tuple(row[1] for row in rows)
    parent = catalogue.kinds.spelled(rows[0][0]) if rows[0][0] in catalogue.kinds else rows[0][0]
    parent_columns = tuple(row[2] for row in rows if row[2]) or catalogue.primary_keys.get(parent, ())
    name = _constraint_name(catalogue.sql.get(table, ""), columns) or f"{table} ({', '.join(columns)})"
    return ForeignKey(name, table, columns, parent, parent_columns, on_update=rows[0][3], on_delete=rows[0][4])


def _constraint_name(sql: str, columns: Sequence[str]) -> str:
    """The name of CONSTRAINT name FOREIGN KEY (columns), "" for none."""
    every = tokens(sql)
    wanted = [name.lower() for name in columns]
    for number in range(len(every) - 4):
        one, name, foreign, key, mark = every[number : number + 5]
        begins = (one.upper, foreign.upper, key.upper, mark.text) == ("CONSTRAINT", "FOREIGN", "KEY", "(")
        if begins and _list(every, number + 5) == wanted:
            return sql[name.start : name.end].strip('"`[]')
    return ""


def _known(catalogue: Catalogue, seen: Sequence[tuple[str, str, str, str]]) -> list[Touch]:
    """What is about tables and views of the schema (not json_each, nor a common table expression)."""
    return [Touch(*one) for one in seen if catalogue.kinds.get(one[1]) in ("table", "view")]


def _does(key: ForeignKey, touch: Touch, changed: set[str]) -> bool:
    """Whether a foreign key may be what makes a program do this."""
    if touch.action == "delete":
        return touch.table == key.table and key.on_delete == "CASCADE" and key.parent in changed
    if touch.action == "update":
        return touch.table == key.table and touch.column in key.columns and key.parent in changed
    child, parent = (touch.table == key.table, touch.table == key.parent)
    if not {key.table, key.parent} & changed:
        return False
    return (child and touch.column in key.columns) or (parent and touch.column in key.parent_columns)


# --- the columns of an INSERT, which the authorizer is not told ------------------------------------------------------


def _with_columns(catalogue: Catalogue, touch: Touch, sql: str) -> Iterator[Touch]:
    if touch.action != "insert" or touch.column:
        yield touch
        return
    text = catalogue.sql.get(touch.by, "") if touch.by else sql
    named = set(_inserted(tokens(text), touch.table.lower()))
    columns = catalogue.columns.get(touch.table, [])
    chosen = [column for column in columns if column.lower() in named] or columns
    yield from (attrs.evolve(touch, column=column) for column in chosen or [""])


def _inserted(every: Sequence[Token], table: str) -> Iterator[str]:
    """The columns that the INSERTs into a table name."""
    for number, token in enumerate(every):
        if token.upper == "INTO" and number + 2 < len(every) and every[number + 1].name == table:
            start = number + 2
            if every[start].upper == "AS":
                start += 2
            if every[start].text == "(":
                yield from _list(every, start + 1)


def _list(every: Sequence[Token], start: int) -> list[str]:
    names = []
    for token in every[start:]:
        if token.text == ")":
            break
        if token.name:
            names.append(token.name)
    return names


# --- triggers --------------------------------------------------------------------------------------------------------


def _of_triggers(catalogue: Catalogue) -> Iterator[tuple[str, tuple[Touch, ...]]]:
    """What each trigger touches: what SQLite says of it where something fires it."""
    tables = sorted({*_trigger_tables(catalogue).values()})
    found: dict[str, list[Touch]] = {name: [] for name in _trigger_tables(catalogue)}
    for table in tables:
        for sql in _firing(catalogue, table):
            for touch in _known(catalogue, sqlite_explain.touched(catalogue.connection, sql)):
                if touch.by in found:
                    own = attrs.evolve(touch, by="")
                    found[touch.by] += _with_columns(catalogue, own, catalogue.sql[touch.by])
    for name in sorted(found):
        yield name, tuple(dict.fromkeys(found[name]))


def _trigger_tables(catalogue: Catalogue) -> dict[str, str]:
    rows = catalogue.connection.execute(_statements()["list_triggers"]).fetchall()
    return dict(rows)


def _firing(catalogue: Catalogue, table: str) -> Iterator[str]:
    """Statements that fire every trigger of a table."""
    name = identifier(table)
    rows = catalogue.connection.execute(_statements()["list_written_columns"], {"table_name": table}).fetchall()
    changes = ", ".join(f"{identifier(column)} = {identifier(column)}" for (column,) in rows)
    yield f"INSERT INTO {name} DEFAULT VALUES"
    yield f"UPDATE {name} SET {changes}"
    yield f"DELETE FROM {name}"


@cache
def _statements() -> dict[str, str]:
    path = Path(__file__).with_suffix(".sql")
    return read_texts(path, path.name)
