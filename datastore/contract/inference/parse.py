"""Text to tree: sqlglot's SQLite parser, with what it reads otherwise than SQLite does taken out.

Trees are cached and shared: nobody changes one.
"""

from __future__ import annotations

import functools
import itertools
import logging
import re
from collections.abc import Iterator
from typing import ClassVar, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import SqlglotError

from datastore.contract.text import tokens
from datastore.statements.optional import QUOTED

#: A node of sqlglot's tree: as text, because the class has another name in older releases.
Node: TypeAlias = "exp.Expr"

# sqlglot says "falling back" by itself; here it is an Unsure, and no line on stderr.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

#: Type names that sqlglot takes for TEXT, BLOB, REAL or INTEGER and that SQLite's rules of affinity do not.
MISREAD_TYPES = frozenset({"BYTE", "SHORT", "LONG", "STR", "STRING", "BYTEA", "VARBINARY"})

# SQLite has =, IS, IN, LIKE, GLOB, MATCH and BETWEEN on one level, from the left, below < and its kin; sqlglot binds
# some of them closer. `a = b IS NULL` is `(a = b) IS NULL` to the one and `a = (b IS NULL)` to the other.
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ)
_TESTS = (*_COMPARISONS, exp.In, exp.Like, exp.Glob, exp.Between, exp.Match, exp.RegexpLike)
_TIGHT = (exp.Binary, exp.Neg, exp.BitwiseNot, exp.Collate)

_casts = re.compile(r"\bAS\s+\"?([a-z_]\w*)", re.IGNORECASE)
_replace = re.compile(r"\A(\s*)REPLACE\s+INTO\b", re.IGNORECASE)
_word_parameter = re.compile(rf"{QUOTED}|(?<![:\w]):(?P<name>[^\W\d]\w*)", re.DOTALL)
_update_or = re.compile(r"\A(\s*UPDATE)\s+OR\s+(?:ROLLBACK|ABORT|REPLACE|FAIL|IGNORE)\b", re.IGNORECASE)


class _Parser(SQLite.Parser):  # type: ignore[valid-type, misc]  # sqlglot 30 has it as a variable
    """sqlglot takes mod(a, b) for a % b; SQLite's mod() is a real."""

    FUNCTIONS: ClassVar = {name: build for name, build in SQLite.Parser.FUNCTIONS.items() if name != "MOD"}


class _Dialect(SQLite):
    Parser = _Parser


class Unsure(Exception):
    """Something that the inference does not understand well enough to promise anything. The text says what."""


@functools.lru_cache(maxsize=4096)
def parse(sql: str) -> Node:
    """The tree of one statement, or of an expression as in a CHECK or a partial index's WHERE.

    Raises:
        Unsure: It is not understood whole.
    """
    text = _update_or.sub(r"\1", _replace.sub(r"\1INSERT OR REPLACE INTO", _first_conflict(sql)))
    # A parameter may be named as a keyword is.
    text = _word_parameter.sub(lambda found: f":_{found['name']}" if found["name"] else found[0], text)
    if misread := {name.upper() for name in _casts.findall(text)} & MISREAD_TYPES:
        raise Unsure(f"the type name {misread.pop()} means one thing to SQLite and another to the parser")
    try:
        tree = sqlglot.parse_one(text, read=_Dialect)
    except (SqlglotError, RecursionError) as error:
        raise Unsure(f"the parser does not understand it: {str(error).splitlines()[0]}") from error
    if isinstance(tree, exp.Command) or tree.find(exp.Command):
        raise Unsure("the parser does not understand it")
    for node in tree.walk():
        if isinstance(node, exp.Placeholder):
            node.set("this", node.name[1:])
        if isinstance(node.parent, (exp.Update, exp.OnConflict)) and node.arg_key == "expressions":
            if not (isinstance(node, exp.EQ) and isinstance(node.this, (exp.Column, exp.Tuple))):
                raise Unsure("an assignment needs parentheses around its value")
            continue  # an assignment, which looks like a comparison
        operands = [*_operands(node)] if isinstance(node, (*_TESTS, *_TIGHT)) else []
        if isinstance(node, _TESTS) and any(isinstance(child, (*_TESTS, exp.Not)) for child in operands):
            raise Unsure("the parser and SQLite bind tests without parentheses between them differently; add them")
        if not isinstance(node, exp.Connector) and any(isinstance(child, exp.Not) for child in operands):
            raise Unsure("NOT inside an operator's operand needs parentheses")
    return tree


def _first_conflict(sql: str) -> str:
    """A text with the first of several ON CONFLICT clauses: the parser knows one, and the others say nothing of rows."""
    every = tokens(sql)
    outer = [token for token in every if token.depth == 0]
    starts = [on.start for on, word in itertools.pairwise(outer) if (on.upper, word.upper) == ("ON", "CONFLICT")]
    if len(starts) < 2:
        return sql
    end = next((token.start for token in outer if token.upper == "RETURNING"), len(sql))
    return f"{sql[: starts[1]]} {sql[end:]}"


def _operands(node: Node) -> Iterator[Node]:
    """The operands of an operator that are not set off by parentheses or commas."""
    for name in ("this", "expression", "low", "high"):
        child = node.args.get(name)
        if isinstance(child, exp.Escape):
            child = child.this
        if isinstance(node, (exp.NullSafeEQ, exp.NullSafeNEQ)) and child is not None:
            child = bare(child)  # the parser puts parentheses of its own here
        if child is not None:
            yield child


def part(node: Node, name: str) -> Node | None:
    """A clause of a statement, the condition of a WHERE.

    sqlglot calls some ``from_`` and ``with_``, older releases ``from`` and ``with``.
    """
    found: Node | None = node.args.get(f"{name}_") or node.args.get(name)
    found = found.this if isinstance(found, exp.Where) else found
    return found if isinstance(found, exp.Expression) else None


def parts(node: Node, name: str) -> list[Node]:
    return list(node.args.get(name) or [])


def bare(node: Node) -> Node:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def conjuncts(node: Node | None) -> Iterator[Node]:
    if node is None:
        return
    node = bare(node)
    if isinstance(node, exp.And):
        yield from conjuncts(node.this)
        yield from conjuncts(node.expression)
    else:
        yield node


def name_of(node: Node | None) -> str:
    """A name as SQLite compares it: lower case."""
    return node.name.lower() if node is not None else ""


def table_of(column: Node) -> str:
    """The table that a column names; "" for none."""
    return name_of(column.args.get("table"))


def unwrapped(query: Node) -> Node:
    while isinstance(query, (exp.Subquery, exp.Paren)):
        query = query.this
    return query


def is_query(node: Node | None) -> bool:
    return isinstance(node, (exp.Select, exp.SetOperation, exp.Values, exp.Subquery))


def sees_outside(query: Node, outside: Node | None = None) -> bool:
    """Whether a query sees the columns of one around it: not in its FROM or WITH, nor as the rows of an INSERT."""
    node = query
    while node.parent is not None and node is not outside and (outside or not isinstance(node.parent, exp.Select)):
        takes_no_column = isinstance(node.parent, (exp.Join, exp.Insert)) and node.arg_key in ("this", "expression")
        if takes_no_column or isinstance(node.parent, (exp.From, exp.CTE)):
            return False
        node = node.parent
    return True


def whole_number(node: Node | None) -> int | None:
    """The value of an integer literal, with its sign; None for anything else."""
    node = bare(node) if node is not None else None
    if isinstance(node, exp.Neg):
        value = whole_number(node.this)
        return None if value is None else -value
    if isinstance(node, exp.Literal) and not node.is_string and re.fullmatch(r"\d+", node.this):
        return int(node.this)
    return None


def text_of(node: Node) -> str:
    return str(node.sql(dialect="sqlite"))


def called(node: Node) -> str:
    if isinstance(node, exp.Anonymous):
        return f"{node.name}()"
    return f"{node.sql_name().lower()}()" if isinstance(node, exp.Func) else "the expression"
