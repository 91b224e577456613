"""What is known of a function's value. A function that has no rule here promises nothing.

The functions believed never to give NULL are few, and tests/contract/test_inference.py runs each over edge values.
Left out, because they do give NULL: substr (of an empty blob), strftime and its kin (no date), json_extract.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from sqlglot import exp

from datastore.contract.inference.aggregates import Evaluate, is_json_safe
from datastore.contract.inference.facts import (
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
from datastore.contract.inference.parse import Node, called, text_of
from datastore.contract.inference.scopes import Scope

Rule: TypeAlias = Callable[[Node, Scope, Evaluate], Fact]


def _coalesce(node: Node, scope: Scope, evaluate: Evaluate) -> Fact:
    used = []
    for argument in [node.this, *node.expressions]:
        used.append(evaluate(argument, scope))
        if not used[-1].nullable:
            return either(used).but(nullable=False, reason="coalesce ends in a value that is never NULL")
    return either(used).but(nullable=True, reason=f"no argument of coalesce is sure: {used[-1].reason}")


def _nullif(node: Node, scope: Scope, evaluate: Evaluate) -> Fact:
    return evaluate(node.this, scope).but(nullable=True, reason="nullif() is NULL where both are equal")


def _least(node: Node, scope: Scope, evaluate: Evaluate) -> Fact:
    return either([evaluate(value, scope) for value in [node.this, *node.expressions]])


def _always(storage: frozenset[str], name: str) -> Rule:
    return lambda node, scope, evaluate: never_null(storage, f"{name}() is never NULL")


def _of_argument(storage: frozenset[str]) -> Rule:
    return lambda node, scope, evaluate: from_operands(storage, None, evaluate(node.this, scope))


def _maybe(storage: frozenset[str]) -> Rule:
    return lambda node, scope, evaluate: Fact(storage, True, f"{called(node)} may be NULL")


def _absolute(node: Node, scope: Scope, evaluate: Evaluate) -> Fact:
    inner = evaluate(node.this, scope)
    return from_operands(inner.storage if inner.storage in (INTEGER, REAL) else NUMBER, None, inner)


def _named(node: Node, scope: Scope, evaluate: Evaluate) -> Fact:
    """A function that the parser has no class for."""
    name, arguments = node.name.lower(), node.expressions
    if name == "quote":
        return never_null(TEXT, "quote() is never NULL")
    if name == "json_array":
        return _json_text([evaluate(value, scope) for value in arguments], "json_array()")
    if name == "json" and len(arguments) == 1:
        return from_operands(TEXT, "json", evaluate(arguments[0], scope))
    if name == "json_valid" and len(arguments) == 1:
        return truth(evaluate(arguments[0], scope))
    if name == "bm25" and all(re.fullmatch(r"\d+(\.\d+)?", text_of(weight)) for weight in arguments[1:]):
        return never_null(REAL, "bm25() ranks every row that is found")
    return unknown(f"{name}() may be NULL")


def _json_object(node: Node, scope: Scope, evaluate: Evaluate) -> Fact:
    pairs = node.expressions
    if not all(isinstance(pair, exp.JSONKeyValue) for pair in pairs):
        return unknown("json_object() may be NULL")
    return _json_text([evaluate(pair.expression, scope) for pair in pairs], "json_object()")


def _json_text(values: list[Fact], name: str) -> Fact:
    return never_null(TEXT, f"{name} is never NULL", "json" if is_json_safe(values) else None)


FUNCTIONS: dict[type, Rule] = {
    exp.Coalesce: _coalesce,
    exp.Nullif: _nullif,
    exp.Least: _least,
    exp.Greatest: _least,
    exp.Typeof: _always(TEXT, "typeof"),
    exp.Hex: _always(TEXT, "hex"),
    exp.Rand: _always(INTEGER, "random"),
    exp.Length: _of_argument(INTEGER),
    exp.Lower: _of_argument(TEXT),
    exp.Upper: _of_argument(TEXT),
    exp.Abs: _absolute,
    exp.Round: _maybe(REAL),
    exp.Trim: _maybe(TEXT),
    exp.Replace: _maybe(TEXT),
    exp.StrPosition: _maybe(INTEGER),
    exp.JSONObject: _json_object,
    exp.Anonymous: _named,
}
