"""Plans: EXPLAIN QUERY PLAN reduced to what counts, compared with the header's ``Index:`` line.

Reduced means SEARCH, SCAN and TEMP B-TREE lines only, spelled alike for every version of SQLite: those say which
table is read how and what is sorted. Which subquery a line belongs to changes its wording from release to release.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from datastore.contract.caseless import leading
from datastore.contract.problems import Place, Problem
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, Variant
from datastore.contract.text import Token, did_you_mean, find_phrase, tokens
from datastore.engines.sqlite import explain as sqlite_explain

_line = re.compile(r"^(?P<how>SEARCH|SCAN) (?:TABLE )?(?P<what>.*)$")
_sort = re.compile(r"^USE TEMP B-TREE FOR (?P<what>.*)$")
_constant = re.compile(r"^SCAN (?:\d+ )?CONSTANT ROW|^SCAN \d+-ROW VALUES CLAUSE")
_part = re.compile(r"^(?:RIGHT PART OF|LAST(?: \d+)? TERMS? OF) ")
_uses = re.compile(r"USING (?:COVERING )?INDEX (.*)")  # not AUTOMATIC ones
_word = re.compile(r"[A-Za-z_]\w*")
_key = re.compile(r"(?:the )?primary key of (?P<of>\w+)|(?P<table>\w+) primary key")


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
        if self.index and not self.index.startswith("sqlite_autoindex_"):
            return self.index
        return f"{self.table} primary key" if "PRIMARY KEY" in self.line or self.index else ""


@attrs.frozen
class Plan:
    """A reduced plan."""

    lines: tuple[str, ...]
    accesses: tuple[Access, ...]
    #: What is sorted: "ORDER BY", "GROUP BY", "DISTINCT", ...
    sorts: tuple[str, ...]


Uses = Callable[[Plan], bool]


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
            for table in sorted(tables):
                if schema.is_table(table):
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
        common = {every[i].name for i in range(len(every) - 2) if _is_common(every, i)}
        found.update({name: set() for name in common})  # read from memory, whatever its name
        for index, token in enumerate(every):
            if token.name not in schema.kinds or token.name in common:
                continue
            table = schema.kinds.spelled(token.name)
            found.setdefault(token.name, set()).add(table)
            if alias := _alias(every, index):
                found.setdefault(alias, set()).add(table)
            if schema.kinds[token.name] == "view" and token.name not in seen:
                seen.add(token.name)
                texts.append(schema.sql[token.name])
    return found


def _is_common(every: Sequence[Token], index: int) -> bool:
    """Whether a name begins a common table expression: ``name AS (`` or ``name (columns) AS (``."""
    before = every[index - 1] if index else None
    if before is None or not (before.upper in ("WITH", "RECURSIVE") or before.text == ","):
        return False
    rest = every[index + 1 :]
    if rest and rest[0].text == "(":
        end = next((number for number, token in enumerate(rest) if token.text == ")"), len(rest))
        rest = rest[end + 1 :]
    return len(rest) > 1 and rest[0].upper == "AS" and rest[1].text in ("(", "MATERIALIZED", "NOT")


def _alias(every: Sequence[Token], index: int) -> str:
    rest = every[index + 1 : index + 3]
    if rest and rest[0].upper == "AS":
        return rest[1].name if len(rest) > 1 else ""
    return rest[0].name if rest and rest[0].kind in ("word", "quoted") else ""


def check_plan(variant: Variant, plan: Plan, schema: Schema, under: str = "") -> Iterator[Problem]:
    """What the rules have against a plan; *under* says under which statistics it was made."""
    source = variant.source
    assert source.statement
    index = source.statement.header.index_for(variant.given)
    when = [f"where {variant.which} is given"] if variant.given else []
    notes = [f"plan: {line}" for line in plan.lines]
    notes += [f"({', '.join([*when, *([under] if under else [])])})"] if when or under else []
    for problem in (
        *_index(source, index, variant.sql, plan, schema),
        *_scans(source, plan),
        *_sorts(source, index, plan),
    ):
        yield attrs.evolve(problem, notes=tuple(notes), statement=source.name)


# --- Index: ----------------------------------------------------------------------------------------------------------


def _index(source: Source, index: str, sql: str, plan: Plan, schema: Schema) -> Iterator[Problem]:
    used = {access.by for access in plan.accesses if access.by}
    if re.match(r"none\b", index):
        searched = [access.by for access in plan.accesses if access.how == "SEARCH" and access.by]
        if searched:
            place, message = (
                source.label_place("Index", "none"),
                f"the header says none, and the plan uses {searched[0]}",
            )
            yield Problem("index", place, message, f"write: Index: {searched[0]} (...)")
        return
    groups = _named(index, schema)
    if not groups:
        place = source.label_place("Index")
        hint = did_you_mean(next(iter(_word.findall(index)), ""), [*schema.indexes, "none"])
        hint = hint or f"name the index, TABLE primary key, or: none (why); the plan uses {_list(used) or 'none'}"
        yield Problem("index", place, "the header names no index that the schema has", hint)
    for group in groups:
        yield from _group(source, group, used, sql, plan, schema)


def _group(
    source: Source, group: dict[str, Uses | None], used: set[str], sql: str, plan: Plan, schema: Schema
) -> Iterator[Problem]:
    """What is wrong with one promise: an index, or several of which the planner takes one ("a or b")."""
    for name, uses in group.items():
        if uses is None:
            place, message = source.label_place("Index", name), f'there is no index "{name}"'
            yield Problem("index", place, message, did_you_mean(name, schema.indexes))
            return
    if not any((uses and uses(plan)) or _decides_conflict(name, sql, schema) for name, uses in group.items()):
        first = next(iter(group))
        names = '" or "'.join(group)
        hint = f"the plan uses {_list(used)}" if used else "the plan uses no index"
        yield Problem("index", source.label_place("Index", first), f'the plan does not use "{names}"', hint)


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _named(text: str, schema: Schema) -> list[dict[str, Uses | None]]:
    """What an ``Index:`` line names, with a test of a plan; ``None`` for what is no index of the schema.

    Of names with "or" between them, one is enough.
    """
    outside = re.sub(r"\([^)]*\)", "", text)
    groups: list[dict[str, Uses | None]] = []
    end = 0
    for found in re.finditer(f"{_key.pattern}|{_word.pattern}", outside):
        table = found["of"] or found["table"]
        name = table or found[0]
        if table:
            uses = _uses_key(schema.kinds.spelled(table)) if schema.is_table(table) else None
        elif name in schema.indexes:
            uses = _uses_index(schema.indexes.spelled(name))
        elif schema.is_virtual(name):
            uses = _uses_virtual(schema.kinds.spelled(name))
        elif re.search(r"_(idx|key|pkey|index)$|^sqlite_autoindex", name):
            uses = None
        else:
            continue
        if not (groups and outside[end : found.start()].strip() == "or"):
            groups.append({})
        groups[-1][name] = uses
        end = found.end()
    return groups


def _uses_index(name: str) -> Uses:
    return lambda plan: any(access.index == name for access in plan.accesses)


def _uses_virtual(name: str) -> Uses:
    return lambda plan: any(access.table == name for access in plan.accesses)


def _uses_key(table: str) -> Uses:
    def uses(plan: Plan) -> bool:
        # A table that is read as a whole, in its own order, is read by its primary key too.
        return any(
            access.table == table and (not access.index or access.index.startswith("sqlite_autoindex_"))
            for access in plan.accesses
        )

    return uses


def _decides_conflict(name: str, sql: str, schema: Schema) -> bool:
    """Whether an upsert's ON CONFLICT (columns) is decided by this index, which is in no plan."""
    conflict = find_phrase(sql, "ON", "CONFLICT", "(")
    if conflict is None:
        return False
    columns = []
    for token in tokens(sql[conflict.end :]):
        if token.text == ")":
            break
        columns.append(token.name)
    index = schema.indexes.get(name)
    return index is not None and index.unique and {*filter(None, columns)} == {*index.columns}


# --- scans and sorts -------------------------------------------------------------------------------------------------


def _scans(source: Source, plan: Plan) -> Iterator[Problem]:
    for access in plan.accesses:
        if "AUTOMATIC" in access.line:
            message = f"the plan builds an index of {access.table} for itself, on each call"
            yield Problem("automatic-index", _table_place(source, access), message, "create it in a migration")
        if access.how != "SCAN" or "VIRTUAL TABLE" in access.line:
            continue
        by = f' (by the index "{access.index}")' if access.index else ""
        message = f"the plan reads the whole of {access.table}{by}"
        hint = "filter by an index, or say why it may: -- Allow: full-scan, ..."
        yield Problem("full-scan", _table_place(source, access), message, hint, subject=access.table)


def _table_place(source: Source, access: Access) -> Place:
    every = tokens(source.body)
    for number, token in enumerate(every):
        names = {token.name, _alias(every, number)}
        before = every[number - 1].upper if number else ""
        if (
            token.name == access.table.lower()
            and access.shown.lower() in names
            and before in ("FROM", "JOIN", "UPDATE", "INTO", "")
        ):
            return source.at(token.start, token.end - token.start)
    return source.label_place("Index")


def _sorts(source: Source, index: str, plan: Plan) -> Iterator[Problem]:
    said = re.search(r"(?<!no )\bsorts?\b", re.sub(r"\bno sort\b", "", index))
    denied = "no sort" in index
    if plan.sorts and (denied or not said):
        what = plan.sorts[0]
        token = find_phrase(source.body, *what.split()) or find_phrase(source.body, what.split()[0])
        if denied:
            place, message = (
                source.label_place("Index", "no sort"),
                f"the header says no sort, and the plan sorts for {what}",
            )
        else:
            place = source.at(token.start, token.end - token.start) if token else source.label_place("Index")
            message = f"the plan sorts for {what}, and the header does not say so"
        hint = "an index that ends in the order sorts nothing; or say how much is sorted: Index: ...; sorts at most ..."
        yield Problem("sort", place, message, hint)
    elif said and not plan.sorts:
        place = source.label_place("Index", said[0])
        yield Problem("sort", place, "the header says that it sorts, and the plan does not", "take it out")
