"""What is known of a value before any row is read: its storage classes, its logical type, whether it can be NULL."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from datastore.contract.logical import STORAGE

#: Sources of an SQL value whose storage class is its type.
INTEGER = frozenset({"integer"})
REAL = frozenset({"real"})
NUMBER = frozenset({"integer", "real"})
TEXT = frozenset({"text"})
BLOB = frozenset({"blob"})


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
