"""The group of commands, and what an error of the library becomes: one line and an exit code."""

from __future__ import annotations

import os
import sys
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
from datastore.cli.exit_codes import Exit
from datastore.errors import DatastoreError

_codes = "\n".join(f"  {code:<4} {code.meaning}" for code in Exit)
EPILOG = f"""\b
Every command that reads or writes a database takes it from --database (a path, or sqlite:///path) or
from the environment variable DATASTORE_DATABASE. Only import creates a missing one.

\b
Exit codes:
{_codes}
"""


class Commands(click.Group):
    """Turns errors into exit codes; never a traceback for an error of the library."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (DatastoreError, RecursionError) as error:
            _say(" ".join(str(error).split()) or type(error).__name__)
            ctx.exit(Exit.ERROR)
        except BrokenPipeError:
            # Whoever read has enough. The interpreter's own flush at the end must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(Exit.DONE)
        except OSError as error:
            _say(f"{error.filename or 'output'}: {error.strerror or error}")
            ctx.exit(Exit.ERROR)
        except KeyboardInterrupt:
            _say("interrupted; what was committed stays")
            ctx.exit(Exit.INTERRUPTED)
        return result


def _say(message: str) -> None:
    click.echo(f"datastore: {message}", err=True)


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
