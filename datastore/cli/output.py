"""Shared by the commands: the database option, opening the store, output for people and for programs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

if TYPE_CHECKING:
    from rich.console import Console

    from datastore.store import Datastore

Function = TypeVar("Function", bound=Callable[..., Any])


def database_option(function: Function) -> Function:
    """``--database``, or the environment variable."""
    return click.option(
        "--database",
        envvar="DATASTORE_DATABASE",
        show_envvar=True,
        required=True,
        metavar="PATH-or-URL",
        help="The database.",
    )(function)


def json_option(function: Function) -> Function:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(function)


def open_store(database: str, *, migrate: bool = False, reading: bool = False) -> Datastore:
    """Open the store; a missing database is an error unless *migrate*.

    Args:
        database: A path or URL.
        migrate: Create a missing database, and apply pending migrations.
        reading: The command changes nothing: open the store read-only if the file or its folder cannot be written to.
    """
    from datastore.errors import ReadOnlyDatabaseError
    from datastore.observing.logs import LogEvents, log_level
    from datastore.store import Datastore

    level = log_level()
    try:
        store = Datastore.open(database, migrate=migrate, actor="datastore command")
    except ReadOnlyDatabaseError:
        if not reading:
            raise
        store = Datastore.open(database, read_only=True)
    if level is not None:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger("datastore").setLevel(level)
        store.observe(LogEvents())
    return store


def is_missing(database: str) -> bool:
    """Whether the file is missing, or a database on a server has no schema; an import creates it."""
    from datastore.address import database_path, is_server
    from datastore.errors import NotADatastoreError
    from datastore.opening import find_file
    from datastore.store import Datastore

    if not is_server(database):
        return find_file(database_path(database)) is None
    try:
        Datastore.open(database).close()
    except NotADatastoreError:
        return True
    return False


#: Characters that control a terminal or change how others are displayed: control characters except newlines, lone surrogates
#: (from file names that are not UTF-8), line and paragraph separators, direction marks and overrides, invisible tags.
_unsafe = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def clean(text: str) -> str:
    """Return *text* in a form that is safe to display: characters that control a terminal or are invisible are escaped.

    All output that comes from a database, a file name or an error passes through this function.
    """
    return _unsafe.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    return "    " if character == "\t" else ascii(character)[1:-1]


def one_line(text: str, longest: int = 0) -> str:
    """Return *text* on one line without tabs, truncated to *longest* characters if given."""
    line = clean(" ".join(text.split()))
    return f"{line[: longest - 3]}..." if longest and len(line) > longest else line


def plain(value: Any) -> Any:
    """Convert a record, or a structure of records, to JSON values."""
    if attrs.has(type(value)):
        return {field.name: plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, datetime):
        from datastore.values import encode_timestamp

        return encode_timestamp(value)
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def print_json(value: object) -> None:
    """Print one JSON document, escaped to ASCII so that every terminal and pipe accepts it."""
    click.echo(json.dumps(plain(value), indent=2))


def without_color() -> bool:
    """Whether the environment asks for plain text: https://no-color.org."""
    return bool(os.environ.get("NO_COLOR"))


def console(*, stderr: bool = False) -> Console:
    """The console for tables and progress; plain if the environment asks for it."""
    from rich.console import Console

    return Console(stderr=stderr, color_system=None if without_color() else "auto")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table: with headers on a terminal, as columns padded with spaces in a pipe."""
    texts = [[one_line(str(value)) for value in row] for row in rows]
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        numeric = [all(isinstance(row[index], int | float) for row in rows) for index in range(len(headers))]
        for header, right in zip(headers, numeric, strict=True):
            table.add_column(header, justify="right" if right else "left", overflow="fold")
        for row in texts:
            table.add_row(*(Text(value) for value in row))
        console().print(table)
        return
    widths = [max([len(header), *(len(row[index]) for row in texts)]) for index, header in enumerate(headers)]
    for row in [list(headers), *texts]:
        click.echo("  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())


def print_pairs(pairs: Sequence[tuple[str, Any]]) -> None:
    """Print names and values, one pair per line, with the values aligned."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {one_line(str(value))}")


def size(count: int) -> str:
    """Format a number of bytes for people."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{count} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{count} bytes"
