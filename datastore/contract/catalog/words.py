"""Words and figures that every page shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from datastore.contract.catalog.model import StatementPage, Times
from datastore.contract.inference.results import Column
from datastore.contract.touches import Touch
from datastore.statements.headers import Parameter

GIVES = {
    "rows": "a list of rows",
    "row": "one row or nothing",
    "value": "one value or nothing",
    "count": "how many rows changed",
}

#: What an action on a column is called.
DOES = {"read": "reads", "insert": "inserts", "update": "updates", "delete": "deletes rows"}


def gives(page: StatementPage) -> str:
    """What a caller gets."""
    statement = page.facts.statement
    text = GIVES[statement.result]
    return text.replace(" or nothing", "") if statement.always_one else text


def parameter_type(parameter: Parameter, optional: Sequence[str]) -> tuple[str, str, str]:
    """(type, "NULL allowed" or "", "optional" or "")."""
    return parameter.type, "or NULL" * parameter.nullable, "optional" * (parameter.name in optional)


def column_type(column: Column) -> str:
    return column.type or "any"


def micros(value: float) -> str:
    """A time of *value* microseconds, to two or three digits."""
    if value < 1000:
        return f"{value:.0f} µs" if value >= 10 else f"{value:.1f} µs"
    if value < 1_000_000:
        return f"{value / 1000:.1f} ms" if value < 100_000 else f"{value / 1000:.0f} ms"
    return f"{value / 1_000_000:.1f} s"


def size(rows: str) -> str:
    """A number of rows: "1,000,000"."""
    return f"{int(rows):,}"


def slowest(page: StatementPage, rows: str) -> float | None:
    """The p50 of its slowest choice, in microseconds; None where none was measured."""
    return max((choice.times[rows][0] for choice in page.choices if rows in choice.times), default=None)


#: What PostgreSQL runs, where it is no text of its own.
ON_SERVER = {"shared": "runs it as it is", "none": "has no such statement"}


def times_line(times: Times) -> str:
    return "; ".join(
        f"{size(rows)} rows: p50 {micros(p50)}, p95 {micros(p95)}, p99 {micros(p99)}"
        for rows, (p50, p95, p99) in times.items()
    )


@attrs.frozen
class Touched:
    """A row of "what it touches": the same columns of one table, through one or several triggers or foreign keys."""

    table: str
    #: Action to columns; none for the row as a whole.
    actions: Mapping[str, tuple[str, ...]]
    #: Empty for the statement's own words.
    through: tuple[str, ...]


def touched(touches: Iterable[Touch]) -> list[Touched]:
    """What a statement touches: its own words first, then by table what happens through others."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for touch in touches:
        columns = found.setdefault((touch.table, touch.by), {}).setdefault(touch.action, [])
        if touch.column and touch.column not in columns:
            columns.append(touch.column)
    merged: dict[tuple[str, bool, tuple[tuple[str, tuple[str, ...]], ...]], list[str]] = {}
    for (table, by), actions in found.items():
        same = tuple((action, tuple(columns)) for action, columns in actions.items())
        merged.setdefault((table, bool(by), same), []).append(by)
    rows = [Touched(table, dict(same), tuple(filter(None, by))) for (table, _, same), by in merged.items()]
    own = [row for row in rows if not row.through]
    return own + sorted((row for row in rows if row.through), key=lambda row: row.table)
