"""Loads the .sql files through aiosql and closes its traps.

aiosql parses the files; this module reads them one by one into one `Statements` object, checks each
statement's contract header, and makes each into a function of exactly its parameters:

- a name defined twice, in one file or in two, is an error (aiosql: in a folder the last one wins);
- rows are a list before the call returns (aiosql: a lazy generator);
- ``^`` and ``$`` refuse a second row (aiosql: it is dropped);
- an unknown or missing argument is a TypeError from Python itself (aiosql: ignored);
- ``<!``, ``*!`` and ``#`` are refused: lastrowid hides RETURNING, scripts commit the open transaction;
- a statement without operator must be a SELECT or have RETURNING, and the others are read to their end;
- a comment behind SQL on the same line is refused (aiosql: may swallow or invent parameters).
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

import attrs
from aiosql.queries import Queries
from aiosql.query_loader import QueryLoader
from aiosql.types import QueryDatum, QueryFn, SQLOperationType
from aiosql.utils import SQLLoadException, SQLParseException

from datastore.errors import StatementError
from datastore.statements.headers import Header, parse_header
from datastore.values import encode_json, encode_timestamp

#: What a statement gives back, by its operator.
_RESULTS = {
    SQLOperationType.SELECT: "rows",
    SQLOperationType.SELECT_ONE: "row",
    SQLOperationType.SELECT_VALUE: "value",
    SQLOperationType.INSERT_UPDATE_DELETE: "count",
}

_read = re.compile(r"^\s*(SELECT|VALUES)\b", re.IGNORECASE)
_with = re.compile(r"^\s*WITH\b", re.IGNORECASE)
_change = re.compile(r"\b(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_gives_rows = re.compile(r"\b(SELECT|VALUES|RETURNING)\b", re.IGNORECASE)
_quoted = re.compile(r"'(?:''|[^'])*'|\"(?:\"\"|[^\"])*\"")


class Executor(Protocol):
    """What an engine gives the statements to run on: see `datastore.engines.sqlite`."""

    def read(self, sql: str, parameters: dict[str, Any], /) -> Any:
        """A cursor over the rows."""

    def write(self, sql: str, parameters: dict[str, Any], /) -> list[Any]:
        """Every row that RETURNING gives, with the write lock held to the end."""

    def change(self, sql: str, parameters: dict[str, Any], /) -> int:
        """How many rows were changed."""

    def failed(self, error: Exception, name: str, file: str) -> NoReturn:
        """Raises this library's error for the driver's."""


@attrs.frozen(kw_only=True)
class Statement:
    """One named statement: its text, its contract, and its compiled function."""

    name: str
    #: The .sql file, relative to sql/: "messages.sql" or "sqlite/messages.sql".
    file: str
    #: The line of its ``name:`` comment, from 1.
    line: int
    sql: str
    header: Header
    #: "rows", "row", "value" or "count".
    result: str
    #: Whether it changes the database (and so needs the write lock).
    writes: bool
    datum: QueryDatum = attrs.field(repr=False, eq=False)
    code: CodeType = attrs.field(repr=False, eq=False)


class Statements(Queries):
    """Every statement as a method with exactly its declared, keyword-only parameters.

    ``statements.get_message(id="...")`` runs on the calling thread's connection. Rows are tuples.
    """

    def __init__(self, adapter: _Adapter) -> None:
        super().__init__(cast(Any, adapter))
        self._adapter = adapter

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Every statement; which ones there are is known when the files are read."""

    def _create_methods(self, query_datum: QueryDatum, is_aio: bool) -> list[QueryFn]:
        # No *_cursor twins: a cursor left open blocks the checkpoint.
        return [self._make_sync_fn(query_datum)]

    def _make_sync_fn(self, query_datum: QueryDatum) -> QueryFn:
        statement = self._adapter.statements[query_datum.query_name]
        return cast(QueryFn, _bind(statement, self._adapter.executor))


class _Adapter:
    """The aiosql driver adapter: hands texts through; running is the compiled functions' work."""

    def __init__(self, executor: Executor, statements: dict[str, Statement]) -> None:
        self.executor = executor
        self.statements = statements

    def process_sql(self, query_name: str, op_type: SQLOperationType, sql: str) -> str:
        return sql


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
                    f"{statement.file}:{statement.line}: statement {statement.name} stands in"
                    f" {before.file}:{before.line} already"
                )
            statements[statement.name] = statement
    if not statements:
        raise StatementError(f"no statements in {folder}")
    return statements


def read_file(path: Path, file: str) -> Iterable[Statement]:
    """The statements of one file; *file* is its name in messages."""
    loader = QueryLoader(_Adapter(None, {}), None, attribute=None)  # type: ignore[arg-type]  # only parses
    text = path.read_text(encoding="utf-8")
    try:
        data = loader.load_query_data_from_sql(text, [], path)
    except (SQLParseException, SQLLoadException, ValueError) as error:  # ValueError: a parameter named like a keyword
        raise StatementError(f"{file}: {error}") from error
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"--\s*name\s*:", line)]
    comments = _comments(text, lines)
    for datum, line, comment in zip(data, lines, comments, strict=True):
        yield _make(datum, file, line, comment)


def bind(statements: dict[str, Statement], executor: Executor) -> Statements:
    """The statements as methods of one object that runs them on *executor*."""
    queries = Statements(_Adapter(executor, statements))
    for statement in statements.values():
        try:
            queries.load_from_list([statement.datum])
        except SQLLoadException as error:
            raise StatementError(f"{statement.file}:{statement.line}: {error}") from error
    return queries


def _comments(text: str, starts: list[int]) -> list[list[str]]:
    """The comment lines between each ``name:`` line and its SQL, ``--`` and one blank taken off."""
    lines = text.splitlines()
    comments = []
    for start in starts:
        comment = []
        for line in lines[start:]:
            if not line.startswith("--"):
                break
            comment.append(line[2:].removeprefix(" ").rstrip())
        comments.append(comment)
    return comments


def _make(datum: QueryDatum, file: str, line: int, comment: list[str]) -> Statement:
    where = f"{file}:{line}: statement {datum.query_name}"
    result = _RESULTS.get(datum.operation_type)
    if result is None:
        raise StatementError(f"{where}: the operators <!, *! and # are not used here; take ^, $, ! or none")
    sql = datum.sql.strip().removesuffix(";").rstrip()
    bare = _quoted.sub("''", sql)
    if "--" in bare or "/*" in bare:
        raise StatementError(f"{where}: a comment stands behind or inside the SQL; put it above, on a line of its own")
    if ";" in bare:
        raise StatementError(f"{where}: more than one statement under one name")
    writes = not _read.match(bare) and not (_with.match(bare) and not _change.search(bare))
    if result != "count" and not _gives_rows.search(bare):
        raise StatementError(f"{where}: gives no rows; add the operator !")
    if result == "count" and (not writes or re.search(r"\bRETURNING\b", bare, re.IGNORECASE)):
        raise StatementError(f"{where}: gives rows, so ! would drop them; take ^, $ or none")
    names = list(datum.parameters or [])
    header = parse_header(comment, where, names)
    code = _compile(datum.query_name, sql, header, result, writes, file)
    return Statement(
        name=datum.query_name,
        file=file,
        line=line,
        sql=sql,
        header=header,
        result=result,
        writes=writes,
        datum=datum,
        code=code,
    )


_ENCODERS = {"timestamp": "encode_timestamp", "json": "encode_json"}

_TAILS = {
    "rows": "return rows",
    "row": "if len(rows) > 1: raise too_many(len(rows))\n    return rows[0] if rows else None",
    "value": "if len(rows) > 1: raise too_many(len(rows))\n    return rows[0][0] if rows else None",
}


def _compile(name: str, sql: str, header: Header, result: str, writes: bool, file: str) -> CodeType:
    # A function of exactly the declared parameters: Python itself refuses the others, and a call costs
    # no more than the hand-written one (perf/records measures it). attrs makes __init__ the same way.
    for parameter in header.parameters:
        if keyword.iskeyword(parameter.name):
            raise StatementError(f"{file}: statement {name}: parameter {parameter.name!r} is a Python keyword")
    arguments = "".join(f", {parameter.name}" for parameter in header.parameters)
    values = ", ".join(
        f"{parameter.name!r}: {_encoded(parameter.name, parameter.type, parameter.nullable)}"
        for parameter in header.parameters
    )
    if result == "count":
        run = "thread.change(sql, parameters)"
    else:
        run = "thread.write(sql, parameters)" if writes else "thread.read(sql, parameters).fetchall()"
    source = (
        f"def {name}(self{', *' + arguments if arguments else ''}):\n"
        f"    parameters = {{{values}}}\n"
        f"    try:\n"
        f"        rows = {run}\n"
        f"    except Exception as error:\n"
        f"        failed(error, {name!r}, {file!r})\n"
        f"    {_TAILS.get(result, 'return rows')}\n"
    )
    return compile(source, f"<statement {name} of {file}>", "exec")


def _encoded(name: str, kind: str, nullable: bool) -> str:
    encoder = _ENCODERS.get(kind)
    if encoder is None:
        return name
    if kind == "json" and name == "rows":
        return "encode_json(rows, float('inf'))"  # many rows at once: the limit is of a value, not of a batch
    return f"None if {name} is None else {encoder}({name})" if nullable else f"{encoder}({name})"


def _bind(statement: Statement, executor: Executor) -> Callable[..., Any]:
    def too_many(count: int) -> StatementError:
        return StatementError(
            f"statement {statement.name} ({statement.file}) gave {count} rows where at most one was promised"
        )

    scope: dict[str, Any] = {
        "sql": statement.sql,
        "thread": executor,
        "failed": executor.failed,
        "too_many": too_many,
        "encode_timestamp": encode_timestamp,
        "encode_json": encode_json,
    }
    exec(statement.code, scope)
    function: Callable[..., Any] = scope[statement.name]
    function.__doc__ = statement.header.purpose
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            *(inspect.Parameter(p.name, inspect.Parameter.KEYWORD_ONLY) for p in statement.header.parameters),
        ]
    )
    return function
