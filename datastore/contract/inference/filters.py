"""Which columns a condition keeps from being NULL, and whether fixed columns contain a unique key of a table.

A comparison with NULL is NULL, which no filter lets through. So ``x = :p`` keeps rows where x is not NULL, and so
does every operator that gives NULL for NULL. OR says what both sides say, NOT turns to what is false.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import attrs
from sqlglot import exp

from datastore.contract.inference.parse import Node, bare, conjuncts, name_of, table_of, text_of
from datastore.contract.inference.scopes import Relation, Scope
from datastore.contract.schema import ROWID, Key

#: A column of a relation of the scope itself (not of one around it).
Place: TypeAlias = tuple[Relation, str]

COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_binary = "Add Sub Mul Div Mod DPipe BitwiseAnd BitwiseOr BitwiseLeftShift BitwiseRightShift Like Glob"
_BINARY: tuple[type[exp.Expression], ...] = (*COMPARISONS, *(getattr(exp, name) for name in _binary.split()))
_unary = "Collate Cast Neg BitwiseNot Not Escape Lower Upper Length Abs"
_UNARY: tuple[type[exp.Expression], ...] = tuple(getattr(exp, name) for name in _unary.split())


def refine(condition: Node | None, scope: Scope) -> None:
    if condition is not None:
        for relation, name in where_true(condition, scope):
            relation.learn(name)


def where_true(node: Node, scope: Scope) -> set[Place]:
    """The columns that are not NULL where *node* is true."""
    node = bare(node)
    if isinstance(node, exp.And):
        return where_true(node.this, scope) | where_true(node.expression, scope)
    if isinstance(node, exp.Or):
        return where_true(node.this, scope) & where_true(node.expression, scope)
    if isinstance(node, exp.Not):
        return where_false(node.this, scope)
    if isinstance(node, exp.In):
        return _operand(node.this, scope)
    if isinstance(node, exp.Between):
        return _operand(node.this, scope) | _operand(node.args["low"], scope) | _operand(node.args["high"], scope)
    return _compared(node, scope) if isinstance(node, COMPARISONS) else strict(node, scope)


def where_false(node: Node, scope: Scope) -> set[Place]:
    """The columns that are not NULL where *node* is false (and not NULL)."""
    node = bare(node)
    if isinstance(node, exp.And):
        return where_false(node.this, scope) & where_false(node.expression, scope)
    if isinstance(node, exp.Or):
        return where_false(node.this, scope) | where_false(node.expression, scope)
    if isinstance(node, exp.Not):
        return where_true(node.this, scope)
    is_null = isinstance(node, exp.Is) and isinstance(node.expression, exp.Null)
    return strict(node.this if is_null else node, scope)


def strict(node: Node, scope: Scope) -> set[Place]:
    """The columns of which each alone makes *node* NULL by being NULL."""
    node = bare(node)
    if isinstance(node, exp.Column):
        place = scope.find(table_of(node), name_of(node))
        return {(place[1], name_of(node))} if place is not None and place[0] is scope else set()
    if isinstance(node, _BINARY):
        left, right = bare(node.this), bare(node.expression)
        if isinstance(left, exp.Tuple) or isinstance(right, exp.Tuple):
            return set()  # a row is compared from its left: the rest may not count
        return strict(left, scope) | strict(right, scope)
    if isinstance(node, exp.Between):
        return strict(node.this, scope)  # x BETWEEN NULL AND 1 is false for 2
    if isinstance(node, exp.In):
        # NULL IN () is false, and a subquery may find nothing.
        return _operand(node.this, scope) if node.expressions and not isinstance(bare(node.this), exp.Tuple) else set()
    return strict(node.this, scope) if isinstance(node, _UNARY) else set()


def _compared(node: Node, scope: Scope) -> set[Place]:
    left, right = elements(node.this), elements(node.expression)
    if len(left) != len(right):
        return set()
    # (a, b) < (c, d) may be decided by a and c; for equality every pair counts.
    count = len(left) if isinstance(node, exp.EQ) else 1
    if isinstance(node, exp.NEQ) and len(left) > 1:
        return set()
    found = [strict(element, scope) for pair in zip(left[:count], right[:count], strict=True) for element in pair]
    return set().union(*found)


def _operand(node: Node, scope: Scope) -> set[Place]:
    return set().union(*(strict(element, scope) for element in elements(node)))


def elements(node: Node) -> list[Node]:
    """The elements of a row, or the one value, without parentheses."""
    node = bare(node)
    return [bare(element) for element in node.expressions] if isinstance(node, exp.Tuple) else [node]


@attrs.define(eq=False)
class Pins:
    """What is known to be fixed of the rows of one SELECT."""

    scope: Scope
    #: Columns that are fixed; True where ``=`` fixed them, so that they are not NULL.
    columns: dict[Place, bool] = attrs.field(factory=dict)
    #: Expressions that are fixed, as text.
    expressions: set[str] = attrs.field(factory=set)
    #: Those of which the row is fixed.
    relations: set[Relation] = attrs.field(factory=set)
    #: Columns that are given: fixed whatever the joins do.
    given: set[Place] = attrs.field(factory=set)

    def has(self, place: Place) -> bool:
        """Whether a column has one value. Of an outer-joined row, an equality in ON says: this value, or NULL."""
        equated = place in self.columns and not place[0].extended
        return equated or place in self.given or place[0] in self.relations

    def add(self, place: Place, *, equal: bool) -> None:
        self.columns[place] = equal or self.columns.get(place, False)

    def give(self, node: Node, *, equal: bool = False) -> None:
        """Takes an output or ORDER BY expression for fixed."""
        node = bare(node.unalias())
        self.expressions.add(text_of(node))
        if place := place_of(node, self.scope):
            self.given.add(place)
            self.add(place, equal=equal)

    def fixes(self, node: Node) -> bool:
        place = place_of(node, self.scope)
        return text_of(node) in self.expressions or (place is not None and self.has(place))

    def reaches(self, relation: Relation) -> bool:
        """Whether a row can be pinned yet: an outer-joined one is there or not as the rows before it have it."""
        before = self.scope.relations[: self.scope.relations.index(relation)]
        return not relation.extended or all(other in self.relations for other in before)


def key_fixed(key: Key, relation: Relation, pins: Pins, filters: list[Node]) -> bool:
    for name, collation in zip(key.columns, key.collations, strict=True):
        equal = pins.columns.get((relation, _canonical(relation, name)))
        column = relation.table.columns.get(name) if relation.table is not None else None
        if equal is None or (collation is not None and (column is None or column.collation != collation)):
            return False
        never_null = name == ROWID or name in relation.known or (column is not None and column.not_null)
        if not equal and not never_null:
            return False
    said = {_unqualified(term) for term in filters if _only_of(term, relation, pins.scope)}
    return all(_implied(term, said, relation) for term in conjuncts(key.where))


def place_of(node: Node, scope: Scope) -> Place | None:
    """The column of the scope's own relations that *node* is; the rowid as `ROWID`, whatever name it goes by."""
    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
        return None
    found = scope.find(table_of(node), name_of(node))
    if found is None or found[0] is not scope:
        return None
    return found[1], _canonical(found[1], name_of(node))


def _canonical(relation: Relation, name: str) -> str:
    alias = relation.table.rowid_alias if relation.table is not None and relation.query is None else ""
    return ROWID if relation.is_rowid(name) or (alias and name == alias) else name


def _unqualified(term: Node) -> str:
    copy = term.copy()
    for column in copy.find_all(exp.Column):
        column.set("table", None)
        column.set("this", exp.to_identifier(name_of(column), quoted=True))
    return text_of(copy)


def _only_of(term: Node, relation: Relation, scope: Scope) -> bool:
    places: Iterable[Place | None] = (place_of(column, scope) for column in term.find_all(exp.Column))
    return all(place is not None and place[0] is relation for place in places)


def _implied(term: Node, said: set[str], relation: Relation) -> bool:
    test: Node = term.this if isinstance(term, exp.Not) else term
    is_not_null = test is not term and isinstance(test, exp.Is) and isinstance(test.expression, exp.Null)
    return (is_not_null and name_of(test.this) in relation.known) or _unqualified(term) in said
