"""Which columns cannot be NULL where a condition is true: what a WHERE, an inner join's ON and a CASE WHEN say.

A comparison with NULL is NULL, which no filter lets through. So ``x = :p`` keeps rows where x is not NULL, and so
does every operator that gives NULL for NULL. OR says what both sides say, NOT turns to what is false.
"""

from __future__ import annotations

from typing import TypeAlias

from sqlglot import exp

from datastore.contract.inference.parse import Node, bare, name_of, table_of
from datastore.contract.inference.scopes import Relation, Scope

#: A column of a relation of the scope itself (not of one around it).
Place: TypeAlias = tuple[Relation, str]

COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_BINARY = (
    *COMPARISONS,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Div,
    exp.Mod,
    exp.DPipe,
    exp.BitwiseAnd,
    exp.BitwiseOr,
    exp.BitwiseLeftShift,
    exp.BitwiseRightShift,
    exp.Like,
    exp.Glob,
)
_UNARY = (
    exp.Collate,
    exp.Cast,
    exp.Neg,
    exp.BitwiseNot,
    exp.Not,
    exp.Escape,
    exp.Lower,
    exp.Upper,
    exp.Length,
    exp.Abs,
)


def refine(condition: Node | None, scope: Scope) -> None:
    """Writes down what a filter says of the scope's columns."""
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
    if isinstance(node, COMPARISONS):
        return _compared(node, scope)
    return strict(node, scope)


def where_false(node: Node, scope: Scope) -> set[Place]:
    """The columns that are not NULL where *node* is false (and not NULL)."""
    node = bare(node)
    if isinstance(node, exp.And):
        return where_false(node.this, scope) & where_false(node.expression, scope)
    if isinstance(node, exp.Or):
        return where_false(node.this, scope) | where_false(node.expression, scope)
    if isinstance(node, exp.Not):
        return where_true(node.this, scope)
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        return strict(node.this, scope)
    return strict(node, scope)


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
