"""What a statement gives back and takes, as the inference sees it: types, names, how many rows, in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import attrs

from datastore.contract.clauses import around, verb
from datastore.contract.inference.results import Column, at_most_one_row, result_columns, total_order
from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, Variant
from datastore.contract.text import Token, tokens
from datastore.contract.typed_modules import can_be_field
from datastore.contract.vet.header import check_max_rows
from datastore.contract.vet.parameters import check_parameter_types
from datastore.contract.vet.records import Records
from datastore.statements.loader import Statement

_plain = re.compile(r"[A-Za-z_]\w*")


class Results:
    """The rules about results, on one schema."""

    def __init__(self, project: Project, schema: Schema) -> None:
        self.schema = schema
        self.records = Records(project)

    def check(self, variant: Variant) -> list[Problem]:
        """The problems of one statement, with some of its optional lines."""
        source = variant.source
        if source.statement is None:
            return []
        found = [
            *self._columns(variant, source.statement),
            *self._rows(variant, source.statement),
            *check_parameter_types(self.schema, variant),
        ]
        return [attrs.evolve(problem, statement=source.name) for problem in found]

    def _columns(self, variant: Variant, statement: Statement) -> Iterator[Problem]:
        if statement.result == "count":
            return
        header = statement.header
        given = {one.name for one in header.parameters if not one.nullable}
        columns = result_columns(self.schema, variant.sql, not_null_parameters=given)
        yield from _names(variant.source, columns)
        yield from _types(variant.source, columns, header.returns)
        if statement.result == "value" and len(columns) > 1:
            place = place_of(variant.source, 1)
            message = f"$ gives the first of {len(columns)} columns and drops the others"
            yield Problem("one-column", place, message, "select one column, or take the operator ^")
        if header.record:
            yield from self.records.check(variant.source, header.record, columns)

    def _rows(self, variant: Variant, statement: Statement) -> Iterator[Problem]:
        source = variant.source
        if statement.result != "count" and (statement.result != "rows" or statement.writes):
            is_one, why = at_most_one_row(self.schema, variant.sql)
            if is_one and statement.result == "rows":
                message = f"RETURNING gives one row at most ({why}), and no operator says so to the caller"
                hint = "write ^ after the name line's parentheses (or $ for its one value), and: Rows: 0 or 1"
                yield Problem("returning-operator", source.name_place, message, hint)
                return
            elif not is_one and statement.result != "rows":
                sign = "^" if statement.result == "row" else "$"
                message = f"nothing proves that {sign} gives one row at most: {why}"
                hint = "compare every column of a unique index, or add LIMIT 1 after a total order"
                yield Problem("one-row", _first(source), message, hint)
        yield from check_max_rows(source)
        for number, query in enumerate(_limited(variant.sql)):
            is_total, why = total_order(self.schema, query)
            # A query inside another may name what is outside it, of which nothing is known here.
            if not is_total and (query == variant.sql or not why.startswith("not understood")):
                message = f"LIMIT takes rows by chance: {why}"
                hint = "end the ORDER BY in the columns of a unique index"
                yield Problem("limit-order", _limit_place(source, number), message, hint)


def _names(source: Source, columns: Sequence[Column]) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, column in enumerate(columns):
        if not can_be_field(column.name):
            message = "this expression has no name of its own"
            if _plain.fullmatch(column.name):
                message = f'"{column.name}" cannot be the name of a field in Python'
            yield Problem("unaliased", place_of(source, number), message, "give it one: ... AS name")
        elif column.name in seen:
            message = f'two columns are named "{column.name}"'
            yield Problem("duplicate-column", place_of(source, number), message, "give one an alias")
        seen.add(column.name)


def _types(source: Source, columns: Sequence[Column], promised: Mapping[str, str]) -> Iterator[Problem]:
    for number, column in enumerate(columns):
        if column.type is None and column.name not in promised:
            message = f'nothing promises the type of "{column.name}"'
            hint = f"write CAST(... AS TEXT), or promise it yourself: Returns: {column.name} text?"
            doubt = column.reason.startswith(("not understood", "the engine"))
            notes = (column.reason,) if doubt else ()
            yield Problem("uncast", place_of(source, number), message, hint, notes)


def place_of(source: Source, number: int) -> Place:
    """Where the result column of a number (from 0) is in the text: its name, or the whole expression."""
    items = _select_list(source)
    if number >= len(items) or not items[number]:
        return _first(source)
    item = items[number]
    start = item[-1] if item[-1].name else item[0]
    return source.at(start.start, item[-1].end - start.start)


def _select_list(source: Source) -> list[list[Token]]:
    """The tokens of each column between SELECT and FROM, or after RETURNING."""
    every = around(tokens(source.body))
    begins = [one for one in every if one.depth == 0 and one.token.upper in ("SELECT", "RETURNING")]
    # The rows of an INSERT ... SELECT are those of RETURNING; the first SELECT of a UNION names the columns.
    begin = next((one for one in begins if one.token.upper == "RETURNING"), begins[0] if begins else None)
    items: list[list[Token]] = [[]]
    for one in every[begin.index + 1 :] if begin else ():
        token = one.token
        if one.depth == 0 and (token.upper in ("FROM", "UNION", "EXCEPT", "INTERSECT") or token.text == ";"):
            break
        if one.depth == 0 and token.text == ",":
            items.append([])
        elif not (one.depth == 0 and token.upper in ("DISTINCT", "ALL")):
            items[-1].append(token)
    return items


def _first(source: Source) -> Place:
    token = verb(tokens(source.body)) or tokens(source.body)[0]
    return source.at(token.start, token.end - token.start)


def _limited(sql: str) -> Iterator[str]:
    """The queries in *sql* that have a LIMIT of their own, in the order of those; *sql* itself for the outermost."""
    opened: list[Token] = []
    waiting: list[tuple[int, Token]] = []
    found: dict[int, str] = {}
    count = 0
    for token in tokens(sql):
        if token.text == "(":
            opened.append(token)
        elif token.text == ")" and opened:
            start = opened.pop()
            for number, inside in [one for one in waiting if one[1] is start]:
                found[number] = sql[start.end : token.start]
                waiting.remove((number, inside))
        elif token.upper == "LIMIT":
            if opened:
                waiting.append((count, opened[-1]))
            else:
                found[count] = sql
            count += 1
    yield from (found[number] for number in sorted(found))


def _limit_place(source: Source, number: int) -> Place:
    places = [token for token in tokens(source.body) if token.upper == "LIMIT"]
    token = places[min(number, len(places) - 1)]
    return source.at(token.start, token.end - token.start)
