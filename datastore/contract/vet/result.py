"""What a statement promises, gives back and takes: against its operator, its record, and as the inference sees it."""

from __future__ import annotations

import importlib
import itertools
import re
import sys
import traceback
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

import attrs
from sqlglot import exp

from datastore.contract.generate import can_be_field
from datastore.contract.inference.parse import Unsure, parse
from datastore.contract.inference.queries import Queries, changed_table
from datastore.contract.inference.results import Column, at_most_one_row, result_columns, total_order
from datastore.contract.parameters import check_parameter_types
from datastore.contract.plans import table_names
from datastore.contract.problems import Place, Problem
from datastore.contract.project import FILE, Project
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, Variant, of_file
from datastore.contract.text import Token, did_you_mean, find_phrase, tokens, verb
from datastore.errors import ProjectError
from datastore.records.rows import fields
from datastore.statements.loader import Statement

#: What a field of a type can be made of.
_MADE_OF: dict[object, frozenset[str]] = {
    str: frozenset({"text", "json", "timestamp"}),
    int: frozenset({"integer", "boolean"}),
    float: frozenset({"real", "integer"}),
    bool: frozenset({"integer", "boolean"}),
    bytes: frozenset({"blob"}),
    datetime: frozenset({"timestamp", "text"}),
    dict: frozenset({"json", "text"}),
    list: frozenset({"json", "text"}),
    tuple: frozenset({"json", "text"}),
}


def _is_record(value: object) -> bool:
    return isinstance(value, type) and (attrs.has(value) or (issubclass(value, tuple) and hasattr(value, "_fields")))


def _differs(hint: object, column: Column) -> str | None:
    if hint is typing.Any or isinstance(hint, typing.TypeVar):
        return None
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    shown = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    if column.nullable and type(None) not in parts:
        return f"is {shown}, and the column can be NULL"
    made_of: set[str] = set()
    for part in parts:
        if typing.get_origin(part) is typing.Literal:
            made_of |= {kind for value in typing.get_args(part) for kind in _MADE_OF.get(type(value), ())}
        else:
            made_of |= _MADE_OF.get(typing.get_origin(part) or part, frozenset())
    if made_of and column.type is not None and column.type not in made_of:
        return f"is {shown}, and the column is {column.type}"
    return None


def _raised_at(error: BaseException, project: Project) -> str:
    """``file:line: `` of the project's line that raised; "" where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{project.show(Path(error.filename))}:{error.lineno}: "
    lines = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(path, line) for path, line in lines if project.root in path.parents and "site-packages" not in path.parts]
    return f"{project.show(own[-1][0])}:{own[-1][1]}: " if own else ""


_at_most_one = re.compile(r"(?:0 or 1|1|0)(?![\w ]*\bto\b)\b")


def check_header(source: Source, schema: Schema) -> Iterator[Problem]:
    assert source.statement
    statement, text = source.statement, source.statement.header.rows
    names = [parameter.name for parameter in statement.header.parameters]
    is_one, place = _at_most_one.match(text), source.label_place("Rows")
    if statement.result in ("row", "value") and not is_one:
        sign = "^" if statement.result == "row" else "$"
        message = f'the operator {sign} gives one row at most, "Rows: {text}" says otherwise'
        hint = "take the operator off, or write: Rows: 0 or 1"
        yield Problem("rows", place, message, hint)
    elif statement.result == "rows" and is_one:
        message = "the header promises one row at most, and no operator says so to the caller"
        hint = f"write: -- name: {source.name}({', '.join(names)})^   (or $ for its one value)"
        yield Problem("rows", source.name_place, message, hint)
    bound = re.match(r"\d+ to ([a-z][a-z0-9]*_[a-z0-9_]*)\b(?! -)", text)
    if bound and bound[1] not in names:
        message = f'"Rows:" counts up to "{bound[1]}", which is no parameter'
        near = did_you_mean(bound[1], names)
        yield Problem("rows", source.label_place("Rows", bound[1]), message, near)
    # "Rows: 1" is an error at run time where there is none: it must be sure that there is one.
    if statement.result in ("row", "value") and statement.always_one and not gives_one(statement.sql, schema):
        message = '"Rows: 1" promises a row always, and this statement may give none'
        yield Problem("rows", place, message, "write: Rows: 0 or 1")


def gives_one(sql: str, schema: Schema) -> bool:
    """An INSERT of one row that nothing passes over, an aggregate of everything, a SELECT from nothing."""
    try:
        tree = parse(sql)
    except Unsure:
        return False
    if not isinstance(tree, exp.Insert):
        return Queries(schema).has_one_row(tree)
    rows = tree.args.get("expression")
    is_one = rows is None or (isinstance(rows, exp.Values) and len(rows.expressions) == 1)
    return is_one and not _may_pass_over(sql, schema, changed_table(tree).name)


def _may_pass_over(sql: str, schema: Schema, table: str) -> bool:
    """Whether an INSERT may store nothing without an error: OR IGNORE, DO NOTHING, DO UPDATE ... WHERE, or as the table says."""
    every = [token for token in tokens(sql) if token.depth == 0]
    words = [token.upper for token in every]
    if any(pair in (("OR", "IGNORE"), ("DO", "NOTHING")) for pair in itertools.pairwise(words)):
        return True
    if any(token.upper == "WHERE" and "SET" in words[:number] for number, token in enumerate(every)):
        return True
    made = [schema.sql.get(table, ""), *(schema.sql[one] for one, of in schema.triggers.items() if of == table)]
    return any(find_phrase(text, "CONFLICT", "IGNORE") or find_phrase(text, "RAISE", "(", "IGNORE") for text in made)


def check_max_rows(source: Source) -> Iterator[Problem]:
    """A list that nothing bounds."""
    assert source.statement
    if source.statement.result != "rows" or _at_most_one.match(source.statement.header.rows):
        return
    every = tokens(source.body)
    does = verb(every)
    if does is None or does.upper == "INSERT":
        return  # as many rows as were handed in
    # A SELECT is bounded by its own LIMIT or by that of what it reads FROM, an UPDATE or DELETE by that of the
    # subquery that chooses its rows.
    outer = "FROM" if does.upper in ("SELECT", "VALUES") else None
    limits = (token.parents for token in every if token.upper == "LIMIT")
    if not any(all(outer in (None, parent) for parent in parents) for parents in limits):
        message = "a list without LIMIT returns as many rows as there are"
        hint = "add max_rows: ... LIMIT :max_rows"
        yield Problem("max-rows", source.at_token(does), message, hint)


class Results:
    """The rules about results, on one schema."""

    def __init__(self, project: Project, schema: Schema) -> None:
        self.project = project
        self.schema = schema

    @cached_property
    def records(self) -> dict[str, type]:
        """The classes of the records module, by name."""
        name, root = self.project.records, str(self.project.root)
        sys.path.insert(0, root)
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise ProjectError(f"{_raised_at(error, self.project)}{name} cannot be imported: {error!r}") from error
        finally:
            sys.path.remove(root)
        return {key: value for key, value in vars(module).items() if _is_record(value)}

    def check(self, variant: Variant) -> Iterator[Problem]:
        if (statement := variant.source.statement) is not None:
            yield from self._columns(variant, statement)
            yield from self._rows(variant, statement)
            yield from check_parameter_types(self.schema, variant)

    def _columns(self, variant: Variant, statement: Statement) -> Iterator[Problem]:
        if statement.result == "count":
            return
        header = statement.header
        given = {one.name for one in header.parameters if not one.nullable}
        columns = result_columns(self.schema, variant.sql, not_null_parameters=given)
        yield from _names(variant.source, columns)
        yield from self._types(variant, columns, header.returns)
        if statement.result == "value" and len(columns) > 1:
            message = f"$ gives the first of {len(columns)} columns and drops the others"
            hint = "select one column, or take the operator ^"
            yield Problem("one-column", _column_place(variant.source, 1), message, hint)
        if header.record:
            yield from self._record(variant.source, header.record, columns)

    def _types(self, variant: Variant, columns: Sequence[Column], promised: Mapping[str, str]) -> Iterator[Problem]:
        loose = ""
        for place, column in enumerate(columns):
            if column.type is not None or column.name in promised:
                continue
            if column.origin and self._loose(column.origin[0]):
                continue  # a column as it is: no CAST is missing, the table is not STRICT
            loose = loose or self._loose_of(variant)
            message = f'nothing promises the type of "{column.name}"'
            hint = f"write CAST(... AS TEXT), or promise it yourself: Returns: {column.name} text?"
            doubt = column.reason.startswith(("not understood", "the engine"))
            notes = (column.reason,) if doubt else ()
            yield Problem("uncast", _column_place(variant.source, place), message, hint, notes, loose)

    def _record(self, source: Source, name: str, columns: Sequence[Column]) -> Iterator[Problem]:
        """Where a record differs from the select list that it is made of."""
        place = source.label_place("Record", name)
        try:
            records = self.records
        except ProjectError as error:
            where = re.match(r"[^:\s]+:\d+: ", str(error))
            path = self.project.root / (where[0].split(":")[0] if where else FILE)
            file = self.project.show(path)
            yield of_file(path, file, str(error) if where else f"{file}: {error}")
            return
        if name not in records:
            message = f'{self.project.records} has no record "{name}"'
            yield Problem("record", place, message, did_you_mean(name, records))
            return
        hints = dict(fields(records[name]))
        made, selected = list(hints), [column.name for column in columns]
        if selected != made:
            pairs = enumerate(itertools.zip_longest(made, selected))
            at, (is_field, is_column) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
            shown = [f'"{one}"' if one is not None else "missing" for one in (is_field, is_column)]
            message = f"{name} is not the select list: field {at + 1} is {shown[0]}, column {at + 1} is {shown[1]}"
            notes = (f"fields:  {', '.join(made)}", f"columns: {', '.join(selected)}")
            yield Problem("record", place, message, "a row becomes a record by position", notes)
            return
        for column in columns:
            if differs := _differs(hints[column.name], column):
                loose = self._loose(column.origin[0] if column.origin else "")
                yield Problem("record", place, f"{name}.{column.name} {differs}", None, (column.reason,), loose)

    def _loose_of(self, variant: Variant) -> str:
        return self._loose(*sorted(set().union(*table_names(variant.sql, self.schema).values())))

    def _loose(self, *names: str) -> str:
        """The first of some tables that is not STRICT; "" for none."""
        tables = (self.schema.table(name) for name in names)
        return next((table.name for table in tables if table and table.kind == "table" and not table.strict), "")

    def _rows(self, variant: Variant, statement: Statement) -> Iterator[Problem]:
        source = variant.source
        if statement.result != "count" and (statement.result != "rows" or statement.writes):
            is_one, why = at_most_one_row(self.schema, variant.sql)
            if is_one and statement.result == "rows":
                message = f"RETURNING gives one row at most ({why}), and no operator says so to the caller"
                hint = "write ^ after the name line's parentheses (or $ for its one value), and: Rows: 0 or 1"
                yield Problem("returning-operator", source.name_place, message, hint)
                return
            if not is_one and statement.result != "rows":
                sign = "^" if statement.result == "row" else "$"
                message = f"nothing proves that {sign} gives one row at most: {why}"
                hint = "compare every column of a unique index, or add LIMIT 1 after a total order"
                yield Problem("one-row", _verb_place(source), message, hint, (), self._loose_of(variant))
        yield from check_max_rows(source)
        limits = [token for token in tokens(source.body) if token.upper == "LIMIT"]
        for limit, query in zip(limits, _limited(variant.sql), strict=False):
            is_total, why = total_order(self.schema, query)
            # A query inside another may name what is outside it, of which nothing is known here.
            if not is_total and (query == variant.sql or not why.startswith("not understood")):
                message = f"LIMIT takes rows by chance: {why}"
                hint = "end the ORDER BY in the columns of a unique index"
                yield Problem("limit-order", source.at_token(limit), message, hint, (), self._loose_of(variant))


def _names(source: Source, columns: Sequence[Column]) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, column in enumerate(columns):
        if not can_be_field(column.name):
            message = "this expression has no name of its own"
            if re.fullmatch(r"[A-Za-z_]\w*", column.name):
                message = f'"{column.name}" cannot be the name of a field in Python'
            yield Problem("unaliased", _column_place(source, number), message, "give it one: ... AS name")
        elif column.name in seen:
            message = f'two columns are named "{column.name}"'
            yield Problem("duplicate-column", _column_place(source, number), message, "give one an alias")
        seen.add(column.name)


def _column_place(source: Source, number: int) -> Place:
    """Where the result column of a number (from 0) is in the text: its name, or the whole expression."""
    items = _select_list(source)
    if number >= len(items) or not items[number]:
        return _verb_place(source)
    item = items[number]
    start = item[-1] if item[-1].name else item[0]
    return source.at(start.start, item[-1].end - start.start)


def _select_list(source: Source) -> list[list[Token]]:
    """The tokens of each column between SELECT and FROM, or after RETURNING."""
    every = tokens(source.body)
    begins = [
        number for number, token in enumerate(every) if token.depth == 0 and token.upper in ("SELECT", "RETURNING")
    ]
    # The rows of an INSERT ... SELECT are those of RETURNING; the first SELECT of a UNION names the columns.
    returning = (number for number in begins if every[number].upper == "RETURNING")
    begin = next(returning, begins[0] if begins else len(every))
    items: list[list[Token]] = [[]]
    for token in every[begin + 1 :]:
        if token.depth == 0 and (token.upper in ("FROM", "UNION", "EXCEPT", "INTERSECT") or token.text == ";"):
            break
        if token.depth == 0 and token.text == ",":
            items.append([])
        elif not (token.depth == 0 and token.upper in ("DISTINCT", "ALL")):
            items[-1].append(token)
    return items


def _verb_place(source: Source) -> Place:
    return source.at_token(verb(tokens(source.body)) or tokens(source.body)[0])


def _limited(sql: str) -> Iterator[str]:
    """The queries in *sql* that have a LIMIT of their own, in the order of those; *sql* itself for the outermost."""
    every = tokens(sql)
    for number, token in enumerate(every):
        if token.upper == "LIMIT":
            starts = [other.end for other in every[:number] if other.depth < token.depth]
            ends = [other.start for other in every[number:] if other.depth < token.depth]
            yield sql[starts[-1] : ends[0]] if starts and ends else sql
