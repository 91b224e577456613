"""Compiles statements into functions that take exactly the declared parameters and return records.

A function is compiled from generated source, as attrs does for ``__init__``: Python itself then refuses unknown and
missing arguments, and a call costs no more than a hand-written one (perf/records.py measures it). The source contains
two kinds of names. User-defined names are the statement's name and its parameters: each begins with a lower-case
letter, which `datastore.statements.headers.check_name` ensures. No other name in the source does, so that no parameter
or statement can shadow a name that the function uses.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, NoReturn, Protocol, TypeAlias

import attrs

from datastore.errors import InvalidValueError, StatementError
from datastore.records.rows import RowReader
from datastore.statements.loader import Statement
from datastore.statements.optional import by_position
from datastore.values import encode_blob, encode_json, encode_timestamp

#: By name if a parameter is optional or used more than once, otherwise by position, which is faster in the driver.
Parameters: TypeAlias = dict[str, object] | tuple[object, ...]

#: What a statement's name is bound to; its Protocol has its types.
Function: TypeAlias = Callable[..., Any]

#: Turns an argument into what the driver takes; each for its own type.
Encoder: TypeAlias = Callable[[Any], object]

#: Rows of any statement: a `RowReader` makes records of them.
Rows: TypeAlias = list[Any]

#: Encoders by parameter type. The size limit on JSON applies to one value, not to a batch of rows.
_ENCODERS: Mapping[str, Encoder] = {
    "timestamp": encode_timestamp,
    "json": encode_json,
    "rows": functools.partial(encode_json, max_bytes=math.inf),
    "blob": encode_blob,
    "match": str,
    "words": str,
}


@attrs.frozen(kw_only=True)
class Dialect:
    """The parameter style and encoders of an engine's driver."""

    #: Converts ``:name`` to the driver's placeholders.
    text: Callable[[str], str]
    #: Whether parameters are always passed by name.
    named: bool
    #: Whether a comment with a statement's name precedes its text, so that the server's log and pg_stat_statements show it.
    labelled: bool = False
    #: Additional encoders, by parameter type.
    encoders: Mapping[str, Encoder] = attrs.field(factory=dict)


#: sqlite3's dialect: ``:name`` is native; ``?`` is faster if each name is used once.
SQLITE = Dialect(text=lambda sql: sql, named=False)


class Executor(Protocol):
    """Runs statements on an engine: see `datastore.engines.sqlite.engine`."""

    def read(self, sql: str, parameters: Parameters, /) -> Rows:
        """Return every row of a query."""

    def write(self, sql: str, parameters: Parameters, /) -> Rows:
        """Return every row of RETURNING, holding the write lock until the end."""

    def change(self, sql: str, parameters: Parameters, /) -> int:
        """Return the number of changed rows."""

    def failed(self, error: Exception, name: str, file: str) -> NoReturn:
        """Raise this library's error for a driver error."""


class Binder(Protocol):
    """Binds a folder of statements: a `datastore.store.Datastore`."""

    def bind(self, folder: str | os.PathLike[str], records: Mapping[str, type] | None = None) -> Any: ...


class AsyncBinder(Protocol):
    """Binds a folder of statements that are awaited: a `datastore.aio.store.AsyncDatastore`."""

    async def bind(self, folder: str | os.PathLike[str], records: Mapping[str, type[Any]] | None = None) -> Any: ...


class Statements:
    """Every statement as a function with exactly its declared parameters, keyword-only.

    ``statements.get_message(id="...")`` runs on the calling thread's connection and returns a `Message` or None. The
    class of a row is the one that the header's ``Record:`` names, else the generated row class, else a tuple.

    A function is compiled when it is first used: a process uses few of them, and opening a store must be fast.

    Args:
        makers: By statement name, what compiles its function.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Function]]) -> None:
        self._makers = makers
        self._wrapped: Callable[[str, Function], Function] = lambda name, function: function

    def __getattr__(self, name: str) -> Any:
        # No statement begins with an underscore; without this test a copy, which has no _makers yet, would recurse.
        if name.startswith("_") or name not in self._makers:
            raise AttributeError(f"there is no statement {name!r}", name=name, obj=self)
        function = self.__dict__[name] = self._wrapped(name, self._makers[name]())
        return function

    def _wrap(self, wrapped: Callable[[str, Function], Function]) -> None:
        """Replace each function, when it is first used, by what *wrapped* makes of it."""
        self._wrapped = wrapped

    def _forget(self) -> None:
        """Make every function again when it is next used."""
        for name in self._makers:
            self.__dict__.pop(name, None)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._makers]


def bind(
    statements: Mapping[str, Statement],
    executor: Executor,
    records: Mapping[str, type] | None = None,
    dialect: Dialect = SQLITE,
) -> Statements:
    """Bind the statements as functions of one object that runs them on *executor*.

    Args:
        statements: By name.
        executor: Runs the statements.
        records: Record classes by class name, and generated row classes by statement name.
        dialect: The dialect of the executor's driver.

    Raises:
        StatementError: A header's ``Record:`` names an unknown class.
    """
    return Statements(
        {
            name: functools.partial(_bind, statement, executor, _record_class(statement, records or {}), dialect)
            for name, statement in statements.items()
        }
    )


def _record_class(statement: Statement, records: Mapping[str, type]) -> type | None:
    name = statement.header.record
    if name is not None and name not in records:
        raise StatementError(
            f"{statement.file}:{statement.line}: statement {statement.name}: Record: {name} is not a record class"
            f" (known are {', '.join(sorted(records)) or 'none'})"
        )
    return records.get(name or statement.name)


@functools.cache
def _compile(statement: Statement, with_record: bool, named: bool) -> CodeType:
    parameters = statement.header.parameters
    required = [parameter.name for parameter in parameters if parameter.name not in statement.optional]
    arguments = ", ".join(["*"] * bool(parameters) + required + [f"{name}=None" for name in statement.optional])
    encoded = {
        one.name: _encoded(one.name, one.type, one.nullable or one.name in statement.optional) for one in parameters
    }
    if _positional(statement) and not named:
        values = f"({''.join(f'{encoded[name]}, ' for name in by_position(statement.sql)[1])})"
    else:
        values = f"{{{', '.join(f'{name!r}: {value}' for name, value in encoded.items())}}}"
    sql = "_sql"
    if statement.optional:
        bits = " | ".join(f"({group[0]} is not None) << {place}" for place, group in enumerate(statement.choices))
        sql = f"_texts[{bits}]"
    if statement.result == "count":
        run = f"_thread.change({sql}, _values)"
    else:
        run = f"_thread.write({sql}, _values)" if statement.writes else f"_thread.read({sql}, _values)"
    pairs = [f"({first} is None) is not ({other} is None)" for first, *rest in statement.choices for other in rest]
    together = f"    if {' or '.join(pairs)}: raise _half_given()\n" * bool(pairs)
    source = (
        f"def {statement.name}({arguments}):\n"
        f"{together}"
        f"    _values = {values}\n"
        f"    try:\n"
        f"        _rows = {run}\n"
        f"    except Exception as _error:\n"
        f"        _failed(_error, {statement.name!r}, {statement.file!r})\n"
        f"    {_tail(statement, with_record)}\n"
    )
    return compile(source, f"<statement {statement.name} of {statement.file}>", "exec")


def _positional(statement: Statement) -> bool:
    names = by_position(statement.sql)[1]
    return not statement.optional and len(names) == len(set(names))


def _tail(statement: Statement, with_record: bool) -> str:
    """The source of a function's last lines, which return its rows."""
    if statement.result == "count":
        return "return _rows"
    if statement.result == "rows":
        return "return _many(_rows)" if with_record else "return _rows"
    row = "_one(_rows[0])" if with_record else "_rows[0]"
    if statement.result == "value":
        row += "[0]"  # a class is generated for it only if the value must be decoded
    if statement.always_one:
        return f"if _len(_rows) != 1: raise _too_many(_len(_rows))\n    return {row}"
    return f"if _len(_rows) > 1: raise _too_many(_len(_rows))\n    return {row} if _rows else None"


def _encoded(name: str, kind: str, nullable: bool) -> str:
    if kind not in _ENCODERS:
        return name
    value = f"_encode_{kind}({name})"
    return f"None if {name} is None else {value}" if nullable else value


def _bind(statement: Statement, executor: Executor, record: type | None, dialect: Dialect) -> Function:
    def too_many(count: int) -> StatementError:
        promised = "one was" if statement.always_one else "at most one was"
        return StatementError(
            f"statement {statement.name} ({statement.file}) returned {count or 'no'} row{'s' * (count > 1)}"
            f" where {promised} promised"
        )

    def text(sql: str) -> str:
        return f"/* {statement.name} */ {dialect.text(sql)}" if dialect.labelled else dialect.text(sql)

    def half_given() -> InvalidValueError:
        groups = ", or ".join(" and ".join(group) for group in statement.choices if len(group) > 1)
        return InvalidValueError(f"{statement.name}: give {groups} together, or none of them")

    scope: dict[str, Any] = {
        "_sql": by_position(statement.sql)[0] if _positional(statement) and not dialect.named else text(statement.sql),
        "_texts": tuple(map(text, statement.texts)),
        "_thread": executor,
        "_failed": executor.failed,
        "_too_many": too_many,
        "_half_given": half_given,
        "_len": len,
        **{f"_encode_{kind}": encode for kind, encode in {**_ENCODERS, **dialect.encoders}.items()},
    }
    if record is not None:
        reader = _reader(record)
        scope |= {"_one": reader.one, "_many": reader.many}
    exec(_compile(statement, record is not None, dialect.named), scope)
    function: Function = scope[statement.name]
    function.__doc__ = statement.header.purpose
    return function


@functools.cache
def _reader(record: type) -> RowReader[Any]:
    """The reader of a class's rows; cached, because building it costs more than reading a row."""
    return RowReader(record)
