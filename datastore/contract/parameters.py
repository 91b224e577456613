"""What the SQL itself says of each parameter: the type that its place asks for, and whether NULL makes sense there.

``conversation_id = :conversation_id`` asks for the type of the column, and NULL finds nothing; ``VALUES (:title)``
takes NULL where the column does; LIMIT takes an integer, json_each a JSON text, MATCH a query. The header's type is
checked against this. Where two places disagree, or none says anything, nothing is expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import attrs
from sqlglot import exp

from datastore.contract.inference.expressions import cast_storage, fact_of
from datastore.contract.inference.filters import COMPARISONS, elements
from datastore.contract.inference.parse import Node, Unsure, bare, is_query, name_of, parse, sees_outside, text_of
from datastore.contract.inference.queries import Queries, arms, changed_table
from datastore.contract.inference.relations import read_from, table_facts
from datastore.contract.inference.scopes import Fact, Scope
from datastore.contract.problems import Problem
from datastore.contract.schema import Schema, Table
from datastore.contract.sources import Variant
from datastore.contract.text import parameters
from datastore.statements.headers import Parameter

#: What a column of a type takes from a parameter of a type: the loader makes text of a timestamp and of JSON.
_TAKES = {
    "text": {"text", "timestamp", "json", "rows", "match"},
    "integer": {"integer", "boolean"},
    "boolean": {"boolean", "integer"},
    "real": {"real", "integer"},
    "timestamp": {"timestamp"},
    "json": {"json", "rows", "match", "words"},
    "blob": {"blob"},
    "text of another shape": {"text"},
}


@attrs.frozen
class Expectation:
    """What is expected of the values of one parameter."""

    #: text, integer, real, boolean, timestamp, json or blob; None where the SQL does not say.
    type: str | None
    #: Whether NULL is of use: False where it finds or stores nothing, True where it is stored; None: not said.
    nullable: bool | None
    #: Which places say so.
    why: str
    #: NULL would be an error there (a NOT NULL column, LIMIT), not only of no use.
    firm: bool = False


#: A parameter's name, and what one of its places says.
_Found: TypeAlias = Iterator[tuple[str, Expectation]]


def check_parameter_types(schema: Schema, variant: Variant) -> Iterator[Problem]:
    """Parameters that are of another type than what they meet, or may be NULL where NULL finds or stores nothing."""
    source = variant.source
    assert source.statement
    try:
        expected = parameter_expectations(schema, variant.sql)
    except Unsure:
        return
    for parameter in source.statement.header.parameters:
        name = parameter.name
        if name in expected and (wrong := _wrong(parameter, expected[name])):
            line = next(number for number, text in enumerate(source.header) if text.startswith(f"--   {name} "))
            kind = f"{parameter.type}{'?' if parameter.nullable else ''}"
            place = source.place(line, source.lines[line].index(kind, len(f"--   {name}")) + 1, len(kind))
            yield Problem("parameter-type", place, *wrong, (expected[name].why,))


def _wrong(parameter: Parameter, expected: Expectation) -> tuple[str, str] | None:
    name = parameter.name
    if expected.type is not None and parameter.type not in _TAKES[expected.type]:
        message = f'parameter "{name}" is {parameter.type}, and its place in the SQL is {expected.type}'
        return message, f"write: --   {name}  {expected.type.partition(' ')[0]}  {parameter.meaning}"
    if parameter.nullable and expected.nullable is False:
        message = f'parameter "{name}" may be NULL, which {"is an error" if expected.firm else "finds nothing"} there'
        return message, "take the ? away" + ("" if expected.firm else f", or make it an optional line: -- if: {name}")
    return None


def parameter_expectations(schema: Schema, sql: str) -> dict[str, Expectation]:
    """What the SQL expects of each named parameter, in the order of their first use."""
    try:
        tree = parse(sql)
    except Unsure as doubt:
        raise Unsure(f"the parameters are not understood: {doubt}") from doubt
    names = {node.name for node in tree.find_all(exp.Placeholder)}
    found: dict[str, list[Expectation]] = {name: [] for name in parameters(sql) if name in names}
    queries = Queries(schema)
    for name, expectation in _walk(tree, Scope(queries, None, {}), queries):
        found[name].append(expectation)
    return {name: _together(expectations) for name, expectations in found.items()}


def _together(expectations: list[Expectation]) -> Expectation:
    types = {expectation.type for expectation in expectations if expectation.type is not None}
    says = {expectation.nullable for expectation in expectations if expectation.nullable is not None}
    firm = any(expectation.firm for expectation in expectations)
    why = "; ".join(dict.fromkeys(expectation.why for expectation in expectations))
    # A comparison, which finds nothing for NULL, may be next to a place that takes it: `x = :x OR :x IS NULL`.
    nullable = None if not says else True in says and not firm
    return Expectation(types.pop() if len(types) == 1 else None, nullable, why or "no place says anything of it", firm)


def _walk(node: Node, scope: Scope, queries: Queries) -> _Found:
    """What *node* and everything in it says; *scope* is what it sees."""
    assigned: list[Node] = []
    if is_query(node) and not isinstance(node, exp.Subquery):
        outer = scope if sees_outside(node) else Scope(queries, None, scope.visible)
        visible = queries.with_ctes(node, outer, scope.visible)
        is_select = isinstance(node, exp.Select)
        scope = queries.scope(node, outer, visible) if is_select else Scope(queries, outer, visible)
    elif isinstance(node, (exp.Insert, exp.Update, exp.Delete)):
        scope = queries.changed_scope(node)
        if isinstance(node, exp.Insert):
            yield from _inserted(node, scope)
        else:
            read_from(node, scope)
            assigned = node.expressions
    elif isinstance(node, exp.OnConflict):
        assigned = node.expressions
    for term in assigned:
        for name, value in zip(elements(term.this), elements(term.expression), strict=False):
            relation = scope.relations[0]
            column = f"{relation.alias}.{name_of(name)}"
            yield from _stored(value, relation.facts.get(name_of(name)), column, relation.table)
    yield from _place(node, scope)
    for child in node.iter_expressions():
        is_assigned = any(child is term for term in assigned)
        yield from _walk(child.expression if is_assigned else child, scope, queries)


def _inserted(tree: Node, scope: Scope) -> _Found:
    named, table = changed_table(tree), scope.relations[0].table
    assert table
    facts = table_facts(table)
    if table.rowid_alias:  # NULL asks for the next number
        facts[table.rowid_alias] = facts[table.rowid_alias].but(nullable=True, reason="")
    columns = list(map(name_of, tree.this.expressions)) if isinstance(tree.this, exp.Schema) else list(facts)
    source = tree.args.get("expression")
    rows = source.expressions if isinstance(source, exp.Values) else arms(source) if source is not None else []
    for row in rows:
        for column, value in zip(columns, row.expressions, strict=False):
            yield from _stored(value, facts.get(column), f"{named.name}.{column}", table)


def _stored(value: Node, fact: Fact | None, column: str, table: Table | None) -> _Found:
    """A parameter that goes into a column, as it is or as the first choice of a coalesce."""
    value = bare(value.unalias())
    known = table.columns.get(column.rpartition(".")[2]) if table else None
    if known and known.refuses_instants and isinstance(value, exp.Placeholder):
        why = f"a CHECK of {column} refuses instants as they are written, 2026-01-02T03:04:05.000006Z"
        yield value.name, Expectation("text of another shape", not known.not_null, why, firm=known.not_null)
    elif fact is not None and isinstance(value, exp.Placeholder):
        why = f"it is stored in {column}" + ("" if fact.nullable else ", which is NOT NULL")
        yield value.name, Expectation(fact.type, fact.nullable, why, firm=not fact.nullable)
    elif fact is not None and isinstance(value, exp.Coalesce) and isinstance(value.this, exp.Placeholder):
        yield value.this.name, Expectation(fact.type, True, f"it is stored in {column}, NULL by coalesce")


def _place(node: Node, scope: Scope) -> _Found:
    """What one operator or clause says of the parameters that are its operands."""
    if isinstance(node, (*COMPARISONS, exp.Like, exp.Glob)):
        yield from _compared(elements(node.this), elements(node.expression), scope)
    elif isinstance(node, exp.Between):
        for name in ("low", "high"):
            yield from _compared([bare(node.this)], [bare(node.args[name])], scope)
    elif isinstance(node, exp.In):
        yield from _in(node, scope)
    elif isinstance(node, (exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ)):
        yield from _compared([bare(node.this)], [bare(node.expression)], scope, " by IS, which takes NULL")
    elif isinstance(node, exp.Match) and isinstance(node.expression, exp.Placeholder):
        yield node.expression.name, Expectation("text", False, "MATCH takes a full-text query")
    elif isinstance(node, exp.Cast) and isinstance(bare(node.this), exp.Placeholder):
        storage = cast_storage(node)
        kind = next(iter(storage)) if len(storage) == 1 else None
        yield bare(node.this).name, Expectation(kind, None, "it is CAST")
    elif isinstance(node, (exp.Limit, exp.Offset)):
        for parameter in node.find_all(exp.Placeholder):
            yield parameter.name, Expectation("integer", False, "LIMIT takes an integer, never NULL", firm=True)
    elif isinstance(node, (exp.Coalesce, exp.Anonymous)):
        yield from _arguments(node, scope)


def _in(node: Node, scope: Scope) -> _Found:
    for value in node.expressions:
        yield from _compared(elements(node.this), elements(value), scope)
    query = node.args.get("query")
    if query is not None and isinstance(bare(node.this), exp.Placeholder):
        columns = scope.analyzer.query(query, scope, scope.visible)
        kind = columns[0][1].type if columns else None
        yield bare(node.this).name, Expectation(kind, False, "it is looked up by IN; NULL finds nothing")


def _arguments(node: Node, scope: Scope) -> _Found:
    name = node.name.lower()
    if isinstance(node, exp.Coalesce):
        values = [bare(value) for value in (node.this, *node.expressions)]
        others = [fact_of(value, scope) for value in values if not isinstance(value, exp.Placeholder)]
        for value in values:
            if isinstance(value, exp.Placeholder):
                yield value.name, Expectation(others[0].type if others else None, True, "coalesce takes NULL")
    elif name in ("json_each", "json_tree") and isinstance(node.parent, exp.Table):
        for value in node.expressions[:1]:
            if isinstance(value, exp.Placeholder):
                yield value.name, Expectation("json", False, f"{name}() reads JSON, and nothing from NULL")


def _compared(left: Sequence[Node], right: Sequence[Node], scope: Scope, null_safe: str = "") -> _Found:
    for one, other in [*zip(left, right, strict=False), *zip(right, left, strict=False)]:
        if isinstance(one, exp.Placeholder) and (null_safe or not isinstance(other, exp.Placeholder)):
            why = f"it is compared with {_short(other)}{null_safe or '; NULL finds nothing'}"
            yield one.name, Expectation(fact_of(other, scope).type, bool(null_safe), why)


def _short(node: Node) -> str:
    text = text_of(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
