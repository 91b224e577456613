"""backup, backups, restore, verify."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datastore.cli.exit_codes import Exit
from datastore.cli.options import age
from datastore.cli.output import database_option, json_option, one_line, open_store, print_json, print_table, size

if TYPE_CHECKING:
    from datastore.upkeep.verify import Mark, Problems


class Elapsed:
    """Shows on a terminal's stderr that an operation is still running."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = -1

    def __call__(self, seconds: float) -> None:
        if int(seconds) > self._shown and sys.stderr.isatty():
            self._shown = int(seconds)
            click.echo(f"\r{self._what}: {self._shown} s ", err=True, nl=False)

    def done(self) -> None:
        """End the line."""
        if self._shown >= 0:
            click.echo("", err=True)


@click.command("backup", short_help="Write a verified backup.")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="Afterwards, keep only the N newest copies in that folder."
)
@click.option(
    "--max-age",
    type=age,
    metavar="AGE",
    help="Afterwards, delete copies in that folder that are older than this: 12h, 14d.",
)
@json_option
@database_option
def backup_command(target: Path, keep: int | None, max_age: timedelta | None, as_json: bool, database: str) -> None:
    """Write a consistent copy to TARGET (a new file, or a folder), verify and register it; the database stays in use."""
    elapsed = Elapsed("backup")
    with open_store(database) as store:
        before = {backup.id: backup for backup in store.backups.iterate()}
        made = store.backups.create(target, keep=keep, max_age=max_age, on_progress=elapsed)
        left = {backup.id for backup in store.backups.iterate()}
    elapsed.done()
    rotated = [backup for id, backup in before.items() if id not in left]
    if as_json:
        print_json({"backup": made, "removed": rotated})
        return
    click.echo(f"{one_line(made.path)}: {size(made.file_bytes or 0)}, verified, SHA-256 {made.checksum}")
    if made.status == "unregistered":
        click.echo(
            "not registered, because the database's disk is full; free some space, then run: "
            + shlex.join(["datastore", "backups", "--register", made.path]),
            err=True,
        )
    for backup in rotated:
        click.echo(f"removed {one_line(backup.path)}")


@click.command("backups", short_help="List the registered backups.")
@click.option(
    "--register",
    "unregistered",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="First verify and register this copy, which was made on a full disk or moved.",
)
@json_option
@database_option
def backups_command(unregistered: Path | None, as_json: bool, database: str) -> None:
    """List the registered backups, newest first."""
    with open_store(database) as store:
        if unregistered is not None:
            store.backups.register(unregistered)
        kept = list(store.backups.iterate())
    if as_json:
        print_json(kept)
    elif kept:
        rows = [
            (f"{backup.created_at:%Y-%m-%d %H:%M:%S}", size(backup.file_bytes or 0), backup.audit_id, backup.path)
            for backup in kept
        ]
        print_table(["created", "size", "audit entries", "path"], rows)
    else:
        click.echo("no backups", err=True)


@click.command("restore", short_help="Replace the database with a backup.")
@click.argument("backup", type=click.Path(path_type=Path))
@click.option(
    "--sha256",
    metavar="HEX",
    help="The checksum that `datastore backup` printed; compared instead of the registered one.",
)
@click.option("--unregistered", is_flag=True, help="Accept a file that the database has not registered.")
@click.option("--force", is_flag=True, help="Replace a database that is too damaged to tell whether it is in use.")
@database_option
def restore_command(backup: Path, sha256: str | None, unregistered: bool, force: bool, database: str) -> None:
    """Verify BACKUP and replace the database with it. The database must not be open anywhere; it may be missing.

    The backup's SHA-256 must match the one that the database registered. If the database is missing or unreadable,
    there is no registered SHA-256, and only the content is verified.
    """
    from datastore.store import Datastore

    mark = Datastore.restore(backup, database, sha256=sha256, unregistered=unregistered, force=force)
    compared = "verified" if mark.compared else "its content is verified, but there was no SHA-256 to compare with"
    click.echo(f"restored, {compared}; the audit log has {mark.audit_id} entries")
    if mark.erased or mark.held:
        click.echo(f"erased again: {mark.erased} subjects; kept by a legal hold of the backup: {mark.held}")


@click.command("verify", short_help="Check the database.")
@click.option(
    "--mark",
    "mark_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Check the audit log against the mark in this file, then write the new mark to it. Keep it on another machine.",
)
@click.option("--backup", type=click.Path(path_type=Path), help="Check this registered backup instead of the database.")
@click.option("--deep", is_flag=True, help="Compare every message with its hash, instead of a sample of 1000.")
@json_option
@database_option
@click.pass_context
def verify_command(
    ctx: click.Context, mark_file: Path | None, backup: Path | None, deep: bool, as_json: bool, database: str
) -> None:
    """Check the file, foreign keys, full-text index, audit chain, hashes, counts and tags; exits with 4 if a check fails."""
    from datastore.errors import CorruptDatabaseError, DatabaseError
    from datastore.upkeep.verify import present_mark

    mark = _read_mark(mark_file)
    results: Problems = {}
    try:
        with open_store(database, reading=True) as store:
            results = store.backups.verify(backup) if backup else store.verify([mark] if mark else [], deep=deep)
            if mark_file and not backup and not any(results.values()):
                _write_mark(mark_file, present_mark(store.audit))
    except DatabaseError as error:
        # Damage may hit the bytes that identify the file; a missing or foreign file is a different case.
        if not isinstance(error, CorruptDatabaseError) and not isinstance(error.__cause__, CorruptDatabaseError):
            raise
        results["file"] = [str(error)]
    wrong = sum(map(len, results.values()))
    if as_json:
        print_json({"ok": not wrong, "checks": results})
    else:
        for name, problems in results.items():
            click.echo(f"{name}: {'ok' if not problems else f'{len(problems)} problems'}")
            for problem in problems:
                click.echo(f"  {one_line(problem)}")
    if wrong:
        ctx.exit(Exit.NOT_VERIFIED)


def _read_mark(path: Path | None) -> Mark | None:
    from datastore.upkeep.verify import Mark

    if path is None or not path.exists():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        mark = Mark(value["audit_id"], value["audit_hash"])
    except (ValueError, KeyError, TypeError):
        raise click.BadParameter("not a mark that this command wrote", param_hint="--mark") from None
    if type(mark.audit_id) is not int or not isinstance(mark.audit_hash, str):
        raise click.BadParameter("not a mark that this command wrote", param_hint="--mark")
    return mark


def _write_mark(path: Path, mark: Mark) -> None:
    from datastore.address import real_path
    from datastore.files import Draft, rights_of_new

    real = real_path(path)
    with Draft(real) as draft:
        text = json.dumps({"audit_id": mark.audit_id, "audit_hash": mark.audit_hash}) + "\n"
        draft.path.write_text(text, encoding="utf-8")
        draft.put_in_place(rights_of_new(real))
