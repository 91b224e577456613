"""What each statement and trigger reads and writes, by table and column, and which trigger or foreign key does it.

SQLite is asked, not the text: an authorizer sees what the prepared program may do, its triggers and cascades
included. What only the text knows is added: which columns an INSERT names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from datastore.contract.facts import ProjectFacts
from datastore.contract.schema import ForeignKey, Schema
from datastore.contract.text import at, identifier, listed, tokens
from datastore.engines.sqlite import explain as sqlite_explain


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
class Touches:
    """What is known of a whole project."""

    #: By statement: over every choice of its optional lines.
    statements: Mapping[str, tuple[Touch, ...]]
    #: By trigger: what its text does, whoever fires it.
    triggers: Mapping[str, tuple[Touch, ...]]
    #: By statement: the triggers that its program goes into, directly or through others and cascades.
    fires: Mapping[str, tuple[str, ...]]


def read_touches(facts: ProjectFacts) -> Touches:
    """What every statement and every trigger of a project touches."""
    schema = facts.schema
    triggers = dict(_of_triggers(schema))
    statements, fires = {}, {}
    for name, one in facts.statements.items():
        texts = [variant.sql for variant in one.variants]
        statements[name] = tuple(dict.fromkeys(touch for sql in texts for touch in touches(schema, sql)))
        with sqlite_explain.foreign_keys(schema.connection):
            seen = [found for sql in texts for found in sqlite_explain.touched(schema.connection, sql)]
        fires[name] = tuple(sorted({by for action, _, _, by in seen if action == "enter"} & {*triggers}))
    return Touches(statements, triggers, fires)


def touches(schema: Schema, sql: str) -> tuple[Touch, ...]:
    """What one text touches; what only happens with foreign keys on is theirs.

    Raises:
        sqlite3.Error: It does not prepare.
    """
    connection = schema.connection
    own = _known(schema, sqlite_explain.touched(connection, sql))
    with sqlite_explain.foreign_keys(connection):
        every = _known(schema, sqlite_explain.touched(connection, sql))
    changed = {touch.table for touch in every if touch.writes}
    found: list[Touch] = list(own)
    for touch in every:
        if touch in own:
            continue
        names = [] if touch.by else [key.name for key in schema.foreign_keys if _does(key, touch, changed)]
        found += [attrs.evolve(touch, by=name) for name in names] if names else [touch]
    return tuple(dict.fromkeys(one for touch in found for one in _with_columns(schema, touch, sql)))


def _known(schema: Schema, seen: Sequence[tuple[str, str, str, str]]) -> list[Touch]:
    """What is about tables and views of the schema (not json_each, nor a common table expression)."""
    return [Touch(*one) for one in seen if schema.kinds.get(one[1]) in ("table", "view")]


def _does(key: ForeignKey, touch: Touch, changed: set[str]) -> bool:
    """Whether a foreign key may be what makes a program do this."""
    is_child, is_parent = touch.table == key.table, touch.table == key.parent
    own = (is_child and touch.column in key.columns) or (is_parent and touch.column in key.parent_columns)
    if touch.action == "read":
        return own and bool({key.table, key.parent} & changed)
    cascades = touch.action == "delete" and key.on_delete == "CASCADE"
    sets = touch.action == "update" and touch.column in key.columns
    return is_child and key.parent in changed and (cascades or sets)


def _with_columns(schema: Schema, touch: Touch, sql: str) -> Iterator[Touch]:
    """The columns of an INSERT, which the authorizer is not told: those that it names, or all."""
    if touch.action != "insert" or touch.column:
        yield touch
        return
    every = tokens(schema.sql.get(touch.by, "") if touch.by else sql)
    named: set[str] = set()
    for number, token in enumerate(every):
        if token.upper == "INTO" and at(every, number + 1).name == touch.table.lower():
            start = number + (4 if at(every, number + 2).upper == "AS" else 2)
            named |= {*listed(every, start + 1)} if at(every, start).text == "(" else set()
    columns = schema.columns.get(touch.table, [])
    chosen = [column for column in columns if column.lower() in named] or columns
    yield from (attrs.evolve(touch, column=column) for column in chosen or [""])


def _of_triggers(schema: Schema) -> Iterator[tuple[str, tuple[Touch, ...]]]:
    """What each trigger touches: what SQLite says of it where something fires it."""
    found: dict[str, list[Touch]] = {name: [] for name in schema.triggers}
    for table in sorted({*schema.triggers.values()}):
        for sql in _firing(schema, table):
            for touch in _known(schema, sqlite_explain.touched(schema.connection, sql)):
                if touch.by in found:
                    own = attrs.evolve(touch, by="")
                    found[touch.by] += _with_columns(schema, own, schema.sql[touch.by])
    for name in sorted(found):
        yield name, tuple(dict.fromkeys(found[name]))


def _firing(schema: Schema, table: str) -> Iterator[str]:
    """Statements that fire every trigger of a table or a view; on a view nothing else can be prepared."""
    found = schema.table(table)
    columns = [column for column in found.columns.values() if not (column.hidden or column.generated)] if found else []
    name = identifier(table)
    changes = ", ".join(f"{identifier(column.name)} = {identifier(column.name)}" for column in columns)
    fired = {_event(schema.sql[trigger]) for trigger, of in schema.triggers.items() if of == table}
    if "INSERT" in fired:
        yield f"INSERT INTO {name} DEFAULT VALUES"
    if "UPDATE" in fired:
        yield f"UPDATE {name} SET {changes}"
    if "DELETE" in fired:
        yield f"DELETE FROM {name}"


def _event(trigger: str) -> str:
    """The keyword of what fires a trigger."""
    return next(token.upper for token in tokens(trigger) if token.upper in {"INSERT", "UPDATE", "DELETE"})
