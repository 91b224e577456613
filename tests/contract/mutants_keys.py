"""Planted errors in what is said of rows and order: each switches one rule off. `falsifier_keys` must find every one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from sqlglot import exp

from datastore.contract import logical, schema
from datastore.contract.inference import filters, rows
from datastore.contract.inference.parse import bare, conjuncts, parts
from datastore.contract.vet import result
from tests.contract.mutants import Mutant, _function

_key_fixed, _affinity = filters.key_fixed, logical.affinity


def _nulls_are_one(key: Any, relation: Any, pins: Any, terms: Any) -> bool:
    before = dict(pins.columns)
    pins.columns.update(dict.fromkeys(pins.columns, True))
    try:
        return _key_fixed(key, relation, pins, terms)
    finally:
        pins.columns.clear()
        pins.columns.update(before)


def _any_collation(key: Any, relation: Any, pins: Any, terms: Any) -> bool:
    return _key_fixed(attrs.evolve(key, collations=(None,) * len(key.columns)), relation, pins, terms)


def _part_of_a_key(key: Any, relation: Any, pins: Any, terms: Any) -> bool:
    return _key_fixed(attrs.evolve(key, columns=key.columns[:1], collations=key.collations[:1]), relation, pins, terms)


def _whole_index(key: Any, relation: Any, pins: Any, terms: Any) -> bool:
    return _key_fixed(attrs.evolve(key, where=None), relation, pins, terms)


def _every_missing_row(self: Any, select: Any, scope: Any, terms: Any) -> Iterator[Any]:
    for term in terms:
        place = rows.place_of(bare(term.this), scope) if isinstance(term, exp.Is) else None
        if place and place[0].extended:
            yield place[0]


def _every_join_filters(self: Any, select: Any, scope: Any) -> Iterator[Any]:
    clauses = [rows.part(select, "where"), *(join.args.get("on") for join in parts(select, "joins"))]
    for term in (term for clause in clauses for term in conjuncts(clause)):
        for one, other in self._pairs(term, scope):
            yield one, other, None
            yield other, one, None


def _alias_first(term: Any, select: Any, scope: Any) -> Any:
    named = [node for node in select.expressions if node.alias.lower() == rows.name_of(bare(term))]
    return bare(named[0].unalias()) if len(named) == 1 else bare(term)


def _any_order(self: Any, tree: Any, terms: Any) -> bool:
    return bool(terms)


KEY_MUTANTS = [
    Mutant("a unique key has one NULL", _function(rows, name="key_fixed", value=_nulls_are_one)),
    Mutant("the first column of a key is the key", _function(rows, name="key_fixed", value=_part_of_a_key)),
    Mutant("a partial index is unique for every row", _function(rows, name="key_fixed", value=_whole_index)),
    Mutant("every collation keeps apart", _function(rows, name="key_fixed", value=_any_collation)),
    Mutant("every comparison keeps apart", _function(rows.Rows, name="_keeps_apart", value=lambda *a: True)),
    Mutant(
        "ANY of a STRICT table is a number", _function(schema, name="affinity", value=lambda kind, *a: _affinity(kind))
    ),
    Mutant("a column named rowid is the rowid", _function(schema, rows, filters, name="ROWID", value="rowid")),
    Mutant(
        "an outer join's missing row is of one kind", _function(rows.Rows, name="_absent", value=_every_missing_row)
    ),
    Mutant(
        "an outer join's ON filters both sides", _function(rows.Rows, name="_equalities", value=_every_join_filters)
    ),
    Mutant("GROUP BY means the alias first", _function(rows, name="_at", value=_alias_first)),
    Mutant("an upsert always stores", _function(result, name="_may_pass_over", value=lambda *a: False)),
    Mutant("every SELECT is an aggregate", _function(rows, name="is_aggregate", value=lambda *a: True)),
    Mutant("every order is total", _function(rows.Rows, name="order_pins", value=_any_order)),
]
