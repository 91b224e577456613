"""What is known of an expression's value: a rule per operator and function; what has no rule promises nothing.

``+ - *`` of reals may be NULL (infinity minus infinity), ``/`` and ``%`` (by zero) too; `inference.functions` has the
functions.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from datastore.contract.inference.aggregates import aggregate, window
from datastore.contract.inference.facts import (
    BLOB,
    INTEGER,
    NUMBER,
    REAL,
    TEXT,
    Fact,
    either,
    from_operands,
    never_null,
    truth,
    unknown,
)
from datastore.contract.inference.filters import Place, where_true
from datastore.contract.inference.functions import FUNCTIONS
from datastore.contract.inference.parse import Node, bare, called, is_query, name_of, whole_number
from datastore.contract.inference.scopes import Scope
from datastore.contract.logical import STORAGE

_CAST = {
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "NCHAR", "NVARCHAR"), TEXT),
    **dict.fromkeys(("INT", "BIGINT", "SMALLINT", "TINYINT", "MEDIUMINT"), INTEGER),
    **dict.fromkeys(("FLOAT", "DOUBLE"), REAL),
    **dict.fromkeys(("VARBINARY", "BLOB"), BLOB),
    **dict.fromkeys(("DECIMAL", "BOOLEAN", "DATE", "DATETIME", "TIMESTAMP"), NUMBER),
}


def fact_of(node: Node, scope: Scope) -> Fact:
    """What is known of the value of *node* in *scope*."""
    node = bare(node)
    if found := aggregate(node, scope, fact_of):
        return found
    rule = _RULES.get(type(node))
    if rule is not None:
        return rule(node, scope)
    if function := FUNCTIONS.get(type(node)):
        return function(node, scope, fact_of)
    if is_query(node):
        return _scalar_subquery(node, scope)
    return unknown(f"{called(node)} may be NULL")


def cast_storage(node: Node) -> frozenset[str]:
    """The storage classes that a CAST gives."""
    kind = node.args["to"].this
    return _CAST.get(getattr(kind, "name", str(kind)), STORAGE)


def _column(node: Node, scope: Scope) -> Fact:
    return scope.column(name_of(node.args.get("table")), name_of(node))


def _literal(node: Node, scope: Scope) -> Fact:
    if node.is_string:
        return never_null(TEXT, "a literal")
    return never_null(_number(whole_number(node)), "a literal")


def _number(value: int | None) -> frozenset[str]:
    if value is None:
        return REAL
    # Past 2^63 a literal is a real, and a hexadecimal one a negative integer: the tree does not tell them apart.
    return INTEGER if -(2**63) < value < 2**63 else NUMBER


def _null(node: Node, scope: Scope) -> Fact:
    return Fact(frozenset(), True, "it is NULL")


def _boolean_literal(node: Node, scope: Scope) -> Fact:
    # A column may be named true: SQLite then means the column.
    name = str(node.this).lower()
    return truth() if scope.find("", name) is None else scope.column("", name)


def _parameter(node: Node, scope: Scope) -> Fact:
    if node.name in scope.analyzer.not_null_parameters:
        return never_null(STORAGE, f":{node.name} is never NULL, says the header")
    return unknown(f":{node.name} may be NULL")


def _passed_on(node: Node, scope: Scope) -> Fact:
    return fact_of(node.this, scope)


def _operands(node: Node, scope: Scope) -> list[Fact]:
    sides = [bare(node.this), bare(node.expression)]
    elements = [element for side in sides for element in (side.expressions if isinstance(side, exp.Tuple) else [side])]
    if len(elements) > 2 and any(is_query(element) for element in elements):
        return [unknown("a row of a subquery may be NULL")]
    return [fact_of(element, scope) for element in elements]


def _comparison(node: Node, scope: Scope) -> Fact:
    return truth(*_operands(node, scope))


def _between(node: Node, scope: Scope) -> Fact:
    return truth(*(fact_of(node.args[name], scope) for name in ("this", "low", "high")))


def _null_safe(node: Node, scope: Scope) -> Fact:
    return truth(reason="IS is never NULL")


def _exists(node: Node, scope: Scope) -> Fact:
    return truth(reason="EXISTS is never NULL")


def _not(node: Node, scope: Scope) -> Fact:
    return truth(fact_of(node.this, scope))


def _in(node: Node, scope: Scope) -> Fact:
    left = bare(node.this)
    if isinstance(left, exp.Tuple) or node.args.get("field") is not None:
        return truth(unknown("a row or a table in IN may hold NULL"))
    query = node.args.get("query")
    if query is not None:
        columns = scope.analyzer.query(query, scope, scope.visible)
        return truth(fact_of(left, scope), *(fact for _, fact in columns))
    return truth(fact_of(left, scope), *(fact_of(value, scope) for value in node.expressions))


def _cast(node: Node, scope: Scope) -> Fact:
    inner = fact_of(node.this, scope)
    kind = node.args["to"].this
    if inner.logical == "boolean" and getattr(kind, "name", "") == "BOOLEAN":
        return inner
    return Fact(cast_storage(node), inner.nullable, inner.reason)


def _arithmetic(node: Node, scope: Scope) -> Fact:
    left, right = _operands(node, scope)
    storage = REAL if REAL in (left.storage, right.storage) else NUMBER
    if left.storage == right.storage == INTEGER:
        return from_operands(storage, None, left, right)
    return Fact(storage, True, "infinity minus infinity, or times zero, is NULL")


def _division(node: Node, scope: Scope) -> Fact:
    left, right = _operands(node, scope)
    whole = left.storage == right.storage == INTEGER
    storage = REAL if REAL in (left.storage, right.storage) else NUMBER
    if isinstance(node, exp.Mod) and whole:
        storage = INTEGER
    if whole and whole_number(node.expression):
        return from_operands(storage, None, left)
    return Fact(storage, True, "a division by zero is NULL")


def _bits(node: Node, scope: Scope) -> Fact:
    return from_operands(INTEGER, None, *_operands(node, scope))


def _negative(node: Node, scope: Scope) -> Fact:
    inner = fact_of(node.this, scope)
    if isinstance(node.this, exp.Literal) and not node.this.is_string:
        return never_null(_number(whole_number(node)), "a literal")
    return from_operands(REAL if inner.storage == REAL else NUMBER, None, inner)  # -(-2^63) is a real


def _joined_text(node: Node, scope: Scope) -> Fact:
    return from_operands(TEXT, None, *_operands(node, scope))


def _case(node: Node, scope: Scope) -> Fact:
    branches = [_where(branch, scope, is_simple=node.args.get("this") is not None) for branch in node.args["ifs"]]
    default = node.args.get("default")
    if default is None:
        return either(branches).but(nullable=True, reason="a CASE without ELSE is NULL where no WHEN is true")
    return either([*branches, fact_of(default, scope)])


def _where(branch: Node, scope: Scope, *, is_simple: bool) -> Fact:
    """The value of a WHEN's THEN, for the rows where the WHEN is true."""
    known = set() if is_simple else where_true(branch.this, scope)
    return _knowing(known, branch.args["true"], scope)


def _knowing(places: set[Place], node: Node, scope: Scope) -> Fact:
    added = [(relation, name) for relation, name in places if name not in relation.known]
    for relation, name in added:
        relation.known.add(name)
    try:
        return fact_of(node, scope)
    finally:
        for relation, name in added:
            relation.known.discard(name)


def _if(node: Node, scope: Scope) -> Fact:
    otherwise = node.args.get("false")
    then = _knowing(where_true(node.this, scope), node.args["true"], scope)
    if otherwise is None:
        return then.but(nullable=True, reason="an if without else is NULL where it is not true")
    return either([then, fact_of(otherwise, scope)])


def _scalar_subquery(node: Node, scope: Scope) -> Fact:
    columns = scope.analyzer.query(node, scope, scope.visible)
    if len(columns) != 1:
        return unknown("a subquery of several columns is no value")
    fact = columns[0][1]
    if not scope.analyzer.has_one_row(node):
        return Fact(fact.storage, True, "the subquery may find no row", fact.logical)
    return Fact(fact.storage, fact.nullable, fact.reason, fact.logical)


_RULES: dict[type, Callable[[Node, Scope], Fact]] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Null: _null,
    exp.Boolean: _boolean_literal,
    exp.HexString: lambda node, scope: never_null(BLOB, "a literal"),
    exp.Placeholder: _parameter,
    exp.Alias: _passed_on,
    exp.Collate: _passed_on,
    exp.Subquery: _scalar_subquery,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Like, exp.Glob), _comparison),
    **dict.fromkeys((exp.And, exp.Or), _comparison),
    exp.Escape: lambda node, scope: truth(fact_of(node.this, scope), fact_of(node.expression, scope)),
    exp.Between: _between,
    exp.Is: _null_safe,
    exp.NullSafeEQ: _null_safe,
    exp.NullSafeNEQ: _null_safe,
    exp.Exists: _exists,
    exp.Not: _not,
    exp.In: _in,
    exp.Cast: _cast,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), _arithmetic),
    **dict.fromkeys((exp.Div, exp.Mod), _division),
    **dict.fromkeys((exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseLeftShift, exp.BitwiseRightShift), _bits),
    exp.BitwiseNot: lambda node, scope: from_operands(INTEGER, None, fact_of(node.this, scope)),
    exp.Neg: _negative,
    exp.DPipe: _joined_text,
    exp.Case: _case,
    exp.If: _if,
    exp.Window: lambda node, scope: window(node, scope, fact_of),
}
