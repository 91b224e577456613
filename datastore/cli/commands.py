"""The group of commands, and the conversion of library errors to one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from datastore.cli import (
    admin,
    backups,
    catalog,
    check,
    copy,
    data,
    embed,
    erasure,
    generate,
    imports,
    jobs,
    maintenance,
    metrics,
    migrations,
    retention,
    search,
)
from datastore.cli.exit_codes import Exit
from datastore.cli.output import clean, without_color
from datastore.errors import DatastoreError

_codes = "\n".join(f"  {code:<4} {code.meaning}" for code in Exit)
EPILOG = f"""\b
Commands that use a database read its path or URL from --database or from the environment variable
DATASTORE_DATABASE. Only migrate, import, copy and restore
create a missing database.

\b
Exit codes:
{_codes}
"""


class Commands(click.Group):
    """Converts errors to exit codes; an error of the library never shows a traceback."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        _open_streams()
        try:
            return super().main(*arguments, **options)
        except OSError as error:  # from output that click itself prints: help
            _failed(error)
            sys.exit(Exit.ERROR)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _shown():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        if without_color():
            ctx.color = False
        with _shown():
            return self._run(ctx)

    def _run(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (DatastoreError, RecursionError) as error:
            _say(" ".join(str(error).split()) or type(error).__name__)
            ctx.exit(Exit.ERROR)
        except BrokenPipeError:
            _to_nobody()
            ctx.exit(Exit.DONE)
        except OSError as error:
            _failed(error)
            ctx.exit(Exit.ERROR)
        except KeyboardInterrupt:
            _say("interrupted; committed changes are kept")
            ctx.exit(Exit.INTERRUPTED)
        return result


def _say(message: str) -> None:
    click.echo(f"datastore: {clean(message)}", err=True)


def _failed(error: OSError) -> None:
    _say(f"{os.fsdecode(error.filename) if error.filename else 'output'}: {error.strerror or error}")
    if not error.filename:
        _to_nobody()


def _to_nobody() -> None:
    """The reader has closed the pipe, or there is none. The interpreter's final flush must not fail again."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextmanager
def _shown() -> Iterator[None]:
    """Clean click's usage errors, which contain user input such as file names."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = clean(error.message)
        raise


class _Closed(io.RawIOBase):
    """A standard stream that was closed before the program started: writing to it is an error, as for other tools."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def write(self, data: object) -> int:
        raise OSError(errno.EBADF, "standard output is closed")


def _open_streams() -> None:
    """Prevent files that are opened later from getting a standard stream's number, where output would be written to them."""
    closed = [number for number in range(3) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # the lowest free number
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed(), 1), encoding="utf-8", write_through=True)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (until the process ends)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@click.group(
    cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="datastore", prog_name="datastore")
def cli() -> None:
    """Conversations, messages, learnings, jobs, uploads and an audit log, stored in SQLite or PostgreSQL."""


for command in (
    imports.import_command,
    data.export_command,
    copy.copy_command,
    search.search_command,
    data.show_command,
    jobs.jobs_command,
    jobs.worker_command,
    admin.stats_command,
    admin.status_command,
    metrics.metrics_command,
    backups.verify_command,
    backups.backup_command,
    backups.backups_command,
    backups.restore_command,
    migrations.migrations_command,
    migrations.migrate_command,
    migrations.rollback_command,
    admin.purge_command,
    erasure.erase_command,
    erasure.erasures_command,
    retention.retention_command,
    erasure.hold_command,
    erasure.release_command,
    erasure.holds_command,
    maintenance.maintain_command,
    maintenance.vacuum_command,
    search.reindex_command,
    embed.embed_command,
    generate.init_command,
    check.check_command,
    generate.generate_command,
    generate.diff_command,
    catalog.catalog_command,
):
    cli.add_command(command)
