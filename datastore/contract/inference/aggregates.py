"""Aggregates and window functions: which calls are one, which SELECT they make an aggregate of, what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from sqlglot import exp

from datastore.contract.inference.parse import Node, bare, is_query, name_of, part, parts, sees_outside, table_of
from datastore.contract.inference.scopes import AGGREGATES, Fact, Scope, either, never_null, recast, unknown
from datastore.contract.logical import INTEGER, NUMBER, REAL, TEXT

Evaluate: TypeAlias = Callable[[Node, Scope], Fact]

#: Window functions that have a value for every row.
_RANKS: dict[type, frozenset[str]] = {
    **dict.fromkeys((exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile), INTEGER),
    **dict.fromkeys((exp.PercentRank, exp.CumeDist), REAL),
}


def is_aggregate_call(node: Node, aggregates: frozenset[str]) -> bool:
    """Whether a node calls an aggregate function. min and max of one argument are; a window function is not."""
    if isinstance(node, exp.Anonymous):
        name = node.name.lower()
        return name in aggregates and (name not in {"min", "max"} or len(node.expressions) == 1)
    return isinstance(node, exp.AggFunc)


def _calls(clauses: Iterable[Node | None], aggregates: frozenset[str]) -> Iterator[Node]:
    """The aggregate calls of expressions themselves: not those of subqueries, not window functions."""
    for node in clauses:
        if node is None or is_query(node) or isinstance(node, exp.Exists):
            continue
        windowed = _unfiltered(node.this) if isinstance(node, exp.Window) else None
        if is_aggregate_call(node, aggregates):
            yield node
        yield from (call for call in _calls(node.iter_expressions(), aggregates) if call is not windowed)


def _unfiltered(call: Node) -> Node:
    return call.this if isinstance(call, exp.Filter) else call


def is_aggregate(select: Node, aggregates: frozenset[str]) -> bool:
    """Whether a SELECT is made an aggregate by a call in its list, its HAVING or its ORDER BY."""
    return any(_calls([*select.expressions, part(select, "having"), part(select, "order")], aggregates))


def looked_up(clauses: Iterable[Node | None], aggregates: frozenset[str]) -> frozenset[str]:
    """What is before an ``IN (SELECT ...)`` in the list of an aggregate SELECT, or of RETURNING.

    There a value stays in its place while the row is made, and IN turns it into the class of what it is looked up in:
    ``SELECT sum(a) IN (SELECT name FROM t), sum(a)`` shows the sum as text (SQLite 3.40).
    """
    found: set[str] = set()
    for node in (node for clause in clauses if clause is not None for node in clause.find_all(exp.In)):
        if node.args.get("query") is not None or node.args.get("field") is not None:
            found |= {name_of(column) for column in node.this.find_all(exp.Column)}
            found |= {AGGREGATES} if any(_calls([node.this], aggregates)) else set()
    return frozenset(found)


def calls_of_outer(select: Node, scope: Scope, aggregates: frozenset[str]) -> bool:
    """Whether an aggregate inside a subquery may be this SELECT's own, having no column but this SELECT's.

    ``SELECT (SELECT count(t.a)) FROM t`` counts the rows of t, and gives one row.
    """
    for inner in select.find_all(exp.Select):
        if inner is select or not sees_outside(inner, select):
            continue
        clauses = filter(None, [part(inner, "from"), *parts(inner, "joins")])
        tables = [table for clause in clauses for table in clause.find_all(exp.Table, exp.Subquery)]
        here = {name_of(table.args.get("alias") or table) for table in tables}
        for call in inner.find_all(exp.AggFunc, exp.Anonymous):
            if not is_aggregate_call(call, aggregates) or call.find_ancestor(exp.Select) is not inner:
                continue
            filtered = call.parent if isinstance(call.parent, exp.Filter) else call  # its condition counts too
            names = {(table_of(column), name_of(column)) for column in filtered.find_all(exp.Column)}
            own = any(table in here for table, _ in names)
            if names and not own and all(scope.find(*name) is not None for name in names):
                return True
    return False


def aggregate(node: Node, scope: Scope, evaluate: Evaluate) -> Fact | None:
    call = _unfiltered(node)
    if not is_aggregate_call(call, scope.analyzer.schema.aggregates):
        return None
    fact = _aggregate(call, scope, evaluate, filtered=call is not node)
    return recast(fact) if AGGREGATES in scope.recast else fact


def _aggregate(call: Node, scope: Scope, evaluate: Evaluate, *, filtered: bool) -> Fact:
    name = call.name.lower() if isinstance(call, exp.Anonymous) else type(call).__name__.lower()
    if name == "count":
        return never_null(INTEGER, "count() is 0 for no rows")
    argument = _argument(call)
    if argument is None:
        return unknown(f"{name}() may be NULL")
    if name in {"jsonarrayagg", "jsonobjectagg", "json_group_array", "json_group_object"}:
        values = [_inside(bare(value), scope, evaluate) for value in call.expressions or [call.this]]
        is_safe = is_json_safe(values) and not (len(values) > 1 and values[0].nullable)  # {null:1} is no JSON
        return never_null(TEXT, "an empty group is [] or {}", "json" if is_safe else None)
    inner = _inside(argument, scope, evaluate)
    if name == "total" and inner.storage == INTEGER:
        return never_null(REAL, "total() is 0.0 for no rows")
    return _of_rows(name, inner, _why_empty(scope, filtered))


def window(node: Node, scope: Scope, evaluate: Evaluate) -> Fact:
    call = _unfiltered(node.this)
    if storage := _RANKS.get(type(call)):
        return never_null(storage, "a rank has a value for every row")
    found = aggregate(call, scope, evaluate)
    if found is not None and isinstance(call, exp.Count):
        return found
    if isinstance(call, (exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)):
        values = filter(None, (call.this, call.args.get("default")))
        return either(_inside(value, scope, evaluate) for value in values).but(
            nullable=True, reason="the window may have no such row"
        )
    return (found or unknown("")).but(nullable=True, reason="the window may be empty")


def _argument(call: Node) -> Node | None:
    first = call.expressions[0] if isinstance(call, (exp.Anonymous, exp.JSONObjectAgg)) and call.expressions else None
    first = first if first is not None else call.this if isinstance(call.this, exp.Expression) else None
    while isinstance(first, exp.Distinct) and first.expressions:
        first = first.expressions[0]
    return bare(first) if first is not None else None


def _inside(node: Node, scope: Scope, evaluate: Evaluate) -> Fact:
    """The value of an aggregate's argument: it is asked for only where there is a row."""
    before, scope.may_be_empty = scope.may_be_empty, False
    try:
        return evaluate(node, scope)
    finally:
        scope.may_be_empty = before


def _why_empty(scope: Scope, filtered: bool) -> str:
    if filtered:
        return "a FILTER may leave no rows to it"
    return "it has no rows to read" if scope.may_be_empty else ""


def _of_rows(name: str, inner: Fact, empty: str) -> Fact:
    """sum, avg, min, max and group_concat of rows that *inner* is known of."""
    of_integers = inner.storage if inner.storage in (INTEGER, REAL) else NUMBER
    storage = {"min": inner.storage, "max": inner.storage, "sum": of_integers, "avg": REAL, "total": REAL}.get(name)
    storage = TEXT if name == "groupconcat" else storage
    if storage is None:
        return unknown(f"{name}() may be NULL")
    logical = inner.logical if name in {"min", "max"} else None
    if empty or inner.nullable:
        return Fact(storage, True, f"{name}() is NULL: {empty or inner.reason}", logical)
    if name in {"min", "max"} or (name in {"sum", "avg"} and inner.storage == INTEGER):
        return Fact(storage, False, f"every group has a row, and {inner.reason}", logical)
    return Fact(storage, True, f"{name}() may be NULL: infinity minus infinity is", logical)


def is_json_safe(values: Iterable[Fact]) -> bool:
    """Whether SQLite makes JSON of values: 3.40 writes infinity as Inf, and takes a text with it in for JSON.

    A text is safe that is a column's, or JSON itself.
    """
    kept = INTEGER | TEXT
    return all(one.storage <= INTEGER or (one.storage <= kept and (one.origin or one.logical)) for one in values)
