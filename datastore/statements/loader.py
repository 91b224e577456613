"""Reads the .sql files through aiosql and checks what aiosql does not.

aiosql parses the files; this module reads them one by one and checks each statement's contract header;
`datastore.statements.binding` compiles each statement into a function of exactly its parameters:

- a name that is defined twice, in one file or in two, is an error (aiosql: in a folder the last one wins);
- a call returns its rows as a list (aiosql: as a lazy generator);
- ``^`` and ``$`` refuse a second row (aiosql: drops it), and a missing row if one is promised;
- an unknown or missing argument is a TypeError from Python itself (aiosql: ignores it);
- ``<!``, ``*!`` and ``#`` are refused: lastrowid hides RETURNING, and scripts commit the open transaction;
- a statement without an operator must be a SELECT or have RETURNING, and all rows are read;
- names of statements, parameters and files are lower-case and not keywords (aiosql: any; ``-`` becomes ``_``);
- a comment after SQL on the same line is refused (aiosql: may lose or invent parameters), except
  ``-- if: parameter``, which marks an optional line.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from inspect import Signature
from pathlib import Path

import attrs
from aiosql.query_loader import QueryLoader
from aiosql.types import QueryDatum, SQLOperationType
from aiosql.utils import SQLLoadException, SQLParseException

from datastore.errors import StatementError
from datastore.statements import optional
from datastore.statements.headers import Header, check_name, parse_header

#: The kind of result, by operator.
_RESULTS = {
    SQLOperationType.SELECT: "rows",
    SQLOperationType.SELECT_ONE: "row",
    SQLOperationType.SELECT_VALUE: "value",
    SQLOperationType.INSERT_UPDATE_DELETE: "count",
}

_read = re.compile(r"^\s*(SELECT|VALUES)\b", re.IGNORECASE)
_with = re.compile(r"^\s*WITH\b", re.IGNORECASE)
_change = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE(?!\s*\())\b", re.IGNORECASE)
_gives_rows = re.compile(r"\b(SELECT|VALUES|RETURNING)\b", re.IGNORECASE)
#: Where aiosql sees a statement begin.
_query = re.compile(r"--\s*name\s*:\s*")
_quoted = re.compile(optional.QUOTED, re.DOTALL)
_merge_mark = re.compile(r"(?m)^(?:<{7}|={7}|>{7}|\|{7})(?= |$)")
_name_line = re.compile(r"--\s*name\s*:\s*(?P<name>[^\s(^$!*<#]*)[^(]*(?:\((?P<parameters>[^)]*)\))?")


_name_op = re.compile(r"--\s*name\s*:\s*\w+\s*\(\s*(?:\w+\s*(?:,\s*\w+\s*)*)?\)\s*(?:\^|\$|!|<!|\*!|#)?\s*")


@attrs.frozen(kw_only=True, eq=False)
class Statement:
    """One named statement: its SQL and its contract."""

    name: str
    #: The .sql file, relative to sql/: "messages.sql" or "sqlite/messages.sql".
    file: str
    #: The line number of its ``name:`` comment, counted from 1.
    line: int
    #: The line number where its SQL begins.
    sql_line: int
    #: Its SQL as written in the file, without the semicolon.
    source: str = attrs.field(repr=False)
    #: Its SQL with every optional line, without the markers.
    sql: str
    #: The optional parameters, in order of declaration; None: the filter is not applied.
    optional: tuple[str, ...]
    #: The same, those together that are given together: the choices of a call.
    choices: tuple[tuple[str, ...], ...]
    #: Its SQL for each combination of choices: bit n of the index says whether ``choices[n]`` is given.
    texts: tuple[str, ...] = attrs.field(repr=False)
    header: Header
    #: "rows", "row", "value" or "count".
    result: str
    #: Whether it changes the database (and therefore needs the write lock).
    writes: bool

    @property
    def always_one(self) -> bool:
        """Whether exactly one row is promised, rather than at most one."""
        return re.match(r"1\b", self.header.rows) is not None

    def variants(self) -> Iterator[tuple[frozenset[str], str]]:
        """Each set of given optional parameters with the SQL that it runs; the empty set first."""
        for bits, text in enumerate(self.texts):
            yield optional.given_names(self.choices, bits), text


class _Adapter:
    """The adapter that aiosql needs in order to parse: it returns every text unchanged."""

    def process_sql(self, query_name: str, op_type: SQLOperationType, sql: str) -> str:
        return sql


class _Loader(QueryLoader):
    """aiosql's parser without its signatures, which would contain a parameter named ``self`` twice."""

    def load_query_data_from_sql(
        self, sql: str, ns_parts: list[str], fname: Path | str = "<unknown>"
    ) -> list[QueryDatum]:
        if "/*" in sql:
            return super().load_query_data_from_sql(sql, ns_parts, fname)
        # The same without the search for such comments, which takes most of aiosql's time.
        before, *queries = _query.split(sql)
        line, data = 1 + before.count("\n"), []
        for query in queries:
            data.append(self._make_query_datum(query, ns_parts, (fname, line)))
            line += query.count("\n")
        return data

    def _build_signature(self, sql: str, qname: str, sig: list[str] | None) -> Signature:
        used = optional.variables(sql)
        if wrong := used ^ set(sig or ()):
            how = "used, but not declared" if wrong & used else "declared, but not used"
            raise SQLParseException(f"statement {qname}: parameter {min(wrong & used or wrong)!r} is {how}")
        return Signature()


def read_statements(folder: Path, engine: str) -> dict[str, Statement]:
    """Read the statements of ``folder/*.sql`` and ``folder/engine/*.sql``, by name.

    Raises:
        StatementError: A file breaks a rule; the message names the statement and the file.
    """
    statements: dict[str, Statement] = {}
    for path in [*sorted(folder.glob("*.sql")), *sorted((folder / engine).glob("*.sql"))]:
        for statement in read_file(path, path.relative_to(folder).as_posix()):
            if before := statements.get(statement.name):
                raise StatementError(
                    f"{statement.file}:{statement.line}: statement {statement.name} is already defined in"
                    f" {before.file}:{before.line}"
                )
            statements[statement.name] = statement
    if not statements:
        raise StatementError(f"no statements in {folder}")
    return statements


def read_texts(path: Path, file: str) -> dict[str, str]:
    """Read the SQL of one file's statements by name, for callers that run it themselves; *file* is its name in messages."""
    return {statement.name: statement.sql for statement in read_file(path, file)}


def read_file(path: Path, file: str) -> Iterable[Statement]:
    """Read the statements of one file; *file* is its name in messages."""
    check_name(path.stem, "file name", file)
    text = read_sql(path, file)
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines, 1) if _check_names(line, f"{file}:{number}")]
    for number, line in enumerate(lines[: starts[0] - 1 if starts else len(lines)], 1):
        if line.strip() and not line.lstrip().startswith("--"):
            raise StatementError(f"{file}:{number}: SQL without a name; write '-- name: verb_noun()' above it")
    for start, end in itertools.pairwise([*starts, len(lines) + 1]):
        if not any(line.strip(" \t;") and not line.lstrip().startswith("--") for line in lines[start : end - 1]):
            name = lines[start - 1].partition(":")[2].split("(")[0].strip()
            raise StatementError(f"{file}:{start}: statement {name}: there is no SQL below its header")
    loader = _Loader(_Adapter(), None, attribute=None)  # type: ignore[arg-type]  # only parses
    try:
        data = loader.load_query_data_from_sql(optional.without_markers(text), [], path)
    except (SQLParseException, SQLLoadException) as error:
        raise StatementError(f"{file}: {error}") from error
    if len(data) != len(starts):
        raise StatementError(f"{file}: '-- name:' is not at the start of a line, or is inside other text")
    for datum, start, end in zip(data, starts, [*starts[1:], len(lines) + 1], strict=False):
        yield _make(datum, file, start, lines[start : end - 1])


def read_sql(path: Path, file: str) -> str:
    """Read the text of a .sql file; *file* is its name in messages. A byte order mark is dropped.

    Raises:
        StatementError: It is not UTF-8, or a merge was left half done.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise StatementError(f"{file}:{line}: the file is not UTF-8; save it as UTF-8") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if found := _merge_mark.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise StatementError(f"{file}:{line}: there is a merge mark ({found[0]}); finish the merge")
    return text


def _check_names(line: str, where: str) -> bool:
    """Whether *line* is a statement's ``name:`` line; if so, check its names."""
    found = _name_line.match(line)
    if found:
        check_name(found["name"], "statement", where)
        if not _name_op.fullmatch(line):
            raise StatementError(
                f"{where}: statement {found['name']}: the name line is not understood; write"
                f" '-- name: {found['name']}(parameter, ...)' and one of the operators ^, $ and !, or none"
            )
        for name in filter(None, map(str.strip, (found["parameters"] or "").split(","))):
            check_name(name, "parameter", f"{where}: statement {found['name']}")
    return found is not None


def _make(datum: QueryDatum, file: str, line: int, lines: list[str]) -> Statement:
    """Build a statement from the lines between its ``name:`` line and the next one."""
    where = f"{file}:{line}: statement {datum.query_name}"
    result = _RESULTS.get(datum.operation_type)
    if result is None:
        raise StatementError(f"{where}: the operators <!, *! and # are not supported; use ^, $, ! or none")
    comment, skipped, body = _split(lines)
    names = list(datum.parameters or [])
    optional_names = optional.optional_parameters(body, names, where)
    choices = optional.choices(body, optional_names, where)
    texts = optional.variants(body, choices, where)
    sql = texts[-1]
    bare = _quoted.sub("''", sql)
    if "--" in bare or "/*" in bare:
        raise StatementError(f"{where}: a comment is after or inside the SQL; put it above, on a separate line")
    if ";" in bare:
        raise StatementError(f"{where}: more than one statement under one name")
    if odd := next((one for one in bare if not _is_plain(one)), None):
        name = unicodedata.name(odd, "a control character")
        raise StatementError(f"{where}: U+{ord(odd):04X} ({name}) is in the SQL outside quotes; remove it")
    writes = not _read.match(bare) and not (_with.match(bare) and not _change.search(bare))
    if result != "count" and not _gives_rows.search(bare):
        raise StatementError(f"{where}: returns no rows; add the operator !")
    if result == "count" and (not writes or re.search(r"\bRETURNING\b", bare, re.IGNORECASE)):
        raise StatementError(f"{where}: returns rows, which ! would drop; use ^, $ or none")
    header = parse_header(comment, where, names)
    if unknown := sorted(frozenset().union(*(given for given, _ in header.index_with)) - set(optional_names)):
        raise StatementError(
            f"{where}: the index line names 'with {unknown[0]}', but no line has '-- if: {unknown[0]}'"
        )
    return Statement(
        name=datum.query_name,
        file=file,
        line=line,
        sql_line=line + skipped + 1,
        source=optional.source(body),
        sql=sql,
        optional=optional_names,
        choices=choices,
        texts=texts,
        header=header,
        result=result,
        writes=writes,
    )


def _is_plain(character: str) -> bool:
    """Whether a character is read as it looks: SQLite takes every other one, visible or not, for a part of a name."""
    if character.isascii():
        return character.isprintable() or character in "\t\n\r\f"
    return unicodedata.category(character)[0] in "LMN"


def _split(lines: list[str]) -> tuple[list[str], int, list[optional.Line]]:
    """The comment above the SQL (without ``--`` and one space), the line offset of the SQL, and its lines."""
    comment = []
    for line in lines:
        if not line.startswith("--"):
            break
        comment.append(line[2:].removeprefix(" ").rstrip())
    # Drop comment lines, as aiosql does.
    body = [optional.split(line.rstrip()) for line in lines[len(comment) :] if not line.lstrip().startswith("--")]
    skipped = next((n for n, line in enumerate(lines[len(comment) :]) if line.strip()), 0)
    return comment, len(comment) + skipped, body
