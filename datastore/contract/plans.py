"""Plans: EXPLAIN QUERY PLAN reduced to what counts, compared with the header's ``Index:`` line and the accepted plans.

Reduced means SEARCH, SCAN and TEMP B-TREE lines only, spelled alike for every version of SQLite: those say which
table is read how and what is sorted. Which subquery a line belongs to changes its wording from release to release.
The plans that were last accepted are in a file for each version of the engine, so that a change is a diff in review.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, Variant
from datastore.contract.text import Token, at, did_you_mean, find_phrase, leading, listed, tokens
from datastore.engines.sqlite import explain as sqlite_explain

_line = re.compile(r"^(?P<how>SEARCH|SCAN) (?:TABLE )?(?P<what>.*)$")
_sort = re.compile(r"^USE TEMP B-TREE FOR (?P<what>.*)$")
_constant = re.compile(r"^SCAN (?:\d+ )?CONSTANT ROW|^SCAN \d+-ROW VALUES CLAUSE")
_part = re.compile(r"^(?:RIGHT PART OF|LAST(?: \d+)? TERMS? OF) ")
_uses = re.compile(r"USING (?:COVERING )?INDEX (.*)")  # not AUTOMATIC ones
_promised = re.compile(r"(?:the )?primary key of (?P<of>\w+)|(?P<table>\w+) primary key|[A-Za-z_]\w*")
_AUTOMATIC = "sqlite_autoindex_"
_CONFLICT = ["ON", "CONFLICT", "("]


@attrs.frozen
class Access:
    """One line of a reduced plan that reads a table."""

    #: "SEARCH" or "SCAN".
    how: str
    #: The table that the line's name or alias stands for.
    table: str
    #: The name in the text: the alias, where there is one.
    shown: str
    #: The index's name, "" for none.
    index: str
    #: The whole line.
    line: str

    @property
    def by(self) -> str:
        """What a header would call the way: the index, or "TABLE primary key"; "" for none that the schema has."""
        if self.index and not self.index.startswith(_AUTOMATIC):
            return self.index
        return f"{self.table} primary key" if "PRIMARY KEY" in self.line or self.index else ""


@attrs.frozen
class Plan:
    """A reduced plan."""

    lines: tuple[str, ...]
    accesses: tuple[Access, ...]
    #: What is sorted: "ORDER BY", "GROUP BY", "DISTINCT", ...
    sorts: tuple[str, ...]


#: A test of the line of a plan: whether it reads what a header names. None: the schema has no such index.
_Uses = Callable[[Access], bool] | None


def read_plan(sql: str, schema: Schema) -> Plan:
    """The reduced plan of one statement, as the planner makes it now."""
    lines, accesses, sorts = [], [], []
    aliases = table_names(sql, schema)
    for text in sqlite_explain.query_plan(schema.connection, sql):
        if found := _sort.match(text):
            sorts.append(_part.sub("", found["what"]))
            lines.append(f"TEMP B-TREE FOR {sorts[-1]}")
        elif (found := _line.match(text)) and not _constant.match(text):
            shown, rest = _shown(found["what"], aliases)
            lines.append(f"{found['how']} {shown}{rest}")
            used = _uses.search(rest)
            index = leading(used[1], schema.indexes) if used else ""
            tables = aliases.get(shown.lower(), {shown})
            if index in schema.indexes:  # an alias may stand for two tables, in two subqueries
                tables = {schema.indexes[index].table}
            for table in sorted(filter(schema.is_table, tables)):
                accesses.append(Access(found["how"], table, shown, index, lines[-1]))
    return Plan(tuple(lines), tuple(accesses), tuple(sorts))


def _shown(what: str, aliases: Iterable[str]) -> tuple[str, str]:
    """The name (the alias, where there is one) that a line begins with, and what follows it."""
    name = leading(what, aliases)
    rest = what[len(name) :]
    if rest.startswith(" AS "):  # until SQLite 3.35
        alias = leading(rest[4:], aliases)
        return alias, rest[4 + len(alias) :]
    return what[: len(name)], rest


def table_names(sql: str, schema: Schema) -> dict[str, set[str]]:
    """What each alias and table name of a statement stands for; a view stands for the tables in it too."""
    if sql not in schema.table_names:
        schema.table_names[sql] = _table_names(sql, schema)
    return schema.table_names[sql]


def _table_names(sql: str, schema: Schema) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    texts, seen = [sql], set()
    while texts:
        every = tokens(texts.pop())
        common = {token.name for index, token in enumerate(every) if _is_common(every, index)}
        found.update({name: set() for name in common})  # read from memory, whatever its name
        for index, token in enumerate(every):
            if token.name not in schema.kinds or token.name in common:
                continue
            table = schema.kinds.spelled(token.name)
            for name in filter(None, (token.name, _alias(every, index))):
                found.setdefault(name, set()).add(table)
            if schema.kinds[token.name] == "view" and token.name not in seen:
                seen.add(token.name)
                texts.append(schema.sql[token.name])
    return found


def _is_common(every: Sequence[Token], index: int) -> bool:
    """Whether a name begins a common table expression: ``name AS (`` or ``name (columns) AS (``."""
    before = at(every, index - 1)
    if before.upper not in ("WITH", "RECURSIVE") and before.text != ",":
        return False
    index += 1
    if at(every, index).text == "(":
        index = next((end for end in range(index, len(every)) if every[end].text == ")"), len(every)) + 1
    after = at(every, index + 1)
    return at(every, index).upper == "AS" and (after.text == "(" or after.upper in ("MATERIALIZED", "NOT"))


def _alias(every: Sequence[Token], index: int) -> str:
    after = at(every, index + 1)
    return at(every, index + 2).name if after.upper == "AS" else after.name


def check_plans(
    variants: Sequence[Variant], made: Mapping[str, Mapping[str, Plan]], schema: Schema
) -> Iterator[Problem]:
    """What the rules have against plans, by variant; *made* has them by the statistics under which they were made.

    A line of the header may be that of many plans: that it sorts is true where one of them does.
    """
    every = [(variant, under, plans[variant.name]) for under, plans in made.items() for variant in variants]
    sorting = {(one.source.name, _promise_of(one)) for one, _, plan in every if plan.sorts}
    for variant, under, plan in every:
        yield from _check_plan(variant, plan, schema, under, (variant.source.name, _promise_of(variant)) in sorting)


def _promise_of(variant: Variant) -> str:
    """What the header says of a variant's plan."""
    assert variant.source.statement
    return variant.source.statement.header.index_for(variant.given)


def _check_plan(variant: Variant, plan: Plan, schema: Schema, under: str, sorts: bool) -> Iterator[Problem]:
    source, index = variant.source, _promise_of(variant)
    when = [f"where {variant.which} is given"] * bool(variant.given) + [under] * bool(under)
    notes = [f"plan: {line}" for line in plan.lines] + [f"({', '.join(when)})"] * bool(when)
    of_index, of_sorts = _index(source, index, variant.sql, plan, schema), _sorts(source, index, plan, sorts)
    problems = (*of_index, *_scans(source, variant.sql, plan, schema), *of_sorts)
    for problem in problems:
        yield attrs.evolve(problem, notes=tuple(notes))


def _index(source: Source, index: str, sql: str, plan: Plan, schema: Schema) -> Iterator[Problem]:
    used = ", ".join(sorted({access.by for access in plan.accesses if access.by}))
    if re.match(r"none\b(?!.*\bor\b)", re.sub(r"\([^)]*\)", "", index)):
        searched = [access.by for access in plan.accesses if access.how == "SEARCH" and access.by]
        if searched:
            message = f"the header says none, and the plan uses {searched[0]}"
            yield Problem("index", source.label_place("Index", "none"), message, f"write: Index: {searched[0]} (...)")
        return
    groups = _named(index, schema)
    if not groups:
        near = did_you_mean(next(iter(re.findall(r"[A-Za-z_]\w*", index)), ""), [*schema.indexes, "none"])
        hint = near or f"name the index, TABLE primary key, or: none (why); the plan uses {used or 'none'}"
        yield Problem("index", source.label_place("Index"), "the header names no index that the schema has", hint)
    for group in groups:
        unknown = next((name for name, uses in group.items() if uses is None), None)
        if unknown is not None:
            message, near = f'there is no index "{unknown}"', did_you_mean(unknown, schema.indexes)
            yield Problem("index", source.label_place("Index", unknown), message, near)
        elif not any(_is_used(name, uses, sql, plan, schema) for name, uses in group.items()):
            names, hint = '" or "'.join(group), f"the plan uses {used or 'no index'}"
            place = source.label_place("Index", next(iter(group)))
            yield Problem("index", place, f'the plan does not use "{names}"', hint)


def _named(text: str, schema: Schema) -> list[dict[str, _Uses]]:
    """The promises of an ``Index:`` line: an index, or several of which the planner takes one ("a or b")."""
    outside = re.sub(r"\([^)]*\)", "", text)
    groups: list[dict[str, _Uses]] = []
    end = 0
    for found in _promised.finditer(outside):
        table = found["of"] or found["table"]
        name = table or found[0]
        uses: _Uses = None
        if table and schema.is_table(table):
            uses = _uses_key(schema.kinds.spelled(table))
        elif name in schema.indexes and not table:
            uses = _uses_name(schema.indexes.spelled(name))
        elif schema.is_virtual(name) and not table:
            uses = _uses_name(schema.kinds.spelled(name))
        elif name == "none" and not table:
            uses = _uses_none
        elif not table and not re.search(rf"_(idx|key|pkey|index)$|^{_AUTOMATIC[:-1]}", name):
            continue
        if not (groups and outside[end : found.start()].strip() == "or"):
            groups.append({})
        groups[-1][name] = uses
        end = found.end()
    return groups


def _uses_none(access: Access) -> bool:
    return not access.by


def _uses_name(name: str) -> _Uses:
    return lambda access: name in (access.index, access.table)


def _uses_key(table: str) -> _Uses:
    # A table that is read as a whole, in its own order, is read by its primary key too.
    return lambda access: access.table == table and (not access.index or access.index.startswith(_AUTOMATIC))


def _is_used(name: str, uses: _Uses, sql: str, plan: Plan, schema: Schema) -> bool:
    """Whether a plan uses an index, or an upsert's ON CONFLICT (columns) is decided by it, which is in no plan."""
    if uses is not None and (any(map(uses, plan.accesses)) or (uses is _uses_none and not plan.accesses)):
        return True
    index, every = schema.indexes.get(name), tokens(sql)
    if index is None or not index.unique:
        return False
    conflicts = (n for n in range(len(every)) if [one.upper or one.text for one in every[n : n + 3]] == _CONFLICT)
    return any({*listed(every, n + 3)} == {*index.columns} for n in conflicts)


def _scans(source: Source, sql: str, plan: Plan, schema: Schema) -> Iterator[Problem]:
    for access in plan.accesses:
        if "AUTOMATIC" in access.line and (hint := _missing_index(sql, access, schema)):
            message = f"the plan builds an index of {access.table} for itself, on each call"
            yield Problem("automatic-index", _table_place(source, access), message, hint)
        if access.how == "SCAN" and "VIRTUAL TABLE" not in access.line:
            by = f' (by the index "{access.index}")' if access.index else ""
            message = f"the plan reads the whole of {access.table}{by}"
            hint = "filter by an index, or say why it may: -- Allow: full-scan, ..."
            yield Problem("full-scan", _table_place(source, access), message, hint, subject=access.table)


def _missing_index(sql: str, access: Access, schema: Schema) -> str:
    """What to do about an automatic index; "" where one that exists would do, and sizes alone made the choice."""
    columns = {name.lower() for name in re.findall(r"(\w+)=\?", access.line)}
    theirs = [one for one in schema.indexes.values() if one.table == access.table and not one.partial]
    leading = [one.name for one in theirs if one.columns and (one.columns[0] or "").lower() in columns]
    if not leading:
        return f"create it in a migration: it would lead with {', '.join(sorted(columns))}"
    with sqlite_explain.without_automatic_indexes(schema.connection):
        others = read_plan(sql, schema).accesses
    if any(one.index in leading and one.how == "SEARCH" and one.shown == access.shown for one in others):
        return ""
    return f"{leading[0]} is not used: the other side has another type or collation; CAST it, or make them alike"


def _table_place(source: Source, access: Access) -> Place:
    every = tokens(source.body)
    for number, token in enumerate(every):
        is_named = token.name == access.table.lower() and access.shown.lower() in (token.name, _alias(every, number))
        if is_named and at(every, number - 1).upper in ("FROM", "JOIN", "UPDATE", "INTO", ""):
            return source.at_token(token)
    return source.label_place("Index")


def _sorts(source: Source, index: str, plan: Plan, sorts: bool) -> Iterator[Problem]:
    denied = "no sort" in index
    said = re.search(r"(?<!no )\bsorts?\b", re.sub(r"\bno sort\b", "", index))
    if plan.sorts and (denied or not said):
        what = plan.sorts[0]
        token = find_phrase(source.body, *what.split()) or find_phrase(source.body, what.split()[0])
        place = source.at_token(token) if token else source.label_place("Index")
        message = f"the plan sorts for {what}, and the header does not say so"
        if denied:
            place = source.label_place("Index", "no sort")
            message = f"the header says no sort, and the plan sorts for {what}"
        hint = "an index that ends in the order sorts nothing; or say how much is sorted: Index: ...; sorts at most ..."
        yield Problem("sort", place, message, hint)
    elif said and not sorts:
        place = source.label_place("Index", said[0])
        yield Problem("sort", place, "the header says that it sorts, and the plan does not", "take it out")


_NOTE = "# The plan of each statement, reduced. Written by `datastore check --update`; a change belongs into review.\n"


_NO_LINES = ("(none)",)


def snapshot_file(project: Project) -> Path:
    """The file for this version of the engine."""
    return project.root / project.plans / f"{project.engine}-{sqlite3.sqlite_version}.txt"


def write_snapshot(path: Path, plans: Mapping[str, Sequence[str]]) -> list[Path]:
    """Write the lines of the plans; the path if that changed anything."""
    blocks = (
        "".join([f"\n{name}\n", *(f"    {line}\n" for line in plans[name] or _NO_LINES)]) for name in sorted(plans)
    )
    text = _NOTE + "".join(blocks)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return [path]


def check_snapshot(
    path: Path, shown: str, plans: Mapping[str, Sequence[str]], sources: Mapping[str, Source]
) -> Iterator[Problem]:
    """The plans that are not those of the file.

    Args:
        path: The file.
        shown: How messages name it.
        plans: Of each statement (and each variant of one, ``name [if: x]``), its lines.
        sources: The statement that each of them is of.
    """
    blocks = re.findall(r"^([^\s#].*)\n((?:    .*\n)*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    before = {name: tuple(line[4:] for line in lines.splitlines()) for name, lines in blocks}
    hint = f"if the new one is meant: datastore check --update   (it writes {shown})"
    for name, lines in plans.items():
        if before.get(name) != (tuple(lines) or _NO_LINES):
            message = f"the plan is not the one in {shown}"
            message = message if name in before else f"{shown} has no plan of this statement yet"
            was = (f"was: {line}" for line in before.get(name, ()) if line != _NO_LINES[0])
            yield Problem(
                "plan", sources[name].name_place, message, hint, (*was, *(f"now: {line}" for line in lines)), name
            )
