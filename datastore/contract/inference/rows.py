"""How many rows, and in which order: whether some columns of a result pin its row down.

A row of a table is pinned by values for all columns of a unique key that cannot be NULL (``=`` finds no NULL). From
there equality carries on: ``messages.conversation_id = conversations.id`` pins the conversation where the message is
pinned. A result is at most one row where nothing given pins every table of it; its order is total where the ORDER BY
does. Equality that folds values together (a collation, a number compared with text) pins nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlglot import exp

from datastore.contract.inference.aggregates import is_aggregate
from datastore.contract.inference.expressions import fact_of
from datastore.contract.inference.filters import Pins, Place, key_fixed, place_of, refine, where_true
from datastore.contract.inference.parse import (
    Node,
    bare,
    conjuncts,
    is_query,
    name_of,
    part,
    parts,
    table_of,
    unwrapped,
    whole_number,
)
from datastore.contract.inference.queries import Queries
from datastore.contract.inference.relations import read_from
from datastore.contract.inference.scopes import Cte, Relation, Scope
from datastore.contract.logical import INTEGER
from datastore.contract.schema import ROWID, TableColumn

_ROWID = TableColumn("rowid", "INTEGER", True, None, 1, False, False, INTEGER, None, "BINARY", "integer")


class Rows:
    """Answers for the queries of one statement."""

    def __init__(self, queries: Queries) -> None:
        self.queries = queries

    def pinned(self, node: Node, outer: Scope | None, visible: Mapping[str, Cte], given: Mapping[int, bool]) -> bool:
        """Whether the result has at most one row for given values of the columns at some places (from 0)."""
        visible = self.queries.with_ctes(node, outer, visible)
        if isinstance(node, (exp.Subquery, exp.Paren)):
            return self.pinned(node.this, outer, visible, given)
        if at_most_limit(node):
            return True
        if isinstance(node, exp.Values):
            return len(node.expressions) == 1
        if isinstance(node, exp.SetOperation):
            # Only UNION ALL repeats a row; INTERSECT and EXCEPT give rows of their left side.
            every = node.args.get("distinct") and {*range(len(self.queries.query(node, outer, visible)))} <= {*given}
            of_left = isinstance(node, (exp.Intersect, exp.Except))
            return bool(every) or (of_left and self.pinned(node.this, outer, visible, given))
        if not isinstance(node, exp.Select):
            return False
        pins = Pins(self.queries.scope(node, outer, visible))
        for place, equal in given.items():
            if place < len(node.expressions):
                pins.give(node.expressions[place], equal=equal)
        return self.select_pinned(node, pins, set(given))

    def change_pinned(self, tree: Node) -> bool:
        """Whether an UPDATE or DELETE changes one row at most: each row is changed once, whatever it is joined to."""
        scope = self.queries.changed_scope(tree)
        if scope.relations[0].table is None or scope.relations[0].table.kind == "view":
            return False
        read_from(tree, scope)
        refine(part(tree, "where"), scope)
        pins = Pins(scope)
        if not scope.either_side:
            self.close(tree, pins)
        return scope.relations[0] in pins.relations

    def order_pins(self, tree: Node, terms: Sequence[Node]) -> bool:
        """Whether rows of a query that agree in all of its ORDER BY are one row."""
        if not isinstance(tree, exp.Select):
            names = [name.lower() for name, _ in self.queries.query(tree, None, {})]
            return self.pinned(tree, None, {}, dict.fromkeys(_places(terms, names), False))
        pins = Pins(self.queries.scope(tree, None, self.queries.with_ctes(tree, None, {})))
        names = [node.alias_or_name.lower() for node in tree.expressions]
        places = _places(terms, names)
        own = [term for term in terms if name_of(term) not in names or term.args.get("table") is not None]
        for node in (*(tree.expressions[place] for place in places), *own):
            pins.give(node)
        return self.select_pinned(tree, pins, set(places))

    def not_pinned(self, select: Node) -> list[str]:
        """The relations of which a SELECT may read several rows."""
        pins = Pins(self.queries.scope(select, None, {}))
        self.close(select, pins)
        return [relation.alias for relation in pins.scope.relations if relation not in pins.relations]

    def select_pinned(self, select: Node, pins: Pins, given: set[int]) -> bool:
        """Whether what is fixed leaves one row of a SELECT."""
        grouped = part(select, "group")
        if not grouped and is_aggregate(select, self.queries.schema.aggregates):
            return True
        if pins.scope.either_side:
            return False
        self.close(select, pins)
        if pins.relations >= {*pins.scope.relations}:
            return True
        if grouped:
            return all(pins.fixes(_at(term, select, pins.scope)) for term in grouped.expressions)
        plain = not any(isinstance(node, (exp.Star, exp.Column)) and node.find(exp.Star) for node in select.expressions)
        return bool(select.args.get("distinct")) and plain and given >= set(range(len(select.expressions)))

    def close(self, select: Node, pins: Pins) -> None:
        """Carries fixed values along the equalities of WHERE and ON, and from a key to its row, to the end."""
        terms = list(self._equalities(select, pins.scope))
        filters = list(conjuncts(part(select, "where")))
        absent = set(self._absent(select, pins.scope, filters))
        before = -1
        while before != len(pins.columns) + len(pins.relations):
            before = len(pins.columns) + len(pins.relations)
            for column, other, allowed in terms:
                place = place_of(column, pins.scope)
                if place is None or (allowed is not None and place[0] not in allowed):
                    continue
                if self._is_constant(other, pins) and self._keeps_apart(place, other, pins.scope):
                    pins.add(place, equal=True)
            for relation in pins.scope.relations:
                is_fixed = relation in absent or self._row_fixed(relation, pins, filters)
                if pins.reaches(relation) and is_fixed:
                    pins.relations.add(relation)

    def _absent(self, select: Node, scope: Scope, filters: list[Node]) -> Iterator[Relation]:
        """The outer-joined relations of which a filter keeps only the missing row: ``WHERE joined.id IS NULL``."""
        joins = [join for join in parts(select, "joins") if join.text("side").upper() == "LEFT"]
        equated = set().union(
            *(where_true(join.args["on"], scope) for join in joins if join.args.get("on") is not None)
        )
        for term in filters:
            if isinstance(term, exp.Is) and isinstance(term.expression, exp.Null):
                place = place_of(bare(term.this), scope)
                column = self.base(*place) if place else None
                if place and place[0].extended and (place in equated or (column is not None and column.not_null)):
                    yield place[0]

    def _equalities(self, select: Node, scope: Scope) -> Iterator[tuple[Node, Node, list[Relation] | None]]:
        """``column = other`` of the filters, both ways; an outer join's ON fixes columns of its right side alone."""
        clauses: list[tuple[Node | None, list[Relation] | None]] = [(part(select, "where"), None)]
        pairs: list[tuple[Node, Node, list[Relation] | None]] = []
        for join in parts(select, "joins"):
            right = [relation for relation in scope.relations if relation.alias in _aliases(join.this)]
            allowed = right if join.text("side") else None
            clauses.append((join.args.get("on"), allowed))
            for name, shared in scope.shared.items():
                if len(shared) == 2 and shared[1] in right:
                    left_, right_ = (exp.column(name, table=relation.alias) for relation in shared)
                    pairs.append((right_, left_, allowed))
        for clause, allowed in clauses:
            pairs += [(*pair, allowed) for term in conjuncts(clause) for pair in self._pairs(term, scope)]
        for one, other, allowed in pairs:
            yield one, other, allowed
            yield other, one, allowed

    def _pairs(self, term: Node, scope: Scope) -> Iterator[tuple[Node, Node]]:
        query: Node | None = term.args.get("query") if isinstance(term, exp.In) else None
        if isinstance(term, exp.EQ):
            left, right = bare(term.this), bare(term.expression)
            if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
                yield from zip(map(bare, left.expressions), map(bare, right.expressions), strict=False)
            elif not isinstance(left, exp.Tuple) and not isinstance(right, exp.Tuple):
                yield left, right
        elif isinstance(term, exp.In) and len(term.expressions) == 1:
            yield bare(term.this), bare(term.expressions[0])
        elif query is not None and is_query(query) and self.pinned(query, scope, scope.visible, {}):
            yield bare(term.this), query

    def _is_constant(self, node: Node, pins: Pins) -> bool:
        """Whether an expression has one value, whichever row of the unfixed relations is read."""
        if node.find(exp.Rand, exp.Anonymous, exp.Collate):
            return False
        if is_query(node):
            return self._is_closed(node, pins.scope.visible)
        for column in node.find_all(exp.Column):
            found = pins.scope.find(table_of(column), name_of(column))
            if found is not None and found[0] is pins.scope:
                place = place_of(column, pins.scope)
                if place is None or not pins.has(place):
                    return False
            elif found is None or node.find(exp.Select):
                return False
        return True

    def _is_closed(self, query: Node, visible: Mapping[str, Cte]) -> bool:
        """Whether a subquery names columns of its own tables only: then it has one value."""
        own = [*query.find_all(exp.Select)]
        for column in query.find_all(exp.Column):
            select = column.find_ancestor(exp.Select)
            if select is None or not any(select is inner for inner in own):
                return False
            if self.queries.scope(select, None, visible).find(table_of(column), name_of(column)) is None:
                return False
        return True

    def _keeps_apart(self, place: Place, other: Node, scope: Scope) -> bool:
        """Whether values that are not equal as the key sees them are not equal in this comparison either."""
        own = self.base(*place)
        if own is None:
            return False
        places = filter(None, (place_of(node, scope) for node in other.find_all(exp.Column)))
        bases = [self.base(*found) for found in places]
        if any(base is None or base.collation != own.collation for base in bases):
            return False
        if own.affinity not in {"text", "blob"} or isinstance(other, (exp.Placeholder, exp.Literal)):
            return True
        if own.affinity == "blob" and not own.storage <= {"blob"}:
            return False  # compared with a text column, 1 and '1' are one
        return fact_of(other, scope).storage <= {"text", "blob"}  # a number would turn '01' into 1

    def base(self, relation: Relation, name: str) -> TableColumn | None:
        """The table's column that a column of a relation is, through views and subqueries."""
        if relation.query is None:
            if relation.table is None or relation.table.kind == "view":
                return None
            return _ROWID if name == ROWID else relation.table.columns.get(name)
        query, names = unwrapped(relation.query), list(relation.facts)
        if not isinstance(query, exp.Select) or name not in names or len(query.expressions) != len(names):
            return None
        visible = self.queries.with_ctes(query, None, relation.visible)
        node = bare(query.expressions[names.index(name)].unalias())
        found = place_of(node, self.queries.scope(query, None, visible))
        return self.base(*found) if found is not None else None

    def _row_fixed(self, relation: Relation, pins: Pins, filters: list[Node]) -> bool:
        if relation.query is not None:
            places = enumerate(relation.facts)
            given = {place: pins.columns[relation, one] for place, one in places if (relation, one) in pins.columns}
            return self.pinned(relation.query, None, relation.visible, given)
        if relation.table is None:
            return "fullkey" in relation.facts and (relation, "id") in pins.columns  # json_each
        return any(key_fixed(key, relation, pins, filters) for key in relation.table.keys)


def _places(terms: Sequence[Node], names: list[str]) -> list[int]:
    """The output columns (from 0) that ORDER BY names or counts."""
    places = []
    for term in terms:
        number, name = whole_number(term), name_of(term)
        if number is not None and 1 <= number <= len(names):
            places.append(number - 1)
        elif isinstance(term, exp.Column) and term.args.get("table") is None and names.count(name) == 1:
            places.append(names.index(name))
    return places


def at_most_limit(node: Node) -> bool:
    """Whether LIMIT lets one row through at most."""
    limit = part(node, "limit")
    return limit is not None and whole_number(limit.expression) in (0, 1)


def _at(term: Node, select: Node, scope: Scope) -> Node:
    """What a term of GROUP BY means: ``2`` is the second column; a name that no table has may be an alias."""
    place, term = whole_number(term), bare(term)
    if place is not None and 1 <= place <= len(select.expressions):
        return bare(select.expressions[place - 1].unalias())
    if (
        isinstance(term, exp.Column)
        and not term.args.get("table")
        and not any(relation.opaque or relation.has(name_of(term)) for relation in scope.relations)
    ):
        named = [node for node in select.expressions if node.alias.lower() == name_of(term)]
        return bare(named[0].unalias()) if len(named) == 1 else term
    return term


def _aliases(node: Node) -> set[str]:
    tables = [node, *node.find_all(exp.Table, exp.Subquery)]
    return {(table.alias or name_of(table)).lower() for table in tables}
