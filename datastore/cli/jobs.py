"""jobs and its subcommands, and worker."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datastore.cli.options import instant
from datastore.cli.output import (
    database_option,
    json_option,
    one_line,
    open_store,
    print_json,
    print_pairs,
    print_table,
)

if TYPE_CHECKING:
    from datastore.records import Job
    from datastore.store import Datastore

#: Number of running and of quarantined jobs that the overview shows.
_SHOWN = 20


@click.group("jobs", invoke_without_command=True, short_help="Show and manage the job queue.")
@json_option
@click.option("--database", envvar="DATASTORE_DATABASE", show_envvar=True, metavar="PATH-or-URL", help="The database.")
@click.pass_context
def jobs_command(ctx: click.Context, as_json: bool, database: str | None) -> None:
    """Show the number of jobs by type and status, running and quarantined jobs, and paused types."""
    if ctx.invoked_subcommand is not None:
        return
    if database is None:
        raise click.UsageError("Missing option '--database' (env var: 'DATASTORE_DATABASE').")
    with open_store(database, reading=True) as store, store.snapshot():
        counts, pauses = store.jobs.counts(), store.jobs.pauses()
        running = store.jobs.list(status="running", max_rows=_SHOWN).items
        quarantined = store.jobs.list(status="quarantined", max_rows=_SHOWN).items
    if as_json:
        print_json({"counts": counts, "running": running, "quarantined": quarantined, "paused": pauses})
        return
    if not counts and not pauses:
        click.echo("no jobs", err=True)
        return
    print_table(
        ["type", "status", "count", "oldest run_at"],
        [(count.type, count.status, count.count, _time(count.oldest_run_at)) for count in counts],
    )
    if running:
        click.echo(f"\nrunning (the latest {_SHOWN}):")
        print_table(
            ["id", "type", "worker", "attempt", "started", "lease until", "progress"], list(map(_running, running))
        )
    if quarantined:
        click.echo(f"\nquarantined (the latest {_SHOWN}):")
        print_table(["id", "type", "attempts", "ended", "last error"], list(map(_quarantined, quarantined)))
    if pauses:
        click.echo("\npaused:")
        print_table(["type", "since", "reason"], [(p.type, _time(p.created_at), p.reason or "") for p in pauses])


@jobs_command.command("list", short_help="List jobs, newest first.")
@click.option(
    "--status",
    type=click.Choice(["queued", "running", "succeeded", "failed", "quarantined", "cancelled"]),
    help="Only jobs with this status.",
)
@click.option("--type", "type_", metavar="TYPE", help="Only jobs of this type.")
@click.option("--max-rows", type=click.IntRange(1, 1000), default=50, show_default=True, help="Maximum number of jobs.")
@json_option
@database_option
def list_command(status: Any, type_: str | None, max_rows: int, as_json: bool, database: str) -> None:
    """List jobs, newest first."""
    with open_store(database, reading=True) as store:
        jobs = store.jobs.list(status=status, type=type_, max_rows=max_rows).items
    if as_json:
        print_json(jobs)
    elif jobs:
        print_table(["id", "type", "status", "priority", "attempts", "run_at", "last error"], list(map(_listed, jobs)))
    else:
        click.echo("no jobs", err=True)


@jobs_command.command("show", short_help="Show a job and its history.")
@click.argument("id", type=int)
@json_option
@database_option
def show_command(id: int, as_json: bool, database: str) -> None:
    """Show a job, its last error in full, and every attempt."""
    with open_store(database, reading=True) as store, store.snapshot():
        job, attempts = store.jobs.get(id), store.jobs.attempts(id)
    if as_json:
        print_json({"job": job, "attempts": attempts})
        return
    print_pairs(
        [
            ("id", job.id),
            ("type", job.type),
            ("status", f"{job.status}, asked to stop" if job.cancel_requested else job.status),
            ("priority", job.priority),
            ("run_at", _time(job.run_at)),
            ("attempts", f"{job.attempts} of {job.max_attempts}"),
            ("payload", job.payload),
            ("progress", job.progress),
            ("result", job.result),
        ]
    )
    if attempts:
        click.echo()
        print_table(
            ["attempt", "worker", "started", "finished", "outcome"],
            [
                (a.attempt, a.worker or "", _time(a.started_at), _time(a.finished_at), a.outcome or "runs")
                for a in attempts
            ],
        )
    if job.last_error:
        click.echo(f"\nlast error:\n{_lines(job.last_error)}")


def _operation(name: str, done: str, sentence: str, act: Callable[[Datastore, int], object]) -> None:
    """Add a command that applies one operation to each job whose id is given."""

    @jobs_command.command(name, help=sentence, short_help=sentence)
    @click.argument("ids", type=int, nargs=-1, required=True, metavar="ID...")
    @database_option
    def command(ids: tuple[int, ...], database: str) -> None:
        with open_store(database) as store, store.transaction():
            for id in ids:
                act(store, id)
        click.echo(f"{len(ids)} jobs {done}")


_operation("retry", "due now", "Make waiting jobs due now; queue ended jobs again.", lambda s, id: s.jobs.retry(id))
_operation(
    "cancel", "cancelled, or asked to stop", "Cancel waiting jobs; ask the workers of running jobs to stop.",
    lambda s, id: s.jobs.cancel(id),
)  # fmt: skip


@jobs_command.command("requeue", short_help="Queue jobs that ended without success again.")
@click.argument("ids", type=int, nargs=-1, metavar="[ID...]")
@click.option("--quarantined", is_flag=True, help="Every quarantined job, instead of job ids.")
@click.option("--type", "type_", metavar="TYPE", help="With --quarantined: only jobs of this type.")
@database_option
def requeue_command(ids: tuple[int, ...], quarantined: bool, type_: str | None, database: str) -> None:
    """Queue jobs that ended without success again, with all attempts restored; their history stays."""
    if bool(ids) == quarantined or (type_ and not quarantined):
        raise click.UsageError("give job ids, or --quarantined with or without --type")
    count = 0
    with open_store(database) as store:
        while batch := ids or tuple(job.id for job in store.jobs.list(status="quarantined", type=type_, max_rows=100)):
            with store.transaction():
                for id in batch:
                    store.jobs.requeue(id)
            count += len(batch)
            if ids:
                break
    click.echo(f"{count} jobs queued again")


@jobs_command.command("pause", short_help="Stop jobs of a type from being claimed.")
@click.argument("type_", metavar="TYPE")
@click.option("--reason", metavar="TEXT", help="The reason; shown by `datastore jobs`.")
@database_option
def pause_command(type_: str, reason: str | None, database: str) -> None:
    """Stop jobs of a type from being claimed until it is resumed; running jobs continue."""
    with open_store(database) as store:
        changed = store.jobs.pause(type_, reason=reason)
    click.echo(f"{one_line(type_)} {'paused' if changed else 'was already paused'}")


@jobs_command.command("resume", short_help="Allow jobs of a paused type to be claimed again.")
@click.argument("type_", metavar="TYPE")
@database_option
def resume_command(type_: str, database: str) -> None:
    """Allow jobs of a paused type to be claimed again."""
    with open_store(database) as store:
        changed = store.jobs.resume(type_)
    click.echo(f"{one_line(type_)} {'resumed' if changed else 'was not paused'}")


@jobs_command.command("prune", short_help="Delete jobs that ended long ago.")
@click.option(
    "--finished-before",
    type=instant,
    required=True,
    metavar="TIME",
    help="Only jobs that ended before this: a day (UTC), an ISO 8601 time with a zone, or an age (90s, 30m, 12h, 14d).",
)
@click.option("--reason", metavar="TEXT", help="The reason; kept in the audit log.")
@database_option
def prune_command(finished_before: datetime, reason: str | None, database: str) -> None:
    """Delete jobs that ended before a time, with their history, in batches of 100; other writers can work in between."""
    total = 0
    with open_store(database) as store:
        while (count := store.jobs.prune(finished_before=finished_before, reason=reason, max_rows=100)) == 100:
            total += count
        total += count
    click.echo(f"{total} jobs deleted")


@click.command("worker", short_help="Run jobs.")
@click.argument("handlers", metavar="MODULE:HANDLERS")
@click.option(
    "--types", multiple=True, metavar="TYPE", help="Only jobs of this type; repeatable. Default: all types in HANDLERS."
)
@click.option("--worker", metavar="NAME", help="The worker's name in the history. Default: host:process.")
@click.option("--lease-seconds", type=click.FloatRange(0.1, 86400), default=60.0, show_default=True, help="Seconds.")
@click.option(
    "--batch",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Number of jobs claimed at once, which run one after the other.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Number of handlers that run at once: plain functions on threads, async def functions on one event loop.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 86400),
    default=25.0,
    show_default=True,
    help="Seconds that running handlers may continue after SIGTERM.",
)
@click.option("--until-idle", is_flag=True, help="Exit when no job is due.")
@database_option
def worker_command(
    handlers: str,
    types: tuple[str, ...],
    worker: str | None,
    lease_seconds: float,
    batch: int,
    concurrency: int,
    grace: float,
    until_idle: bool,
    database: str,
) -> None:
    """Run jobs with handlers from a module: HANDLERS is a dictionary in it that maps job types to functions.

    After SIGTERM no job is claimed, and running handlers have --grace seconds to finish; then, or at a second SIGTERM, unfinished
    jobs are released. Ctrl-C releases them at once. docs/job-queue.md explains how to write a handler.
    """
    from datastore.worker import Worker

    known = _handlers(handlers)
    if unknown := sorted(set(types) - set(known)):
        raise click.BadParameter(f"no handler for {', '.join(unknown)}", param_hint="--types")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    with open_store(database) as store:
        chosen = {type: known[type] for type in types or known}
        count = Worker(
            store,
            chosen,
            worker=worker,
            lease_seconds=lease_seconds,
            batch=batch,
            concurrency=concurrency,
            grace=grace,
        ).run(until_idle=until_idle)
    click.echo(f"{count} jobs run")


def _handlers(text: str) -> Mapping[str, Any]:
    module, _, attribute = text.partition(":")
    if not module or not attribute:
        raise click.BadParameter("expected MODULE:HANDLERS, e.g. app.jobs:HANDLERS", param_hint="HANDLERS")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise click.BadParameter(f"{error}", param_hint="HANDLERS") from error
    except AttributeError as error:
        raise click.BadParameter(f"{module} has no {attribute}", param_hint="HANDLERS") from error
    if not isinstance(found, Mapping) or not found:
        raise click.BadParameter(f"{text} is not a dictionary that maps job types to functions", param_hint="HANDLERS")
    return found


def _running(job: Job) -> tuple[Any, ...]:
    progress = "" if job.progress is None else one_line(str(job.progress), 40)
    attempt = f"{job.attempts} of {job.max_attempts}"
    return job.id, job.type, job.worker or "", attempt, _time(job.started_at), _time(job.lease_expires_at), progress


def _quarantined(job: Job) -> tuple[Any, ...]:
    return job.id, job.type, job.attempts, _time(job.finished_at), _last_line(job.last_error)


def _listed(job: Job) -> tuple[Any, ...]:
    return job.id, job.type, job.status, job.priority, job.attempts, _time(job.run_at), _last_line(job.last_error)


def _last_line(error: str | None) -> str:
    """The last line of a traceback, which names the error."""
    return "" if not error or not error.strip() else one_line(error.strip().splitlines()[-1], 60)


def _lines(text: str) -> str:
    return "\n".join(
        f"  {one_line(line) if not line.startswith(' ') else '  ' + one_line(line)}" for line in text.splitlines()
    )


def _time(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}"
