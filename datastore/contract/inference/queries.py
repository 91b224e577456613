"""SELECT, compound, VALUES, WITH, views and RETURNING: the columns of a query, worked out from the inside."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs
from sqlglot import exp

from datastore.contract.inference.aggregates import calls_of_outer, is_aggregate, looked_up
from datastore.contract.inference.expressions import fact_of
from datastore.contract.inference.filters import refine
from datastore.contract.inference.parse import Node, Unsure, name_of, parse, part, table_of, unwrapped, whole_number
from datastore.contract.inference.relations import read_from, target
from datastore.contract.inference.scopes import Columns, Cte, Fact, Relation, Scope, either, require
from datastore.contract.logical import STORAGE
from datastore.contract.schema import Schema, Table

#: A recursive CTE's facts can only grow, and each column's few times: this is never reached.
_ROUNDS = 50


class Queries:
    """Works out the columns of the queries of one statement."""

    def __init__(self, schema: Schema, not_null_parameters: Collection[str] = ()) -> None:
        self.schema = schema
        self.not_null_parameters = frozenset(not_null_parameters)

    def statement(self, tree: Node) -> Columns:
        """The result columns of a whole statement; none where it gives no rows.

        Raises:
            Unsure: It is not understood well enough.
        """
        if isinstance(tree, (exp.Insert, exp.Update, exp.Delete)):
            returning = tree.args.get("returning")
            if returning is None:
                return []
            scope = self.returning_scope(tree)
            scope.recast = looked_up([returning], self.schema.aggregates)
            return self._list(returning.expressions, scope)
        return self.query(tree, None, {})

    def query(self, node: Node, outer: Scope | None, visible: Mapping[str, Cte]) -> Columns:
        """The columns of a query inside *outer* (None: it sees no column around it)."""
        visible = self.with_ctes(node, outer, visible)
        if isinstance(node, (exp.Subquery, exp.Paren)):
            return self.query(node.this, outer, visible)
        if isinstance(node, exp.SetOperation):
            return self.compound([self.query(arm, outer, visible) for arm in (node.this, node.expression)])
        if isinstance(node, exp.Values):
            return self._values(node, outer, visible)
        require(isinstance(node, exp.Select), f"{node.key} is not understood")
        scope = self.scope(node, outer, visible)
        grouped, aggregated = bool(part(node, "group")), is_aggregate(node, self.schema.aggregates)
        scope.may_be_empty = aggregated and not grouped
        if aggregated or grouped:
            clauses = [*node.expressions, part(node, "having"), part(node, "order")]
            scope.recast = looked_up(clauses, self.schema.aggregates)
        if calls_of_outer(node, scope, self.schema.aggregates):
            raise Unsure("an aggregate in a subquery may be of a query outside")
        return self._list(node.expressions, scope)

    def scope(self, select: Node, outer: Scope | None, visible: Mapping[str, Cte]) -> Scope:
        """The tables of a SELECT, with what its joins and its WHERE say of them."""
        scope = Scope(self, outer, self.with_ctes(select, outer, visible))
        read_from(select, scope)
        refine(part(select, "where"), scope)
        return scope

    def returning_scope(self, tree: Node) -> Scope:
        """What RETURNING sees: the changed table alone. No filter counts: the change may have undone it."""
        scope = self.changed_scope(tree)
        table = scope.relations[0].table
        require(table is not None and table.kind == "table", "RETURNING of a view or virtual table gives what it took")
        return scope

    def changed_scope(self, tree: Node) -> Scope:
        """What an INSERT, UPDATE or DELETE changes, and its common table expressions."""
        scope = Scope(self, None, self.with_ctes(tree, None, {}))
        named = changed_table(tree)
        table = self.schema.table(name_of(named))
        if table is None:
            raise Unsure(f"there is no table {named.name}")
        scope.relations.append(target(table, named.alias.lower()))
        return scope

    def with_ctes(self, node: Node, outer: Scope | None, visible: Mapping[str, Cte]) -> Mapping[str, Cte]:
        """What is visible where a WITH has added to it. Each of its queries sees all of them, itself too."""
        clause = part(node, "with")
        if clause is None:
            return visible
        added = dict(visible)
        for cte in clause.expressions:
            columns = tuple(column.name for column in cte.args["alias"].args.get("columns") or [])
            added[cte.alias.lower()] = Cte(cte.alias.lower(), cte.this, columns, added, outer)
        return added

    def cte(self, cte: Cte) -> Columns:
        if cte.facts is not None:
            return cte.facts
        if cte.busy:
            require(cte.assumed is not None, f"{cte.name} refers to itself before it has a row")
            return cte.assumed or []
        cte.busy = True
        try:
            cte.facts = self._fixed_point(cte)
        finally:
            cte.busy = False
        return cte.facts

    def _fixed_point(self, cte: Cte) -> Columns:
        """Facts that hold for the first rows, and for the rows made from rows for which they hold."""
        visible = self.with_ctes(cte.query, cte.outer, cte.visible)
        first = [arm for arm in arms(cte.query) if not _mentions(arm, cte.name)]
        if len(first) == len(arms(cte.query)):
            return _renamed(self.query(cte.query, cte.outer, cte.visible), cte.columns)
        require(bool(first), f"{cte.name} has no first row")
        cte.assumed = _renamed(self.compound([self.query(arm, cte.outer, visible) for arm in first]), cte.columns)
        for _ in range(_ROUNDS):
            found = self.compound([cte.assumed, self.query(cte.query, cte.outer, cte.visible)])
            if _equal(found, cte.assumed):
                return cte.assumed
            cte.assumed = found
        raise Unsure(f"{cte.name} does not settle")

    def view(self, table: Table) -> Columns | None:
        """The columns of a view, as the schema alone has them; None where its text is not understood."""
        if table.name not in self.schema.view_facts:
            self.schema.view_facts[table.name] = None  # a view that reads itself is not understood
            self.schema.view_facts[table.name] = Queries(self.schema)._view(table)
        found: Columns | None = self.schema.view_facts[table.name]
        return found

    def _view(self, table: Table) -> Columns | None:
        try:
            tree = parse(table.sql)
            found = self.query(tree.expression, None, {}) if isinstance(tree, exp.Create) else []
        except Unsure:
            return None
        names = tuple(column.name for column in table.columns.values())
        return _renamed(found, names) if len(names) == len(found) else None

    def compound(self, columns: list[Columns]) -> Columns:
        require(len({len(arm) for arm in columns}) == 1, "the queries have different numbers of columns")
        return [(arm[0][0], either([fact for _, fact in arm])) for arm in zip(*columns, strict=True)]

    def _values(self, node: Node, outer: Scope | None, visible: Mapping[str, Cte]) -> Columns:
        scope = Scope(self, outer, visible)
        rows = [[fact_of(value, scope) for value in row.expressions] for row in node.expressions]
        require(len({len(row) for row in rows}) == 1, "the rows of VALUES differ in length")
        return [(f"column{i}", either(facts)) for i, facts in enumerate(zip(*rows, strict=True), 1)]

    def has_one_row(self, node: Node) -> bool:
        """Whether a query gives exactly one row, whatever is stored."""
        node = unwrapped(node)
        if isinstance(node, exp.Values):
            return len(node.expressions) == 1
        if not isinstance(node, exp.Select) or any(part(node, name) for name in ("group", "having", "offset")):
            return False
        limit = part(node, "limit")
        if limit is not None and (whole_number(limit.expression) or 0) < 1:
            return False
        relation = part(node, "from")
        return is_aggregate(node, self.schema.aggregates) or (relation is None and part(node, "where") is None)

    def _list(self, expressions: list[Node], scope: Scope) -> Columns:
        columns: Columns = []
        for node in expressions:
            if isinstance(node, exp.Star):
                columns += _star(scope, scope.relations, qualified=False)
            elif isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
                table = table_of(node)
                columns += _star(scope, [s for s in scope.relations if s.alias == table], qualified=True)
            else:
                columns.append((node.alias_or_name, fact_of(node, scope)))
        return columns


def changed_table(tree: Node) -> Node:
    """The table that an INSERT, UPDATE or DELETE names."""
    found: Node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    require(isinstance(found, exp.Table), "the changed table is not understood")
    return found


def arms(query: Node) -> list[Node]:
    """The simple queries of a compound one, from the left."""
    return [*arms(query.this), *arms(query.expression)] if isinstance(query, exp.SetOperation) else [query]


def _star(scope: Scope, relations: list[Relation], *, qualified: bool) -> Columns:
    require(not any(relation.opaque for relation in relations), "* stands for columns that are not known")
    columns = []
    for relation in relations:
        for name in relation.names:
            key = name.lower()
            is_shared = relation in scope.shared.get(key, [])
            if not is_shared or (qualified and not scope.either_side):  # t.* of a RIGHT JOIN USING gives either side's
                fact = relation.fact(key)
                if scope.may_be_empty:
                    fact = fact.but(nullable=True, reason=f"an aggregate over no rows gives NULL for {name}")
                columns.append((name, fact))
            elif qualified or key not in relation.merged:
                columns.append((name, scope.column("", key)))
    return columns


def _mentions(query: Node, name: str) -> bool:
    return any(name_of(table) == name for table in query.find_all(exp.Table))


def _renamed(columns: Columns, names: tuple[str, ...]) -> Columns:
    if not names:
        return columns
    require(len(names) == len(columns), "a WITH names more or fewer columns than its query has")
    return [(name, fact) for name, (_, fact) in zip(names, columns, strict=True)]


def _equal(left: Columns, right: Columns) -> bool:
    return all(_core(a) == _core(b) for (_, a), (_, b) in zip(left, right, strict=True))


def _core(fact: Fact) -> Fact:
    return attrs.evolve(fact, reason="", origin=None, storage=fact.storage or STORAGE)
