"""Rows become records by position: a select list has a record's fields, in the record's order."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs

from datastore.values import decode_json, decode_tags, decode_timestamp

Record = TypeVar("Record")


class RowReader(Generic[Record]):
    """Makes records of one class from the rows of a statement.

    Attributes:
        one: From one row.
        many: From every row, as a list in the rows' order.
    """

    one: Callable[[tuple[Any, ...]], Record]
    many: Callable[[Iterable[tuple[Any, ...]]], list[Record]]

    def __init__(self, record: type[Record]) -> None:
        # Written out and compiled once, as attrs does for __init__: a loop over the fields would cost more
        # than the row itself (perf/test_records.py).
        hints = typing.get_type_hints(record)
        names = [field.name for field in attrs.fields(record)]  # type: ignore[arg-type]
        target = ", ".join(f"_{name}" for name in names)
        values = ", ".join(f"{name}={_decoder(hints[name], f'_{name}')}" for name in names)
        source = (
            f"def one(row):\n    {target}, = row\n    return record({values})\n"
            f"def many(rows):\n    return [record({values}) for {target}, in rows]\n"
        )
        scope: dict[str, Any] = {
            "record": record,
            "timestamp": decode_timestamp,
            "json": decode_json,
            "tags": decode_tags,
        }
        exec(compile(source, f"<rows of {record.__name__}>", "exec"), scope)
        self.one = scope["one"]
        self.many = scope["many"]


def _decoder(hint: Any, name: str) -> str:
    if hint is datetime:
        return f"timestamp({name})"
    if hint == datetime | None:
        return f"None if {name} is None else timestamp({name})"
    if hint is Any or typing.get_origin(hint) is dict:
        return f"json({name})"
    if typing.get_origin(hint) is tuple:
        return f"tags({name})"
    if hint is float:
        # SQLite keeps 10.0 as an integer, and RETURNING shows it as one.
        return f"float({name})"
    if hint is bool:
        return f"{name} != 0"
    return name
