"""Reads the .sql files through aiosql and closes its traps.

aiosql parses the files; this module reads them one by one and checks each statement's contract header;
`datastore.statements.binding` makes each into a function of exactly its parameters:

- a name defined twice, in one file or in two, is an error (aiosql: in a folder the last one wins);
- rows are a list before the call returns (aiosql: a lazy generator);
- ``^`` and ``$`` refuse a second row (aiosql: it is dropped), and a missing one where one is promised;
- an unknown or missing argument is a TypeError from Python itself (aiosql: ignored);
- ``<!``, ``*!`` and ``#`` are refused: lastrowid hides RETURNING, scripts commit the open transaction;
- a statement without operator must be a SELECT or have RETURNING, and the others are read to their end;
- names of statements, parameters and files are lower-case and no Python keywords (aiosql: any, and ``-`` becomes ``_``);
- a comment after SQL on the same line is refused (aiosql: may swallow or invent parameters), but for
  ``-- if: parameter``, which marks an optional line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from inspect import Signature
from pathlib import Path

import attrs
from aiosql.query_loader import QueryLoader
from aiosql.types import QueryDatum, SQLOperationType
from aiosql.utils import VAR_REF, SQLLoadException, SQLParseException

from datastore.errors import StatementError
from datastore.statements import optional
from datastore.statements.headers import Header, check_name, parse_header

#: What a statement gives back, by its operator.
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
_quoted = re.compile(r"'(?:''|[^'])*'|\"(?:\"\"|[^\"])*\"")
_name_line = re.compile(r"--\s*name\s*:\s*(?P<name>[^\s(^$!*<#]*)[^(]*(?:\((?P<parameters>[^)]*)\))?")


@attrs.frozen(kw_only=True, eq=False)
class Statement:
    """One named statement: its text and its contract."""

    name: str
    #: The .sql file, relative to sql/: "messages.sql" or "sqlite/messages.sql".
    file: str
    #: The line of its ``name:`` comment, from 1.
    line: int
    #: The line where its SQL begins.
    sql_line: int
    #: Its SQL as the file has it, without the semicolon.
    source: str = attrs.field(repr=False)
    #: Its SQL with every optional line in it, and without their markers.
    sql: str
    #: The parameters that may be None for "not asked for", in the order of their declaration.
    optional: tuple[str, ...]
    #: Its SQL for each choice of them: bit n of the place says whether ``optional[n]`` is given.
    texts: tuple[str, ...] = attrs.field(repr=False)
    header: Header
    #: "rows", "row", "value" or "count".
    result: str
    #: Whether it changes the database (and so needs the write lock).
    writes: bool

    @property
    def always_one(self) -> bool:
        """Whether exactly one row is promised, not at most one."""
        return re.match(r"1\b", self.header.rows) is not None

    def variants(self) -> Iterator[tuple[frozenset[str], str]]:
        """Each set of given optional parameters, and the SQL that then runs; none given first."""
        for bits, text in enumerate(self.texts):
            yield frozenset(name for place, name in enumerate(self.optional) if bits >> place & 1), text


class _Adapter:
    """What aiosql asks for in order to parse: it hands every text through."""

    def process_sql(self, query_name: str, op_type: SQLOperationType, sql: str) -> str:
        return sql


class _Loader(QueryLoader):
    """aiosql's parser, without the signature that it makes: a parameter named ``self`` is twice in that."""

    def _build_signature(self, sql: str, qname: str, sig: list[str] | None) -> Signature:
        used = {found["var_name"] for found in VAR_REF.finditer(sql)} - {None}
        if wrong := {name for name in used if not name.isdigit()} ^ set(sig or ()):
            how = "used, but not declared" if wrong & used else "declared, but not used"
            raise SQLParseException(f"statement {qname}: parameter {min(wrong & used or wrong)!r} is {how}")
        return Signature()


def read_statements(folder: Path, engine: str) -> dict[str, Statement]:
    """The statements of ``folder/*.sql`` and ``folder/engine/*.sql``, by name.

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
    """The SQL of one file's statements by name, for what runs them by itself; *file* is its name in messages."""
    return {statement.name: statement.sql for statement in read_file(path, file)}


def read_file(path: Path, file: str) -> Iterable[Statement]:
    """The statements of one file; *file* is its name in messages."""
    check_name(path.stem, "file name", file)
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines, 1) if _check_names(line, f"{file}:{number}")]
    loader = _Loader(_Adapter(), None, attribute=None)  # type: ignore[arg-type]  # only parses
    try:
        data = loader.load_query_data_from_sql(optional.without_markers(text), [], path)
    except (SQLParseException, SQLLoadException) as error:
        raise StatementError(f"{file}: {error}") from error
    if len(data) != len(starts):
        raise StatementError(f"{file}: '-- name:' is not at the start of its line, or is inside other text")
    for datum, start, end in zip(data, starts, [*starts[1:], len(lines) + 1], strict=False):
        yield _make(datum, file, start, lines[start : end - 1])


def _check_names(line: str, where: str) -> bool:
    """Whether *line* is a statement's ``name:`` line; if so, its names are checked."""
    found = _name_line.match(line)
    if found:
        check_name(found["name"], "statement", where)
        for name in filter(None, map(str.strip, (found["parameters"] or "").split(","))):
            check_name(name, "parameter", f"{where}: statement {found['name']}")
    return found is not None


def _make(datum: QueryDatum, file: str, line: int, lines: list[str]) -> Statement:
    """A statement of the lines between its ``name:`` line and the next one's."""
    where = f"{file}:{line}: statement {datum.query_name}"
    result = _RESULTS.get(datum.operation_type)
    if result is None:
        raise StatementError(f"{where}: the operators <!, *! and # are not used here; take ^, $, ! or none")
    comment, skipped, body = _split(lines)
    names = list(datum.parameters or [])
    choices = optional.optional_parameters(body, names, where)
    texts = optional.variants(body, choices, where)
    sql = texts[-1]
    bare = _quoted.sub("''", sql)
    if "--" in bare or "/*" in bare:
        raise StatementError(f"{where}: a comment is after or inside the SQL; put it above, on a line of its own")
    if ";" in bare:
        raise StatementError(f"{where}: more than one statement under one name")
    writes = not _read.match(bare) and not (_with.match(bare) and not _change.search(bare))
    if result != "count" and not _gives_rows.search(bare):
        raise StatementError(f"{where}: gives no rows; add the operator !")
    if result == "count" and (not writes or re.search(r"\bRETURNING\b", bare, re.IGNORECASE)):
        raise StatementError(f"{where}: gives rows, so ! would drop them; take ^, $ or none")
    header = parse_header(comment, where, names)
    if unknown := sorted(frozenset().union(*(given for given, _ in header.index_with)) - set(choices)):
        raise StatementError(f"{where}: 'with {unknown[0]}' is said of the index, but no line is '-- if: {unknown[0]}'")
    return Statement(
        name=datum.query_name,
        file=file,
        line=line,
        sql_line=line + skipped + 1,
        source=optional.source(body),
        sql=sql,
        optional=choices,
        texts=texts,
        header=header,
        result=result,
        writes=writes,
    )


def _split(lines: list[str]) -> tuple[list[str], int, list[optional.Line]]:
    """The comment above the SQL (``--`` and one blank taken off), where the SQL begins, and its lines."""
    comment = []
    for line in lines:
        if not line.startswith("--"):
            break
        comment.append(line[2:].removeprefix(" ").rstrip())
    # A comment on a line of its own is aiosql's to keep from the driver; so it is here.
    body = [optional.split(line.rstrip()) for line in lines[len(comment) :] if not line.lstrip().startswith("--")]
    skipped = next((n for n, line in enumerate(lines[len(comment) :]) if line.strip()), 0)
    return comment, len(comment) + skipped, body
