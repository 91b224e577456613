"""Makes statements into functions of exactly their parameters, that give records."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from types import CodeType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

import attrs
from aiosql.queries import Queries
from aiosql.types import QueryDatum, QueryFn, SQLOperationType
from aiosql.utils import SQLLoadException

from datastore.errors import StatementError
from datastore.records.rows import RowReader
from datastore.statements.loader import Statement
from datastore.statements.optional import by_position
from datastore.values import encode_json, encode_timestamp

#: By name where one stands more than once or may be left out, else by position, which costs the driver less.
Parameters = dict[str, Any] | tuple[Any, ...]


@attrs.frozen(kw_only=True)
class Dialect:
    """How an engine's driver takes statements."""

    #: From ``:name`` to the driver's own marks.
    text: Callable[[str], str]
    #: Whether parameters are always handed over by name.
    named: bool
    #: By type of parameter, what else is done to a value.
    encoders: Mapping[str, Callable[[Any], Any]] = attrs.field(factory=dict)


#: sqlite3's: ``:name`` is its own, ``?`` is faster where each stands once.
SQLITE = Dialect(text=lambda sql: sql, named=False)


class Executor(Protocol):
    """What an engine gives the statements to run on: see `datastore.engines.sqlite`."""

    def read(self, sql: str, parameters: Parameters, /) -> Any:
        """A cursor over the rows."""

    def write(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that RETURNING gives, with the write lock held to the end."""

    def change(self, sql: str, parameters: Parameters, /) -> int:
        """How many rows were changed."""

    def failed(self, error: Exception, name: str, file: str) -> NoReturn:
        """Raises this library's error for the driver's."""


class Binder(Protocol):
    """What binds a folder of statements: a `datastore.store.Datastore`."""

    def bind(self, folder: str | os.PathLike[str], records: Mapping[str, type[Any]] | None = None) -> Any: ...


class Statements(Queries):
    """Every statement as a method with exactly its declared, keyword-only parameters.

    ``statements.get_message(id="...")`` runs on the calling thread's connection and gives a `Message` or None: the
    class that the header's ``Record:`` names, else the row class that was generated for it, else a tuple.
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
        adapter = self._adapter
        statement = adapter.statements[query_datum.query_name]
        return cast(
            QueryFn, _bind(statement, adapter.executor, _record_class(statement, adapter.records), adapter.dialect)
        )


class _Adapter:
    """The aiosql driver adapter: hands texts through; running is the compiled functions' work."""

    def __init__(
        self,
        executor: Executor,
        statements: Mapping[str, Statement],
        records: Mapping[str, type[Any]],
        dialect: Dialect,
    ) -> None:
        self.executor = executor
        self.dialect = dialect
        self.statements = statements
        self.records = records

    def process_sql(self, query_name: str, op_type: SQLOperationType, sql: str) -> str:
        return sql


def bind(
    statements: Mapping[str, Statement],
    executor: Executor,
    records: Mapping[str, type[Any]] | None = None,
    dialect: Dialect = SQLITE,
) -> Statements:
    """The statements as methods of one object that runs them on *executor*.

    Args:
        statements: By name.
        executor: What they run on.
        records: The record classes by name, and the generated row classes (see `row_class_name`).
        dialect: How the executor's driver takes them.

    Raises:
        StatementError: A header's ``Record:`` names a class that is not there.
    """
    queries = Statements(_Adapter(executor, statements, records or {}, dialect))
    for statement in statements.values():
        try:
            queries.load_from_list([statement.datum])
        except SQLLoadException as error:
            raise StatementError(f"{statement.file}:{statement.line}: {error}") from error
    return queries


def row_class_name(statement: str) -> str:
    """What the generated class of a statement's rows is called: list_tag_counts -> ListTagCountsRow."""
    return "".join(word.capitalize() for word in statement.split("_")) + "Row"


def _record_class(statement: Statement, records: Mapping[str, type[Any]]) -> type[Any] | None:
    name = statement.header.record
    if name is not None and name not in records:
        raise StatementError(
            f"{statement.file}:{statement.line}: statement {statement.name}: Record: {name} is no record class"
            f" (known are {', '.join(sorted(records)) or 'none'})"
        )
    return records.get(name or row_class_name(statement.name))


_ENCODERS = {"timestamp": "encode_timestamp", "json": "encode_json", "match": "encode_match", "words": "encode_match"}


@functools.cache
def _compile(statement: Statement, with_record: bool, named: bool) -> CodeType:
    # A function of exactly the declared parameters: Python itself refuses the others, and a call costs
    # no more than the hand-written one (perf/records measures it). attrs makes __init__ the same way.
    parameters = statement.header.parameters
    required = [parameter.name for parameter in parameters if parameter.name not in statement.optional]
    arguments = ", ".join(
        ["self", *(["*"] if parameters else []), *required, *(f"{n}=None" for n in statement.optional)]
    )
    encoded = {
        one.name: _encoded(one.name, one.type, one.nullable or one.name in statement.optional) for one in parameters
    }
    if _positional(statement) and not named:
        values = f"({''.join(f'{encoded[name]}, ' for name in by_position(statement.sql)[1])})"
    else:
        values = f"{{{', '.join(f'{name!r}: {value}' for name, value in encoded.items())}}}"
    sql = "sql"
    if statement.optional:
        bits = " | ".join(f"({name} is not None) << {place}" for place, name in enumerate(statement.optional))
        sql = f"texts[{bits}]"
    if statement.result == "count":
        run = f"thread.change({sql}, parameters)"
    else:
        run = f"thread.write({sql}, parameters)" if statement.writes else f"thread.read({sql}, parameters).fetchall()"
    source = (
        f"def {statement.name}({arguments}):\n"
        f"    parameters = {values}\n"
        f"    try:\n"
        f"        rows = {run}\n"
        f"    except Exception as error:\n"
        f"        failed(error, {statement.name!r}, {statement.file!r})\n"
        f"    {_tail(statement, with_record)}\n"
    )
    return compile(source, f"<statement {statement.name} of {statement.file}>", "exec")


def _positional(statement: Statement) -> bool:
    names = by_position(statement.sql)[1]
    return not statement.optional and len(names) == len(set(names))


def _tail(statement: Statement, with_record: bool) -> str:
    """What a statement's function does with its rows."""
    if statement.result == "count":
        return "return rows"
    if statement.result == "rows":
        return "return many(rows)" if with_record else "return rows"
    row = "one(rows[0])" if with_record else "rows[0]"
    if statement.result == "value":
        row += "[0]"  # a class is generated for it only where the value has to be decoded
    if statement.always_one:
        return f"if len(rows) != 1: raise too_many(len(rows))\n    return {row}"
    return f"if len(rows) > 1: raise too_many(len(rows))\n    return {row} if rows else None"


def _encoded(name: str, kind: str, nullable: bool) -> str:
    encoder = _ENCODERS.get(kind)
    if encoder is None:
        return name
    if kind == "json" and name == "rows":
        return "encode_json(rows, float('inf'))"  # many rows at once: the limit is of a value, not of a batch
    return f"None if {name} is None else {encoder}({name})" if nullable else f"{encoder}({name})"


def _bind(statement: Statement, executor: Executor, record: type[Any] | None, dialect: Dialect) -> Callable[..., Any]:
    def too_many(count: int) -> StatementError:
        promised = "one was" if statement.always_one else "at most one was"
        return StatementError(
            f"statement {statement.name} ({statement.file}) gave {count or 'no'} row{'s' * (count > 1)}"
            f" where {promised} promised"
        )

    scope: dict[str, Any] = {
        "sql": by_position(statement.sql)[0]
        if _positional(statement) and not dialect.named
        else dialect.text(statement.sql),
        "texts": tuple(map(dialect.text, statement.texts)),
        "thread": executor,
        "failed": executor.failed,
        "too_many": too_many,
        "encode_timestamp": encode_timestamp,
        "encode_json": encode_json,
        "encode_match": dialect.encoders.get("match", str),
    }
    if record is not None:
        reader = _reader(record)  # type: ignore[arg-type]  # mypy takes type[Any] for not hashable
        scope |= {"one": reader.one, "many": reader.many}
    exec(_compile(statement, record is not None, dialect.named), scope)
    function: Callable[..., Any] = scope[statement.name]
    function.__doc__ = statement.header.purpose
    function.__signature__ = signature(statement)  # type: ignore[attr-defined]
    return function


@functools.cache
def _reader(record: type[Any]) -> RowReader[Any]:
    """The reader of a class's rows; made once, because that costs more than reading a row."""
    return RowReader(record)


@functools.cache
def signature(statement: Statement) -> inspect.Signature:
    """The parameters of a statement's function: keyword-only, the optional ones None by default."""
    names = [one.name for one in statement.header.parameters]
    ordered = [name for name in names if name not in statement.optional] + list(statement.optional)
    return inspect.Signature(
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            *(
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=None if name in statement.optional else inspect.Parameter.empty,
                )
                for name in ordered
            ),
        ]
    )
