"""What the SQL itself says of each parameter: the type that its place asks for, and whether NULL makes sense there.

``conversation_id = :conversation_id`` asks for the type of the column, and NULL finds nothing; ``VALUES (:title)``
takes NULL where the column does; LIMIT takes an integer, json_each a JSON text, MATCH a query. The header's type is
checked against this. Where two places disagree, or none says anything, nothing is expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import attrs
from sqlglot import exp

from datastore.contract.inference.expressions import cast_storage, fact_of
from datastore.contract.inference.facts import Fact
from datastore.contract.inference.filters import COMPARISONS
from datastore.contract.inference.parse import Node, Unsure, bare, is_query, name_of, parse, part, parts, text_of
from datastore.contract.inference.queries import Queries, arms, changed_table
from datastore.contract.inference.relations import read_from, table_facts, target
from datastore.contract.inference.scopes import Cte, Scope
from datastore.contract.schema import Schema


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


def parameter_expectations(schema: Schema, sql: str) -> dict[str, Expectation]:
    """What the SQL expects of each named parameter, in the order of their first use."""
    try:
        tree = parse(sql)
    except Unsure as doubt:
        raise Unsure(f"the parameters are not understood: {doubt}") from doubt
    names = {node.name for node in tree.find_all(exp.Placeholder)}
    found: dict[str, list[Expectation]] = {name: [] for name in re.findall(r":(\w+)", sql) if name in names}
    for name, expectation in _Walk(Queries(schema)).statement(tree):
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


class _Walk:
    """Goes through a statement with the names that each part of it sees."""

    def __init__(self, queries: Queries) -> None:
        self.queries = queries

    def statement(self, tree: Node) -> Iterator[tuple[str, Expectation]]:
        visible = self.queries.with_ctes(tree, None, {})
        yield from self._ctes(tree, visible)
        if isinstance(tree, exp.Insert):
            yield from self._insert(tree, visible)
        elif isinstance(tree, (exp.Update, exp.Delete)):
            scope = self._changed_scope(tree, visible)
            yield from self._assignments(tree.expressions if isinstance(tree, exp.Update) else [], scope)
            yield from self._expressions([part(tree, "where"), tree.args.get("returning")], scope)
            yield from self._relations_of(tree, scope)
        else:
            yield from self.query(tree, None, {})

    def query(self, node: Node, outer: Scope | None, visible: Mapping[str, Cte]) -> Iterator[tuple[str, Expectation]]:
        while isinstance(node, (exp.Subquery, exp.Paren)):
            node = node.this
        visible = self.queries.with_ctes(node, outer, visible)
        yield from self._ctes(node, visible)
        for name in ("limit", "offset"):
            yield from self._limit(part(node, name))
        if isinstance(node, exp.SetOperation):
            for arm in (node.this, node.expression):
                yield from self.query(arm, outer, visible)
        elif isinstance(node, exp.Values):
            yield from self._expressions(node.expressions, Scope(self.queries, outer, visible))
        elif isinstance(node, exp.Select):
            scope = self.queries.scope(node, outer, visible)
            clauses = [part(node, name) for name in ("where", "group", "having", "order")]
            yield from self._expressions([*node.expressions, *clauses, *parts(node, "windows")], scope)
            yield from self._relations_of(node, scope)

    def _ctes(self, node: Node, visible: Mapping[str, Cte]) -> Iterator[tuple[str, Expectation]]:
        clause = part(node, "with")
        for cte in clause.expressions if clause is not None else []:
            yield from self.query(cte.this, None, visible)

    def _relations_of(self, node: Node, scope: Scope) -> Iterator[tuple[str, Expectation]]:
        clause = part(node, "from")
        relations = [clause.this] if clause is not None else []
        for join in parts(node, "joins"):
            relations.append(join.this)
            yield from self._expressions([join.args.get("on")], scope)
        for relation in relations:
            yield from self._relation(relation, scope)

    def _relation(self, node: Node, scope: Scope) -> Iterator[tuple[str, Expectation]]:
        if is_query(node) and not isinstance(node.this, exp.Table):
            yield from self.query(node, None, scope.visible)
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
            name, arguments = node.this.name.lower(), node.this.expressions
            if name in {"json_each", "json_tree"} and arguments and isinstance(arguments[0], exp.Placeholder):
                yield arguments[0].name, Expectation("json", False, f"{name}() reads JSON, and nothing from NULL")
                arguments = arguments[1:]
            yield from self._expressions(arguments, scope)
        for join in parts(node, "joins"):
            yield from self._expressions([join.args.get("on")], scope)
            yield from self._relation(join.this, scope)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            yield from self._relation(node.this, scope)

    def _limit(self, clause: Node | None) -> Iterator[tuple[str, Expectation]]:
        for node in clause.find_all(exp.Placeholder) if clause is not None else []:
            yield node.name, Expectation("integer", False, "LIMIT takes an integer, never NULL", firm=True)

    def _insert(self, tree: Node, visible: Mapping[str, Cte]) -> Iterator[tuple[str, Expectation]]:
        named = changed_table(tree)
        table = self.queries.schema.table(name_of(named))
        facts = table_facts(table) if table is not None else {}
        if table is not None and table.rowid_alias:  # NULL asks for the next number
            facts[table.rowid_alias] = facts[table.rowid_alias].but(nullable=True, reason="")
        columns = [name_of(column) for column in tree.this.expressions] if isinstance(tree.this, exp.Schema) else None
        columns = columns if columns is not None else list(facts)
        source = tree.args.get("expression")
        if isinstance(source, exp.Values):
            rows = [row.expressions for row in source.expressions]
        else:
            rows = (
                [arm.expressions for arm in arms(source) if isinstance(arm, exp.Select)] if source is not None else []
            )
            yield from self.query(source, None, visible) if source is not None else ()
        scope = self._changed_scope(tree, visible) if table is not None else Scope(self.queries, None, visible)
        for row in rows:
            for column, value in zip(columns, row, strict=False):
                yield from self._stored(value, facts.get(column), f"{named.name}.{column}", scope)
                if isinstance(source, exp.Values):
                    yield from self._expressions([value], scope)
        conflict = tree.args.get("conflict")
        if conflict is not None:
            yield from self._assignments(conflict.expressions, scope)
            yield from self._expressions([part(conflict, "where")], scope)
        yield from self._expressions([tree.args.get("returning")], scope)

    def _changed_scope(self, tree: Node, visible: Mapping[str, Cte]) -> Scope:
        named = changed_table(tree)
        table = self.queries.schema.table(name_of(named))
        if table is None:
            raise Unsure(f"there is no table {named.name}")
        scope = Scope(self.queries, None, visible)
        scope.relations.append(target(table, named.alias.lower()))
        if not isinstance(tree, exp.Insert):
            read_from(tree, scope, self.queries)
        return scope

    def _assignments(self, terms: list[Node], scope: Scope) -> Iterator[tuple[str, Expectation]]:
        for term in terms:
            left, right = bare(term.this), bare(term.expression)
            names = left.expressions if isinstance(left, exp.Tuple) else [left]
            values = right.expressions if isinstance(right, exp.Tuple) else [right]
            for name, value in zip(names, values, strict=False):
                fact = scope.relations[0].facts.get(name_of(name))
                yield from self._stored(value, fact, f"{scope.relations[0].alias}.{name_of(name)}", scope)
                yield from self._expressions([value], scope)

    def _stored(self, value: Node, fact: Fact | None, column: str, scope: Scope) -> Iterator[tuple[str, Expectation]]:
        """A parameter that goes into a column, as it is or as the first choice of a coalesce."""
        value = bare(value.unalias())
        if fact is None:
            return
        if isinstance(value, exp.Placeholder):
            why = f"it is stored in {column}" + ("" if fact.nullable else ", which is NOT NULL")
            yield value.name, Expectation(fact.type, fact.nullable, why, firm=not fact.nullable)
        elif isinstance(value, exp.Coalesce) and isinstance(value.this, exp.Placeholder):
            yield value.this.name, Expectation(fact.type, True, f"it is stored in {column}, NULL by coalesce")

    def _expressions(self, nodes: list[Node | None], scope: Scope) -> Iterator[tuple[str, Expectation]]:
        for node in nodes:
            if node is None:
                continue
            if is_query(node):
                yield from self.query(node, scope, scope.visible)
                continue
            yield from _place(node, scope)
            yield from self._expressions(list(node.iter_expressions()), scope)


def _place(node: Node, scope: Scope) -> Iterator[tuple[str, Expectation]]:
    """What one operator says of the parameters that are its operands."""
    if isinstance(node, (*COMPARISONS, exp.Like, exp.Glob)):
        yield from _compared(_elements(node.this), _elements(node.expression), scope)
    elif isinstance(node, exp.Between):
        for name in ("low", "high"):
            yield from _compared([bare(node.this)], [bare(node.args[name])], scope)
    elif isinstance(node, exp.In):
        yield from _in(node, scope)
    elif isinstance(node, exp.Match) and isinstance(node.expression, exp.Placeholder):
        yield node.expression.name, Expectation("text", False, "MATCH takes a full-text query")
    elif isinstance(node, (exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ)):
        yield from _null_safe(bare(node.this), bare(node.expression), scope)
    elif isinstance(node, exp.Cast) and isinstance(bare(node.this), exp.Placeholder):
        storage = cast_storage(node)
        kind = next(iter(storage)) if len(storage) == 1 else None
        yield bare(node.this).name, Expectation(kind, None, "it is CAST")
    elif isinstance(node, exp.Coalesce):
        yield from _coalesce([bare(value) for value in (node.this, *node.expressions)], scope)


def _in(node: Node, scope: Scope) -> Iterator[tuple[str, Expectation]]:
    for value in node.expressions:
        yield from _compared(_elements(node.this), _elements(value), scope)
    query = node.args.get("query")
    if query is not None and isinstance(bare(node.this), exp.Placeholder):
        columns = scope.analyzer.query(query, scope, scope.visible)
        kind = columns[0][1].type if columns else None
        yield bare(node.this).name, Expectation(kind, False, "it is looked up by IN; NULL finds nothing")


def _coalesce(values: list[Node], scope: Scope) -> Iterator[tuple[str, Expectation]]:
    others = [fact_of(value, scope) for value in values if not isinstance(value, exp.Placeholder)]
    kind = others[0].type if others else None
    for value in values:
        if isinstance(value, exp.Placeholder):
            yield value.name, Expectation(kind, True, "coalesce takes NULL")


def _compared(left: list[Node], right: list[Node], scope: Scope) -> Iterator[tuple[str, Expectation]]:
    for one, other in [*zip(left, right, strict=False), *zip(right, left, strict=False)]:
        if isinstance(one, exp.Placeholder) and not isinstance(other, exp.Placeholder):
            why = f"it is compared with {_short(other)}; NULL finds nothing"
            yield one.name, Expectation(fact_of(other, scope).type, False, why)


def _null_safe(left: Node, right: Node, scope: Scope) -> Iterator[tuple[str, Expectation]]:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, exp.Placeholder):
            why = f"it is compared with {_short(other)} by IS, which takes NULL"
            yield one.name, Expectation(fact_of(other, scope).type, True, why)


def _elements(node: Node) -> list[Node]:
    node = bare(node)
    return [bare(element) for element in node.expressions] if isinstance(node, exp.Tuple) else [node]


def _short(node: Node) -> str:
    text = text_of(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
