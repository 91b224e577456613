"""The group of commands, and what an error of the library becomes: one line and an exit code."""

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
    erasure,
    generate,
    jobs,
    maintenance,
    retention,
    search,
)
from datastore.cli.output import clean, without_color
from datastore.errors import DatastoreError

EPILOG = """\b
Every command that reads or writes a database takes it from --database (a path, or sqlite:///path) or
from the environment variable DATASTORE_DATABASE. Only import creates a missing one.

\b
Exit codes:
  0    done
  1    an error of the library: one line on stderr
  2    wrong use of the command line
  3    import: some lines were bad (listed on stderr), everything else is stored
  4    verify: something is wrong with the database
  5    check: a statement or a migration breaks a rule; generate --check, catalog --check: something is not
       as it would be written; diff: something breaks callers
  6    erase: a legal hold blocked it, or it is deleted and the files could not be cleaned
  130  interrupted with Ctrl-C; what was committed stays
"""


class Commands(click.Group):
    """Turns errors into exit codes; never a traceback for an error of the library."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        _open_streams()
        try:
            return super().main(*arguments, **options)
        except OSError as error:  # from what click prints by itself: help
            _failed(error)
            sys.exit(1)

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
            ctx.exit(1)
        except BrokenPipeError:
            _to_nobody()
            ctx.exit(0)
        except OSError as error:
            _failed(error)
            ctx.exit(1)
        except KeyboardInterrupt:
            _say("interrupted; what was committed stays")
            ctx.exit(130)
        return result


def _say(message: str) -> None:
    click.echo(f"datastore: {clean(message)}", err=True)


def _failed(error: OSError) -> None:
    _say(f"{os.fsdecode(error.filename) if error.filename else 'output'}: {error.strerror or error}")
    if not error.filename:
        _to_nobody()


def _to_nobody() -> None:
    """Whoever read has enough, or there is nobody. The interpreter's own flush at the end must not fail again."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextmanager
def _shown() -> Iterator[None]:
    """What click says of wrong use holds what was typed: a file's name, say."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = clean(error.message)
        raise


class _Closed(io.RawIOBase):
    """A standard stream that was closed before the program began: writing to it is an error, as for other tools."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def write(self, data: object) -> int:
        raise OSError(errno.EBADF, "standard output is closed")


def _open_streams() -> None:
    """Nothing that is opened later gets the number of a standard stream: what is printed would be written into it."""
    closed = [number for number in range(3) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
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
    """Conversations, messages, learnings, jobs, uploads and an audit log, kept in SQLite."""


for command in (
    data.import_command,
    data.export_command,
    copy.copy_command,
    search.search_command,
    data.show_command,
    jobs.jobs_command,
    jobs.worker_command,
    admin.stats_command,
    admin.status_command,
    backups.verify_command,
    backups.backup_command,
    backups.backups_command,
    backups.restore_command,
    admin.migrations_command,
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
    check.check_command,
    generate.generate_command,
    generate.diff_command,
    catalog.catalog_command,
):
    cli.add_command(command)
