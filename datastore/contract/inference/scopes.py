"""What is known of values before any row is read, and of the tables that one SELECT reads; how names resolve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

import attrs

from datastore.contract.inference.parse import Node, Unsure
from datastore.contract.logical import INTEGER, STORAGE
from datastore.contract.schema import Schema, Table


@attrs.frozen
class Fact:
    """One value: of a column, or of an expression."""

    #: The storage classes that it may have where it is not NULL.
    storage: frozenset[str]
    nullable: bool
    #: Why it can be NULL, or why not, in words for a DBA.
    reason: str
    #: boolean, timestamp, json; or real, where the engine may hand a REAL column's 1.0 over as 1 (RETURNING).
    logical: str | None = None
    #: Table and column, where it is a column of a table, through views and subqueries.
    origin: tuple[str, str] | None = None

    @property
    def type(self) -> str | None:
        """The type that is promised; None for none."""
        if self.logical is not None:
            return self.logical
        return next(iter(self.storage)) if len(self.storage) == 1 else None

    def but(self, *, nullable: bool, reason: str) -> Fact:
        """The same value, with other news of NULL."""
        return attrs.evolve(self, nullable=nullable, reason=reason)


#: The columns of a query: their names, as written, and what is known of them.
Columns: TypeAlias = list[tuple[str, Fact]]


def unknown(reason: str) -> Fact:
    """A value of which nothing is promised."""
    return Fact(STORAGE, True, reason)


def never_null(storage: frozenset[str], reason: str, logical: str | None = None) -> Fact:
    return Fact(storage, False, reason, logical)


def either(facts: Iterable[Fact]) -> Fact:
    """A value that is one of several: the arms of a UNION, the branches of a CASE. NULL where one can be."""
    facts = list(facts)
    types = {fact.type for fact in facts if fact.storage}  # NULL itself has none
    kind = types.pop() if len(types) == 1 else None
    storage = frozenset().union(*(fact.storage for fact in facts))
    null = next((fact for fact in facts if fact.nullable), None)
    reason = (null or facts[0]).reason
    return Fact(storage, null is not None, reason, None if storage == {kind} else kind)


def from_operands(storage: frozenset[str], logical: str | None, *operands: Fact) -> Fact:
    """A value that is NULL exactly where an operand is."""
    null = next((operand for operand in operands if operand.nullable), None)
    reason = (null or operands[0]).reason if null or len(operands) == 1 else "no operand can be NULL"
    return Fact(storage, null is not None, reason, logical)


def truth(*operands: Fact, reason: str = "it is 0 or 1") -> Fact:
    fact = from_operands(INTEGER, "boolean", *operands)
    return fact if fact.nullable else fact.but(nullable=False, reason=reason)


#: In `Scope.recast`: the aggregates.
AGGREGATES = "()"

#: The names of a table's rowid, where no column has that name.
ROWID_NAMES = frozenset({"rowid", "oid", "_rowid_"})


@attrs.define(eq=False)
class Cte:
    """One common table expression, with what its own text can see."""

    name: str
    query: Node
    #: Names given in ``name (a, b) AS``; empty for the query's own.
    columns: tuple[str, ...]
    visible: Mapping[str, Cte]
    outer: Scope | None
    facts: Columns | None = None
    #: What is assumed of it while a recursive one is being worked out.
    assumed: Columns | None = None
    busy: bool = False


@attrs.define(eq=False)
class Relation:
    """One table, view, subquery or table-valued function in a FROM clause."""

    #: In lower case.
    alias: str
    #: By name in lower case, in their order.
    facts: dict[str, Fact]
    #: As written, without hidden columns: what ``*`` stands for.
    names: tuple[str, ...]
    table: Table | None = None
    #: Subquery, CTE or view: its query and what that can see.
    query: Node | None = None
    visible: Mapping[str, Cte] = attrs.field(factory=dict)
    #: Its columns are not known.
    opaque: bool = False
    #: What is known of its rowid.
    rowid: Fact = attrs.field(factory=lambda: unknown("its rowid is not known"))
    #: Why its rows may be missing; "" where they cannot.
    extended: str = ""
    #: Columns that a filter keeps from being NULL.
    known: set[str] = attrs.field(factory=set)
    #: Columns that a USING or NATURAL join hides from ``*``.
    merged: set[str] = attrs.field(factory=set)

    def has(self, name: str) -> bool:
        return name in self.facts or self.is_rowid(name)

    def is_rowid(self, name: str) -> bool:
        """Whether a name is the rowid's, and not a column's of that name."""
        reachable = self.table is not None and self.table.has_rowid and self.query is None
        return name in ROWID_NAMES and name not in self.facts and reachable

    def extend(self, reason: str) -> None:
        """An outer join may find no row here; what earlier filters said of it is void."""
        self.extended = reason
        self.known.clear()

    def learn(self, name: str) -> None:
        """A filter lets no row through where this column is NULL: so the row is there."""
        self.known.add(name)
        self.extended = ""

    def fact(self, name: str) -> Fact:
        fact = self.facts.get(name) or self.rowid
        if name in self.known:
            return fact.but(nullable=False, reason=f"a filter keeps only rows where {self.alias}.{name} is not NULL")
        return fact.but(nullable=True, reason=self.extended) if self.extended else fact


class Analyzer(Protocol):
    """What a scope asks of `datastore.contract.inference.queries`."""

    schema: Schema
    not_null_parameters: frozenset[str]

    def query(self, node: Node, outer: Scope | None, visible: Mapping[str, Cte]) -> Columns: ...
    def has_one_row(self, node: Node) -> bool: ...
    def view(self, table: Table) -> Columns | None: ...
    def cte(self, cte: Cte) -> Columns: ...


@attrs.define(eq=False)
class Scope:
    """The names that the expressions of one SELECT see."""

    analyzer: Analyzer
    outer: Scope | None
    visible: Mapping[str, Cte]
    relations: list[Relation] = attrs.field(factory=list)
    #: USING and NATURAL columns, with the relations that share each, leftmost first.
    shared: dict[str, list[Relation]] = attrs.field(factory=dict)
    #: A RIGHT or FULL join: a shared column is then of either side.
    either_side: bool = False
    #: An aggregate without GROUP BY gives a row even where there is none to read: then each column is NULL.
    may_be_empty: bool = False
    #: Columns, and AGGREGATES for every aggregate, of which an IN may change the class before they are shown.
    recast: frozenset[str] = frozenset()

    def find(self, table: str, name: str) -> tuple[Scope, Relation] | None:
        """Where a name (in lower case; *table* may be "") comes from; None where that is not certain."""
        found = [relation for relation in self.relations if table in ("", relation.alias) and relation.has(name)]
        if not table and name in self.shared:
            shared = self.shared[name]
            heads = [relation for relation in shared if name not in relation.merged]
            certain = not self.either_side and len(heads) == 1 and all(relation in shared for relation in found)
            return (self, heads[0]) if certain else None
        if len(found) == 1 and not (found[0].is_rowid(name) and not table and len(self.relations) > 1):
            return self, found[0]
        # A subquery's or view's rowid, or a column of a table that is not known, could be meant.
        meant = (one for one in self.relations if table in ("", one.alias))
        hides = any(one.opaque or name in ROWID_NAMES for one in meant)
        if found or hides or self.outer is None:
            return None
        return self.outer.find(table, name)

    def column(self, table: str, name: str) -> Fact:
        place = self.find(table, name)
        label = f"{table}.{name}" if table else name
        if place is None:
            return unknown(f"it is not certain which column {label} is")
        scope, relation = place
        fact = relation.fact(name)
        if name in scope.recast:
            fact = recast(fact)
        if scope.may_be_empty:
            return fact.but(nullable=True, reason=f"an aggregate over no rows gives NULL for {label}")
        return fact


def recast(fact: Fact) -> Fact:
    """A value that ``IN (SELECT ...)`` has looked up: SQLite 3.40 may leave it in the class that the list asked for."""
    return attrs.evolve(fact, storage=STORAGE, logical=None)


def require(condition: bool, why: str) -> None:
    """Give up, with a reason, unless the condition is true."""
    if not condition:
        raise Unsure(why)
