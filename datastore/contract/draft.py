"""Headers for statements that have none yet, as the SQL, the schema and the plan have them: to copy, and to correct.

A statement that came from elsewhere is checked as if it had its drafted header, so that everything is said at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from datastore.contract.facts import with_statistics
from datastore.contract.inference.parse import Unsure
from datastore.contract.inference.results import at_most_one_row
from datastore.contract.parameters import Expectation, parameter_expectations
from datastore.contract.plans import Plan, read_plan
from datastore.contract.prepare import check_prepares
from datastore.contract.problems import Problem
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, read_alone
from datastore.contract.text import at, parameters, tokens, verb
from datastore.contract.vet.result import gives_one

_labels = re.compile(r"-- (?:Index|Rows): ")


def needs_header(source: Source) -> bool:
    return source.statement is None and not any(map(_labels.match, source.header))


def draft(source: Source, schema: Schema, plans: Sequence[Plan]) -> tuple[Source, Problem] | None:
    """The statement with a drafted header, and the problem that it has none; None where the loader refuses it still."""
    lines = _header(source, schema, plans)
    moved = source.line + len(source.header) - len(lines)
    drafted = Source(source.name.lower(), source.file, moved, [*lines, *source.lines[len(source.header) :]])
    read_alone(drafted, source.file, [])
    if drafted.statement is None:
        return None
    notes, hint = tuple(f"    {line}" for line in lines), "write these lines above its SQL, and correct them"
    message = "the statement has no header yet; from its SQL it would be:"
    return drafted, Problem("header", source.name_place, message, hint, notes)


def _header(source: Source, schema: Schema, plans: Sequence[Plan]) -> list[str]:
    names, name = list(parameters(source.body)), source.name.lower()
    sql = source.body.rstrip().removesuffix(";")
    operator = _operator(source) or "^" * at_most_one_row(schema, sql)[0]
    purpose = [line for line in source.header[1:] if re.match(r"-- \S", line)]
    about = [f"-- {name.replace('_', ' ').capitalize()}."]
    return [
        f"-- name: {name}({', '.join(names)}){operator}",
        *(purpose or about),
        *_parameters(sql, names, schema),
        f"-- Index: {_index(sql, plans)}",
        f"-- Rows: {_rows(sql, operator, schema)}",
    ]


def _operator(source: Source) -> str:
    every = tokens(source.body)
    does = verb(every)
    gives_rows = (does is not None and does.upper in ("SELECT", "VALUES")) or any(
        token.upper == "RETURNING" for token in every
    )
    given = re.search(r"[\w)]\s*([\^$])\s*$", source.lines[0])
    return (given[1] if given else "") if gives_rows else "!"


def _parameters(sql: str, names: list[str], schema: Schema) -> list[str]:
    try:
        expected = parameter_expectations(schema, sql)
    except Unsure:
        expected = {}
    lines = []
    for name in names:
        found = expected.get(name, Expectation(None, None, ""))
        kind = f"{(found.type or 'text').partition(' ')[0]}{'?' * bool(found.nullable)}"
        lines.append(f"--   {name}  {kind}  what it is")
    return lines


def _index(sql: str, plans: Sequence[Plan]) -> str:
    """What the plans use of each table; they may differ, as the sizes of the tables do."""
    used: dict[str, dict[str, None]] = {}
    for access in (access for plan in plans for access in plan.accesses):
        used.setdefault(access.table, {})[access.by or "none"] = None
    groups = [sorted(ways, key=lambda way: way == "none") for _, ways in sorted(used.items())]
    does = verb(tokens(sql))
    why = "an insert" if does is not None and does.upper == "INSERT" else "why not"
    named = ", ".join(" or ".join(ways) for ways in groups if ways != ["none"])
    return f"{named or f'none ({why})'}{'; sorts at most how many rows' * any(plan.sorts for plan in plans)}"


def _rows(sql: str, operator: str, schema: Schema) -> str:
    if operator in ("^", "$"):
        return "1" if gives_one(sql, schema) else "0 or 1"
    if operator == "!" and at_most_one_row(schema, sql)[0]:
        return "0 or 1"
    every = tokens(sql)
    limits = [at(every, number + 1) for number, token in enumerate(every) if token.upper == "LIMIT"]
    bound = limits[-1].text.lstrip(":") if limits else ""
    return f"0 to {bound}" if bound else "as many as there are"


def with_drafts(sources: list[Source], schema: Schema) -> tuple[list[Source], list[Problem]]:
    """The sources, those without a header with a drafted one; and that they have none, or do not prepare."""
    wrong = {one.name: check_prepares(one, one.body, schema) for one in sources if needs_header(one)}
    new = [source for source in sources if wrong.get(source.name, 0) is None]
    plans = {source.name: [read_plan(source.body, schema)] for source in new}
    with with_statistics(schema):
        for source in new:
            plans[source.name].append(read_plan(source.body, schema))
    found = [draft(source, schema, plans[source.name]) if source in new else None for source in sources]
    problems = [*filter(None, wrong.values()), *(one[1] for one in found if one)]
    return [one[0] if one else source for one, source in zip(found, sources, strict=True)], problems


def without_drafted(problems: list[Problem], drafted: list[Problem]) -> list[Problem]:
    """What is left to say: a statement whose whole header is drafted needs no more words about its header."""
    names = {(one.place.file, one.statement) for one in drafted}
    said = ("header", "parameters", "operator")
    return [one for one in problems if one.rule not in said or (one.place.file, one.statement) not in names]
