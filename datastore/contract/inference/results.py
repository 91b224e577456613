"""Result columns: names, types and nullability of what a statement gives back, without running it.

Sound before complete: a column is called NOT NULL, or of a type, only where every row of every database with this
schema has it so. Two witnesses must agree: a walk over the statement's tree (`inference.queries`), and the engine
itself, which prepares the statement and names the origin of each column (`metadata`). Where they differ, where the
tree is not understood, or where a rule is missing, nothing is promised and the column's *reason* says why.

Not considered: functions that an application puts in the place of SQLite's own, and databases that were changed
without SQLite's checks (``writable_schema``, ``ignore_check_constraints``, a damaged file).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs
from sqlglot import exp

from datastore.contract.inference.parse import Node, Unsure, parse, part
from datastore.contract.inference.queries import Queries, changed_table
from datastore.contract.inference.rows import Rows, at_most_limit
from datastore.contract.inference.scopes import Fact, unknown
from datastore.contract.metadata import EngineColumn
from datastore.contract.schema import Schema


@attrs.frozen
class Column:
    """One column of a statement's result."""

    name: str
    #: text, integer, real, boolean, timestamp, json or blob; None where no type is promised.
    type: str | None
    nullable: bool
    #: Table and column, where it is a column of a table as it is; else None.
    origin: tuple[str, str] | None
    #: Why it can be NULL, or why it cannot, in words for a DBA.
    reason: str
    #: The storage classes that a value which is not NULL may have. RETURNING shows a REAL column's 1.0 as 1:
    #: such a column is of type real, and its storage real or integer.
    storage: frozenset[str]


def result_columns(schema: Schema, sql: str, *, not_null_parameters: Collection[str] = ()) -> tuple[Column, ...]:
    """The columns that a statement gives back, in their order; none where it gives no rows.

    Args:
        schema: What the statement is judged against.
        sql: One statement.
        not_null_parameters: Names of the parameters for which NULL is never handed in.

    Raises:
        sqlite3.OperationalError: The engine does not prepare it.
        Unsure: It is not understood, and there is no engine to name its columns.
    """
    key = (sql, frozenset(not_null_parameters))
    if key not in schema.results:
        schema.results[key] = _result_columns(schema, *key)
    columns: tuple[Column, ...] = schema.results[key]
    return columns


def _result_columns(schema: Schema, sql: str, not_null_parameters: frozenset[str]) -> tuple[Column, ...]:
    engine = schema.engine.columns(sql) if schema.engine is not None else None
    try:
        found = Queries(schema, not_null_parameters).statement(parse(sql))
    except (Unsure, RecursionError) as doubt:
        if engine is None:
            raise
        return tuple(_column(column.name, unknown(f"not understood: {doubt}")) for column in engine)
    if engine is None:
        return tuple(_column(name, fact) for name, fact in found)
    if len(engine) != len(found):
        reason = f"the engine has {len(engine)} columns, the reading of it {len(found)}"
        return tuple(_column(column.name, unknown(reason)) for column in engine)
    return tuple(_agreed(column, fact) for column, (_, fact) in zip(engine, found, strict=True))


def at_most_one_row(schema: Schema, sql: str) -> tuple[bool, str]:
    """Whether a statement provably gives (or changes) at most one row, and why, or why that is not proved."""
    return _judged(_at_most_one, schema, sql)


def total_order(schema: Schema, sql: str) -> tuple[bool, str]:
    """Whether the order of the rows is provably total, so that LIMIT cuts at the same place each time; and why."""
    return _judged(_ordered, schema, sql)


def _judged(judge: Callable[[Schema, Node], tuple[bool, str]], schema: Schema, sql: str) -> tuple[bool, str]:
    try:
        return judge(schema, parse(sql))
    except (Unsure, RecursionError) as doubt:
        return False, f"not understood: {doubt}"


def _at_most_one(schema: Schema, tree: Node) -> tuple[bool, str]:
    rows = Rows(Queries(schema))
    if isinstance(tree, exp.Insert):
        source = tree.args.get("expression")
        if source is None:
            return True, "DEFAULT VALUES is one row"
        single = rows.pinned(source, None, rows.queries.with_ctes(tree, None, {}), {})
        return single, "it inserts one row" if single else "it may insert several rows"
    if isinstance(tree, (exp.Update, exp.Delete)):
        single, name = rows.change_pinned(tree), changed_table(tree).name
        return single, f"a unique key of {name} is given" if single else f"no unique key of {name} is given whole by ="
    if at_most_limit(tree):
        return True, "LIMIT lets one row through"
    if rows.pinned(tree, None, {}, {}):
        return True, "it has one row, or every table in it is read by a unique key"
    left = rows.not_pinned(tree) if isinstance(tree, exp.Select) else []
    tables = " or ".join(left)
    return False, f"no unique key of {tables} is given whole by =" if left else "it may have several rows"


def _ordered(schema: Schema, tree: Node) -> tuple[bool, str]:
    single, why = _at_most_one(schema, tree)
    order = part(tree, "order")
    if single:
        return True, why
    if isinstance(tree, (exp.Insert, exp.Update, exp.Delete)):
        return False, "RETURNING gives rows in any order"
    if order is None:
        return False, "there is no ORDER BY"
    if Rows(Queries(schema)).order_pins(tree, [term.this for term in order.expressions]):
        return True, "the ORDER BY has a unique key of the result"
    return False, "the ORDER BY has no unique key of the result: rows may tie"


def _agreed(column: EngineColumn, fact: Fact) -> Column:
    """What both witnesses say of a column; nothing, where they name different origins."""
    said, read = ".".join(column.origin or ()), ".".join(fact.origin or ())
    if said and read and said.lower() != read.lower():
        return _column(column.name, unknown(f"the engine says that it is {said}, the reading of it {read}"))
    return _column(column.name, fact)


def _column(name: str, fact: Fact) -> Column:
    return Column(name, fact.type, fact.nullable, fact.origin, fact.reason, fact.storage)
