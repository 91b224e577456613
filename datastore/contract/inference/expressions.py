"""What is known of an expression's value: a rule per operator and function; what has no rule promises nothing.

``+ - *`` of reals may be NULL (infinity minus infinity), ``/`` and ``%`` (by zero) too. The functions believed never to
give NULL are few, and tests/contract/test_inference.py runs each over edge values. Left out, because they do give NULL:
substr (of an empty blob), strftime and its kin (no date), json_extract.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from sqlglot import exp

from datastore.contract.inference.aggregates import aggregate, is_json_safe, window
from datastore.contract.inference.filters import Place, where_true
from datastore.contract.inference.parse import Node, bare, called, is_query, name_of, table_of, text_of, whole_number
from datastore.contract.inference.scopes import Fact, Scope, either, from_operands, never_null, truth, unknown
from datastore.contract.logical import BLOB, INTEGER, NUMBER, REAL, STORAGE, TEXT

_Rule: TypeAlias = Callable[[Node, Scope], Fact]

_CAST = {
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "NCHAR", "NVARCHAR"), TEXT),
    **dict.fromkeys(("INT", "BIGINT", "SMALLINT", "TINYINT", "MEDIUMINT"), INTEGER),
    **dict.fromkeys(("FLOAT", "DOUBLE"), REAL),
    **dict.fromkeys(("VARBINARY", "BLOB"), BLOB),
    **dict.fromkeys(("DECIMAL", "BOOLEAN", "DATE", "DATETIME", "TIMESTAMP"), NUMBER),
}


def fact_of(node: Node, scope: Scope) -> Fact:
    node = bare(node)
    if found := aggregate(node, scope, fact_of):
        return found
    if rule := _RULES.get(type(node)):
        return rule(node, scope)
    return _scalar_subquery(node, scope) if is_query(node) else unknown(f"{called(node)} may be NULL")


def cast_storage(node: Node) -> frozenset[str]:
    kind = node.args["to"].this
    return _CAST.get(getattr(kind, "name", str(kind)), STORAGE)


def _literal(node: Node, scope: Scope) -> Fact:
    return never_null(TEXT if node.is_string else _number(whole_number(node)), "a literal")


def _number(value: int | None) -> frozenset[str]:
    if value is None:
        return REAL
    # Past 2^63 a literal is a real, and a hexadecimal one a negative integer: the tree does not tell them apart.
    return INTEGER if -(2**63) < value < 2**63 else NUMBER


def _boolean_literal(node: Node, scope: Scope) -> Fact:
    # A column may be named true: SQLite then means the column.
    name = str(node.this).lower()
    return truth() if scope.find("", name) is None else scope.column("", name)


def _parameter(node: Node, scope: Scope) -> Fact:
    if node.name in scope.analyzer.not_null_parameters:
        return never_null(STORAGE, f":{node.name} is never NULL, says the header")
    return unknown(f":{node.name} may be NULL")


def _operands(node: Node, scope: Scope) -> list[Fact]:
    sides = [bare(node.this), bare(node.expression)]
    elements = [element for side in sides for element in (side.expressions if isinstance(side, exp.Tuple) else [side])]
    if len(elements) > 2 and any(is_query(element) for element in elements):
        return [unknown("a row of a subquery may be NULL")]
    return [fact_of(element, scope) for element in elements]


def _arguments(*names: str) -> Callable[[Node, Scope], list[Fact]]:
    return lambda node, scope: [fact_of(node.args[name], scope) for name in names]


def _strict(storage: frozenset[str], operands: Callable[[Node, Scope], list[Fact]] = _operands) -> _Rule:
    """NULL exactly where an operand is."""
    return lambda node, scope: from_operands(storage, None, *operands(node, scope))


def _truth(operands: Callable[[Node, Scope], list[Fact]] = _operands) -> _Rule:
    return lambda node, scope: truth(*operands(node, scope))


def _always(fact: Fact) -> _Rule:
    return lambda node, scope: fact


def _maybe(storage: frozenset[str]) -> _Rule:
    return lambda node, scope: Fact(storage, True, f"{called(node)} may be NULL")


def _in(node: Node, scope: Scope) -> Fact:
    left, query = bare(node.this), node.args.get("query")
    if isinstance(left, exp.Tuple) or node.args.get("field") is not None:
        return truth(unknown("a row or a table in IN may hold NULL"))
    if query is not None:
        return truth(fact_of(left, scope), *(fact for _, fact in scope.analyzer.query(query, scope, scope.visible)))
    return truth(fact_of(left, scope), *(fact_of(value, scope) for value in node.expressions))


def _cast(node: Node, scope: Scope) -> Fact:
    inner = fact_of(node.this, scope)
    if inner.logical == "boolean" and getattr(node.args["to"].this, "name", "") == "BOOLEAN":
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


def _negative(node: Node, scope: Scope) -> Fact:
    inner = fact_of(node.this, scope)
    if isinstance(node.this, exp.Literal) and not node.this.is_string:
        return never_null(_number(whole_number(node)), "a literal")
    return from_operands(REAL if inner.storage == REAL else NUMBER, None, inner)  # -(-2^63) is a real


def _absolute(node: Node, scope: Scope) -> Fact:
    inner = fact_of(node.this, scope)
    return from_operands(inner.storage if inner.storage in (INTEGER, REAL) else NUMBER, None, inner)


def _case(node: Node, scope: Scope) -> Fact:
    is_simple, default = node.args.get("this") is not None, node.args.get("default")
    whens = [(set() if is_simple else where_true(one.this, scope), one.args["true"]) for one in node.args["ifs"]]
    branches = [_knowing(known, then, scope) for known, then in whens]
    if default is None:
        return either(branches).but(nullable=True, reason="a CASE without ELSE is NULL where no WHEN is true")
    return either([*branches, fact_of(default, scope)])


def _if(node: Node, scope: Scope) -> Fact:
    otherwise = node.args.get("false")
    then = _knowing(where_true(node.this, scope), node.args["true"], scope)
    if otherwise is None:
        return then.but(nullable=True, reason="an if without else is NULL where it is not true")
    return either([then, fact_of(otherwise, scope)])


def _knowing(places: set[Place], node: Node, scope: Scope) -> Fact:
    """The value of *node* for the rows where some columns are not NULL."""
    added = [(relation, name) for relation, name in places if name not in relation.known]
    for relation, name in added:
        relation.known.add(name)
    try:
        return fact_of(node, scope)
    finally:
        for relation, name in added:
            relation.known.discard(name)


def _scalar_subquery(node: Node, scope: Scope) -> Fact:
    columns = scope.analyzer.query(node, scope, scope.visible)
    if len(columns) != 1:
        return unknown("a subquery of several columns is no value")
    fact = columns[0][1]
    if not scope.analyzer.has_one_row(node):
        return Fact(fact.storage, True, "the subquery may find no row", fact.logical)
    return Fact(fact.storage, fact.nullable, fact.reason, fact.logical)


def _values(node: Node, scope: Scope) -> list[Fact]:
    return [fact_of(value, scope) for value in [node.this, *node.expressions]]


def _coalesce(node: Node, scope: Scope) -> Fact:
    every = _values(node, scope)
    for number, fact in enumerate(every, 1):
        if not fact.nullable:
            reason = "coalesce ends in a value that is never NULL"
            return either(every[:number]).but(nullable=False, reason=reason)
    return either(every).but(nullable=True, reason=f"no argument of coalesce is sure: {every[-1].reason}")


def _named(node: Node, scope: Scope) -> Fact:
    """A function that the parser has no class for."""
    name, arguments = node.name.lower(), node.expressions
    if name == "quote":
        return never_null(TEXT, "quote() is never NULL")
    if name == "json_array":
        return _json_text([fact_of(value, scope) for value in arguments], "json_array()")
    if name == "json" and len(arguments) == 1:
        return from_operands(TEXT, "json", fact_of(arguments[0], scope))
    if name == "json_valid" and len(arguments) == 1:
        return truth(fact_of(arguments[0], scope))
    if name == "bm25" and all(re.fullmatch(r"\d+(\.\d+)?", text_of(weight)) for weight in arguments[1:]):
        return never_null(REAL, "bm25() ranks every row that is found")
    return unknown(f"{name}() may be NULL")


def _json_object(node: Node, scope: Scope) -> Fact:
    if not all(isinstance(pair, exp.JSONKeyValue) for pair in node.expressions):
        return unknown("json_object() may be NULL")
    return _json_text([fact_of(pair.expression, scope) for pair in node.expressions], "json_object()")


def _json_text(values: list[Fact], name: str) -> Fact:
    return never_null(TEXT, f"{name} is never NULL", "json" if is_json_safe(values) else None)


_this = _arguments("this")
_NULLIF = "nullif() is NULL where both are equal"
_RULES: dict[type, _Rule] = {
    exp.Column: lambda node, scope: scope.column(table_of(node), name_of(node)),
    exp.Literal: _literal,
    exp.Null: _always(Fact(frozenset(), True, "it is NULL")),
    exp.Boolean: _boolean_literal,
    exp.HexString: _always(never_null(BLOB, "a literal")),
    exp.Placeholder: _parameter,
    **dict.fromkeys((exp.Alias, exp.Collate), lambda node, scope: fact_of(node.this, scope)),
    exp.Subquery: _scalar_subquery,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Like, exp.Glob), _truth()),
    **dict.fromkeys((exp.And, exp.Or), _truth()),
    exp.Escape: _truth(_arguments("this", "expression")),
    exp.Between: _truth(_arguments("this", "low", "high")),
    **dict.fromkeys((exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ), _always(truth(reason="IS is never NULL"))),
    exp.Exists: _always(truth(reason="EXISTS is never NULL")),
    exp.Not: _truth(_this),
    exp.In: _in,
    exp.Cast: _cast,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), _arithmetic),
    **dict.fromkeys((exp.Div, exp.Mod), _division),
    **dict.fromkeys((exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseLeftShift, exp.BitwiseRightShift), _strict(INTEGER)),
    exp.BitwiseNot: _strict(INTEGER, _this),
    exp.Neg: _negative,
    exp.DPipe: _strict(TEXT),
    exp.Case: _case,
    exp.If: _if,
    exp.Window: lambda node, scope: window(node, scope, fact_of),
    exp.Coalesce: _coalesce,
    exp.Nullif: lambda node, scope: fact_of(node.this, scope).but(nullable=True, reason=_NULLIF),
    **dict.fromkeys((exp.Least, exp.Greatest), lambda node, scope: either(_values(node, scope))),
    exp.Typeof: _always(never_null(TEXT, "typeof() is never NULL")),
    exp.Hex: _always(never_null(TEXT, "hex() is never NULL")),
    exp.Rand: _always(never_null(INTEGER, "random() is never NULL")),
    exp.Length: _strict(INTEGER, _this),
    **dict.fromkeys((exp.Lower, exp.Upper), _strict(TEXT, _this)),
    exp.Abs: _absolute,
    exp.Round: _maybe(REAL),
    exp.Trim: _maybe(TEXT),
    exp.Replace: lambda node, scope: Fact(fact_of(node.this, scope).storage | TEXT, True, "replace() may be NULL"),
    exp.StrPosition: _maybe(INTEGER),
    exp.JSONObject: _json_object,
    exp.Anonymous: _named,
}
