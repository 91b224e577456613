"""FROM: what each table in it is, and what joining them does to the columns."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from sqlglot import exp

from datastore.contract.inference.filters import refine
from datastore.contract.inference.parse import Node, name_of, parse, part, parts
from datastore.contract.inference.scopes import Columns, Cte, Fact, Relation, Scope, never_null, unknown
from datastore.contract.logical import INTEGER, NUMBER, REAL, TEXT
from datastore.contract.schema import Table

#: What json_each and json_tree give: https://www.sqlite.org/json1.html#the_json_each_and_json_tree_table_valued_functions
_EACH: Mapping[str, Fact] = {
    "key": unknown("json_each.key is NULL for a value that is no list or object"),
    "value": unknown("json_each.value is NULL for a JSON null"),
    "type": never_null(TEXT, "json_each.type is never NULL"),
    "atom": unknown("json_each.atom is NULL for a list or object"),
    "id": never_null(INTEGER, "json_each.id is never NULL"),
    "parent": unknown("json_each.parent is NULL at the top"),
    "fullkey": never_null(TEXT, "json_each.fullkey is never NULL"),
    "path": never_null(TEXT, "json_each.path is never NULL"),
}


def table_facts(table: Table, *, returning: bool = False) -> dict[str, Fact]:
    """What is known of a table's columns by their declaration; of a view's or virtual table's, nothing."""
    return {name: _column_fact(table, name, returning) for name in table.columns}


def _column_fact(table: Table, name: str, returning: bool) -> Fact:
    column = table.columns[name]
    label, origin = f"{table.name}.{column.name}", (table.name, column.name)
    if table.kind != "table":
        reason = f"{label} is a column of a {table.kind} table: nothing keeps NULL out"
        return attrs.evolve(unknown(reason), origin=origin)
    reason = "is NOT NULL" if column.not_null else "may be NULL"
    reason = f"{label} {'is the INTEGER PRIMARY KEY' if name == table.rowid_alias else reason}"
    fact = Fact(column.storage, not column.not_null, reason, column.logical, origin)
    return _as_returned(table, fact) if returning else fact


def _as_returned(table: Table, fact: Fact) -> Fact:
    """What RETURNING shows of a column's value: SQLite 3.40 reads the new row otherwise than a stored one."""
    if fact.storage == REAL:
        return attrs.evolve(fact, storage=NUMBER, logical="real")  # 1.0 is kept, and shown, as 1
    first = next(iter(table.columns.values()))
    if first.affinity == "real" and fact.storage & INTEGER:
        # Where the first column of a table is REAL, every integer of it is shown as a real, rounded past 2^53.
        return attrs.evolve(fact, storage=fact.storage | REAL, logical=None)
    return fact


def target(table: Table, alias: str) -> Relation:
    """The table that an INSERT, UPDATE or DELETE changes, as RETURNING sees it."""
    names = tuple(column.name for column in table.columns.values() if not column.hidden)
    rowid = _as_returned(table, rowid_fact(table))
    return Relation(alias or table.name.lower(), table_facts(table, returning=True), names, table, rowid=rowid)


def rowid_fact(table: Table) -> Fact:
    """What is known of a table's rowid; a virtual table's is its module's to give, and FTS5 gives an integer."""
    if table.kind == "table" or table.is_fts:
        return never_null(INTEGER, f"{table.name}.rowid is the rowid")
    return unknown(f"{table.name} is a {table.kind}")


def read_from(select: Node, scope: Scope) -> None:
    """Fills *scope* with the tables of a SELECT (or of an UPDATE's FROM), joined, and filtered by ON."""
    clause = part(select, "from")
    if clause is not None:
        scope.relations.extend(_joined_relations(clause.this, scope))
    for join in parts(select, "joins"):
        _join(join, scope)


def _joined_relations(node: Node, scope: Scope) -> list[Relation]:
    in_parentheses = isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table) and not node.alias
    if not in_parentheses and not (isinstance(node, exp.Table) and parts(node, "joins")):
        return [_relation(node, scope)]
    inner = Scope(scope.analyzer, scope.outer, scope.visible)
    inner.relations += _joined_relations(node.this, scope) if in_parentheses else [_relation(node, scope)]
    for join in parts(node, "joins"):
        _join(join, inner)
    scope.either_side = scope.either_side or inner.either_side
    scope.shared.update(inner.shared)
    return inner.relations


def _relation(node: Node, scope: Scope) -> Relation:
    alias = node.alias.lower()
    if isinstance(node, exp.Table):
        return _table(node, alias, scope)
    if isinstance(node, (exp.Subquery, exp.Values)) and not isinstance(node.this, exp.Table):
        return _derived(alias, scope.analyzer.query(node, None, scope.visible), node, scope.visible)
    return Relation(alias, {}, (), opaque=True)


def _table(node: Node, alias: str, scope: Scope) -> Relation:
    schema = scope.analyzer.schema
    if isinstance(node.this, exp.Func):
        name = node.this.name.lower()
        known = name in {"json_each", "json_tree"} and name not in schema.tables
        return Relation(alias or name, dict(_EACH) if known else {}, tuple(_EACH) if known else (), opaque=not known)
    name = name_of(node)
    alias = alias or name
    if not node.args.get("db") and name in scope.visible:
        cte = scope.visible[name]
        return _derived(alias, scope.analyzer.cte(cte), cte.query, cte.visible)
    table = schema.table(name) if node.text("db").lower() in ("", "main") else None
    if table is None:
        return Relation(alias, {}, (), opaque=True)
    if table.kind == "view":
        facts = scope.analyzer.view(table)
        if facts is not None:
            return _derived(alias, facts, parse(table.sql).expression, {}, table)
        doubt = unknown(f"the view {table.name} is not understood")
        return _derived(alias, [(column.name, doubt) for column in table.columns.values()], None, {}, table)
    names = tuple(column.name for column in table.columns.values() if not column.hidden)
    return Relation(alias, table_facts(table), names, table, rowid=rowid_fact(table))


def _derived(
    alias: str, columns: Columns, query: Node | None, visible: Mapping[str, Cte], view: Table | None = None
) -> Relation:
    facts: dict[str, Fact] = {}
    for name, fact in columns:
        # Of two columns with one name, which is meant is not ours to say.
        facts[name.lower()] = unknown(f"two columns are named {name}") if name.lower() in facts else fact
    return Relation(alias, facts, tuple(name for name, _ in columns), view, query, visible)


def _join(join: Node, scope: Scope) -> None:
    right = _joined_relations(join.this, scope)
    side, left = join.text("side").upper(), list(scope.relations)
    null_extended(side, left, right)
    scope.either_side = scope.either_side or side in {"RIGHT", "FULL"}
    scope.relations.extend(right)
    using = [name_of(name) for name in parts(join, "using")]
    if join.text("method").upper() == "NATURAL":
        using = [name for relation in right for name in relation.facts if any(one.has(name) for one in left)]
    for name in using:
        _share(name, left, right, scope, inner=not side)
    if not side:
        refine(join.args.get("on"), scope)


def null_extended(side: str, left: list[Relation], right: list[Relation]) -> None:
    """An outer join's other side gives NULL in every column where it has no match."""
    if side in {"LEFT", "FULL"}:
        for relation in right:
            relation.extend(f"{relation.alias} is outer-joined: without a match its columns are NULL")
    if side in {"RIGHT", "FULL"}:
        for relation in left:
            relation.extend(f"{relation.alias} is on the left of a {side} JOIN: without a match its columns are NULL")


def _share(name: str, left: list[Relation], right: list[Relation], scope: Scope, *, inner: bool) -> None:
    """One column of USING: unqualified, it is the leftmost table's."""
    before, after = ([one for one in side if one.has(name)] for side in (left, right))
    scope.shared[name] = [*before, *after]
    for relation in after:
        relation.merged.add(name)
    if inner and len(before) == len(after) == 1:
        before[0].learn(name)
        after[0].learn(name)
