"""The class that ``Record:`` names, against the select list: names, order, NULL, types."""

from __future__ import annotations

import importlib
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import attrs

from datastore.contract.inference.results import Column
from datastore.contract.problems import Problem
from datastore.contract.project import Project
from datastore.contract.sources import Source
from datastore.contract.text import did_you_mean
from datastore.errors import ProjectError
from datastore.records.rows import fields

#: What a field of a type can be made of.
_MADE_OF: dict[Any, frozenset[str]] = {
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


class Records:
    """The record classes of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    @cached_property
    def known(self) -> dict[str, Any]:
        """The classes of the records module, by name."""
        name, root = self.project.records, str(self.project.root)
        sys.path.insert(0, root)
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ProjectError(f"the records' module {name} cannot be imported: {error}") from error
        finally:
            sys.path.remove(root)
        return {key: value for key, value in vars(module).items() if _is_record(value)}

    def check(self, source: Source, name: str, columns: Sequence[Column]) -> Iterator[Problem]:
        """Where a record differs from the select list that it is made of."""
        place = source.label_place("Record", name)
        if name not in self.known:
            message = f'{self.project.records} has no record "{name}"'
            yield Problem("record", place, message, did_you_mean(name, self.known))
            return
        hints = dict(fields(self.known[name]))
        selected = [column.name for column in columns]
        if selected != list(hints):
            at = next((i for i, pair in enumerate(zip(selected, hints, strict=False)) if pair[0] != pair[1]), None)
            at = min(len(selected), len(hints)) if at is None else at
            is_column = f'"{selected[at]}"' if at < len(selected) else "missing"
            is_field = f'"{list(hints)[at]}"' if at < len(hints) else "missing"
            message = f"{name} is not the select list: field {at + 1} is {is_field}, column {at + 1} is {is_column}"
            notes = (f"fields:  {', '.join(hints)}", f"columns: {', '.join(selected)}")
            yield Problem("record", place, message, "a row becomes a record by position", notes)
            return
        for column in columns:
            if differs := _differs(hints[column.name], column):
                yield Problem("record", place, f"{name}.{column.name} {differs}", None, (column.reason,))


def _is_record(value: Any) -> bool:
    return isinstance(value, type) and (attrs.has(value) or (issubclass(value, tuple) and hasattr(value, "_fields")))


def _differs(hint: Any, column: Column) -> str | None:
    """How a field's type does not fit its column; ``None`` if it does."""
    if hint is Any or isinstance(hint, typing.TypeVar):
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
