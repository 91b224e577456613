"""What a statement gives back and takes, as the inference sees it: types, names, how many rows, in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from datastore.contract.database import Catalogue
from datastore.contract.inference import Column, Schema, Unsure, result_columns
from datastore.contract.logical_rows import at_most_one_row, total_order
from datastore.contract.parameters import parameter_expectations
from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.sources import Source, Variant
from datastore.contract.text import find_name, tokens
from datastore.contract.vet_records import Records
from datastore.contract.vet_sql import around, verb
from datastore.statements.loader import Statement

_plain = re.compile(r"[A-Za-z_]\w*")


class Results:
    """The rules about results, on one schema."""

    def __init__(self, project: Project, catalogue: Catalogue) -> None:
        self.connection = catalogue.connection
        self.schema = Schema(catalogue.connection)
        self.records = Records(project)

    def check(self, variant: Variant) -> list[Problem]:
        """The problems of one statement, with some of its optional lines."""
        source = variant.source
        if source.statement is None:
            return []
        found = [*self._columns(variant, source.statement), *self._rows(variant, source.statement)]
        return [attrs.evolve(problem, statement=source.name) for problem in found]

    def _columns(self, variant: Variant, statement: Statement) -> Iterator[Problem]:
        if statement.result == "count":
            return
        header = statement.header
        given = {one.name for one in header.parameters if not one.nullable}
        columns = result_columns(self.connection, self.schema, variant.sql, not_null_parameters=given)
        yield from _names(variant.source, columns)
        yield from _types(variant.source, columns, header.returns)
        if statement.result == "value" and len(columns) > 1:
            place = place_of(variant.source, columns[1].name)
            message = f"$ gives the first of {len(columns)} columns and drops the others"
            yield Problem("one-column", place, message, "select one column, or take the operator ^")
        if header.record:
            yield from self.records.check(variant.source, header.record, columns)

    def _rows(self, variant: Variant, statement: Statement) -> Iterator[Problem]:
        source = variant.source
        if statement.result in ("row", "value"):
            is_one, why = at_most_one_row(self.schema, variant.sql)
            if not is_one:
                sign = "^" if statement.result == "row" else "$"
                message = f"nothing proves that {sign} gives one row at most: {why}"
                hint = "compare every column of a unique index, or add LIMIT 1 behind a total order"
                yield Problem("one-row", _first(source), message, hint)
        every = tokens(variant.sql)
        limit = next((token for token in every if token.upper == "LIMIT"), None)
        if limit:
            is_total, why = total_order(self.schema, variant.sql)
            if not is_total:
                place = _limit_place(source)
                message = f"LIMIT takes rows by chance: {why}"
                yield Problem("limit-order", place, message, "end the ORDER BY in the columns of a unique index")


def _names(source: Source, columns: Sequence[Column]) -> Iterator[Problem]:
    seen: set[str] = set()
    for column in columns:
        if not _plain.fullmatch(column.name):
            place = place_of(source, column.name)
            yield Problem("unaliased", place, "this expression has no name of its own", "give it one: ... AS name")
        elif column.name in seen:
            message = f'two columns are named "{column.name}"'
            yield Problem("duplicate-column", place_of(source, column.name, last=True), message, "give one an alias")
        seen.add(column.name)


def _types(source: Source, columns: Sequence[Column], promised: dict[str, str]) -> Iterator[Problem]:
    for column in columns:
        if column.type is None and column.name not in promised:
            message = f'nothing promises the type of "{column.name}"'
            hint = f"write CAST(... AS TEXT), or promise it yourself: Returns: {column.name} text?"
            doubt = column.reason.startswith(("not understood", "the engine"))
            notes = (column.reason,) if doubt else ()
            yield Problem("uncast", place_of(source, column.name), message, hint, notes)


def place_of(source: Source, name: str, *, last: bool = False) -> Place:
    """Where a result column stands in the text: its name or alias, or the text of the expression."""
    every = [one for one in around(tokens(source.body)) if one.token.name == name.lower()]
    listed = [one.token for one in every if one.depth == 0 and one.clause in ("SELECT", "RETURNING")]
    places = listed or [one.token for one in every]
    if places:
        token = places[-1 if last else 0]
        return source.at(token.start, token.end - token.start)
    start = source.body.find(name)
    return source.at(start, len(name)) if start >= 0 else _first(source)


def _first(source: Source) -> Place:
    token = verb(tokens(source.body)) or tokens(source.body)[0]
    return source.at(token.start, token.end - token.start)


def _limit_place(source: Source) -> Place:
    token = find_name(source.body, "limit")
    return source.at(token.start, token.end - token.start) if token else _first(source)
