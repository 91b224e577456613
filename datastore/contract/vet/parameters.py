"""The types of parameters: what the header says, against what their places in the SQL ask for."""

from __future__ import annotations

from collections.abc import Iterator

from datastore.contract.inference.parse import Unsure
from datastore.contract.parameters import Expectation, parameter_expectations
from datastore.contract.problems import Problem
from datastore.contract.schema import Schema
from datastore.contract.sources import Variant
from datastore.statements.headers import Parameter

#: What a column of a type takes from a parameter of a type: the loader makes text of a timestamp and of JSON.
_TAKES = {
    "text": {"text", "timestamp", "json", "rows", "match"},
    "integer": {"integer", "boolean"},
    "boolean": {"boolean", "integer"},
    "real": {"real", "integer"},
    "timestamp": {"timestamp"},
    "json": {"json", "rows", "match", "words"},
    "blob": {"blob"},
}


def check_parameter_types(schema: Schema, variant: Variant) -> Iterator[Problem]:
    """Parameters that are of another type than what they meet, or may be NULL where NULL finds or stores nothing."""
    source = variant.source
    assert source.statement
    try:
        expected = parameter_expectations(schema, variant.sql)
    except Unsure:
        return
    for parameter in source.statement.header.parameters:
        if parameter.name in expected and (wrong := _wrong(parameter, expected[parameter.name])):
            message, hint = wrong
            line = next(
                number for number, text in enumerate(source.header) if text.startswith(f"--   {parameter.name} ")
            )
            kind = f"{parameter.type}{'?' if parameter.nullable else ''}"
            column = source.lines[line].index(kind, len(f"--   {parameter.name}")) + 1
            notes = (expected[parameter.name].why,)
            place = source.place(line, column, len(kind))
            yield Problem("parameter-type", place, message, hint, notes, statement=source.name)


def _wrong(parameter: Parameter, expected: Expectation) -> tuple[str, str] | None:
    if expected.type is not None and parameter.type not in _TAKES[expected.type]:
        return f'parameter "{parameter.name}" is {parameter.type}, and its place in the SQL is {expected.type}', (
            f"write: --   {parameter.name}  {expected.type}  {parameter.meaning}"
        )
    if parameter.nullable and expected.nullable is False:
        what = "is an error there" if expected.firm else "finds nothing there"
        hint = "take the ? away" if expected.firm else "take the ? away, or make it an optional line: -- if: "
        return (
            f'parameter "{parameter.name}" may be NULL, which {what}',
            f"{hint}{'' if expected.firm else parameter.name}",
        )
    return None
