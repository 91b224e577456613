"""Converts rows to records by position: a select list has a record's fields in the record's order."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Generic, NoReturn, TypeVar

import attrs

from datastore.errors import CorruptDatabaseError
from datastore.records.parts import Part, decode_parts
from datastore.values import decode_json, decode_tags, decode_timestamp

Record = TypeVar("Record")


class RowReader(Generic[Record]):
    """Builds records of one class from the rows of a statement.

    The class is an attrs class or a named tuple. A field whose type is an attrs class is expanded into that class's fields.

    Attributes:
        one: Builds a record from one row.
        many: Builds a list of records, in the order of the rows.
    """

    one: Callable[[tuple[Any, ...]], Record]
    many: Callable[[Iterable[tuple[Any, ...]]], list[Record]]

    def __init__(self, record: type[Record]) -> None:
        # Generated and compiled once, as attrs does for __init__: a loop over the fields would cost more
        # than the row itself (perf/test_records.py). As in `datastore.statements.binding`, names in the generated text
        # begin with an underscore.
        scope: dict[str, Any] = {
            "_timestamp": decode_timestamp,
            "_json": decode_json,
            "_tags": decode_tags,
            "_parts": _stored_parts,
            "_float": float,
            "_damaged": _damaged(record),
        }
        columns: list[str] = []
        value = _construction(record, columns, scope)
        target = ", ".join(columns)
        source = (
            f"def _one(_row):\n    {target}, = _row\n"
            f"    try:\n        return {value}\n    except (TypeError, ValueError) as _error:\n        _damaged(_error)\n"
            f"def _many(_rows):\n"
            f"    try:\n        return [{value} for {target}, in _rows]\n"
            f"    except (TypeError, ValueError) as _error:\n        _damaged(_error)\n"
        )
        exec(compile(source, f"<rows of {record.__name__}>", "exec"), scope)
        self.one = scope["_one"]
        self.many = scope["_many"]


def _stored_parts(text: str) -> tuple[Part, ...]:
    return decode_parts(decode_json(text))


def _damaged(record: type[Any]) -> Callable[[Exception], NoReturn]:
    def raise_it(error: Exception) -> NoReturn:
        # The table's CHECK constraints prevent such values.
        raise CorruptDatabaseError(
            f"a stored value of a {record.__name__} cannot be read; the file is damaged: stop writing,"
            " run datastore verify, restore a backup"
        ) from error

    return raise_it


def fields(record: type[Any]) -> list[tuple[str, Any]]:
    """The columns of a record, in order, each with its field's type."""
    hints = _types(record)
    names = [field.name for field in attrs.fields(record)] if attrs.has(record) else record._fields
    return [
        part for name in names for part in (fields(hints[name]) if attrs.has(hints[name]) else [(name, hints[name])])
    ]


def _construction(record: type[Any], columns: list[str], scope: dict[str, Any]) -> str:
    """The expression that builds a record; appends the variables that it uses to *columns*."""
    hints = _types(record)
    name = f"_record_{len(scope)}"
    scope[name] = record
    arguments = []
    # attrs names the argument of a field _x x.
    names = {one.name: f"{one.alias}=" for one in attrs.fields(record)} if attrs.has(record) else None
    for field in names or record._fields:
        if attrs.has(hints[field]):
            value = _construction(hints[field], columns, scope)
        else:
            columns.append(f"_{len(columns)}")
            value = _decoder(hints[field], columns[-1])
        arguments.append(f"{names[field]}{value}" if names else value)
    return f"{name}({', '.join(arguments)})"


def _types(record: type[Any]) -> dict[str, Any]:
    """The types of a class's fields. Class attributes are ignored: a field named ``bytes`` does not hide the type ``bytes``."""
    return typing.get_type_hints(record, localns={})


def _decoder(hint: Any, name: str) -> str:
    if hint is datetime:
        return f"_timestamp({name})"
    if hint == datetime | None:
        return f"None if {name} is None else _timestamp({name})"
    if hint is Any or typing.get_origin(hint) is dict:
        return f"_json({name})"
    if hint == tuple[Part, ...] | None:
        return f"None if {name} is None else _parts({name})"
    if typing.get_origin(hint) is tuple:
        return f"_tags({name})"
    if hint is float:
        # SQLite stores 10.0 as an integer, and RETURNING returns it as one.
        return f"_float({name})"
    if hint == float | None:
        return f"None if {name} is None else _float({name})"
    if hint is bool:
        return f"{name} != 0"
    if hint == bool | None:
        return f"None if {name} is None else {name} != 0"
    return name
