"""search, reindex."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from datastore.cli.options import instant
from datastore.cli.output import clean, console, database_option, json_option, one_line, open_store, print_json

if TYPE_CHECKING:
    from datastore.records import Facets, LearningHit, MessageHit, SearchPage

#: Characters that cleaned text cannot contain; they are replaced by colours, or removed.
_MARKS = ("\x0e", "\x0f")


@click.command("search", short_help="Find learnings, or messages.")
@click.argument("text", nargs=-1)
@click.option("--messages", is_flag=True, help="Search messages instead of learnings.")
@click.option("--category", metavar="NAME", help="For learnings: only in this category.")
@click.option(
    "--tags-any", multiple=True, metavar="TAG", help="For learnings: only with at least one of these tags; repeatable."
)
@click.option(
    "--tags-all", multiple=True, metavar="TAG", help="For learnings: only with all of these tags; repeatable."
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    metavar="0..1",
    help="For learnings: minimum confidence.",
)
@click.option("--conversation-id", metavar="ID", help="Only from this conversation.")
@click.option("--session-id", metavar="ID", help="Only from conversations of this session.")
@click.option(
    "--role", type=click.Choice(["user", "assistant", "system", "tool"]), help="For messages: only with this role."
)
@click.option("--source", metavar="NAME", help="Only from conversations with this source.")
@click.option(
    "--created-from",
    type=instant,
    metavar="TIME",
    help="Only from this time on: a day (UTC), a time with a zone, or 14d.",
)
@click.option("--created-before", type=instant, metavar="TIME", help="Only before this time.")
@click.option(
    "--match",
    type=click.Choice(["any", "all"]),
    default="any",
    show_default=True,
    help="Whether any word must match, or every word.",
)
@click.option(
    "--sort",
    type=click.Choice(["relevance", "recent"]),
    default="relevance",
    show_default=True,
    help="Best match first, or most recently stored first.",
)
@click.option("--facets", is_flag=True, help="For learnings: also count the matches by category and tag.")
@click.option(
    "--max-rows", type=click.IntRange(1, 1000), default=20, show_default=True, help="Maximum number of results."
)
@click.option("--after", metavar="CURSOR", help='Cursor from the previous page: its "next" (see --json).')
@json_option
@database_option
def search_command(
    text: tuple[str, ...],
    messages: bool,
    category: str | None,
    tags_any: tuple[str, ...],
    tags_all: tuple[str, ...],
    min_confidence: float,
    conversation_id: str | None,
    session_id: str | None,
    role: Any,
    source: str | None,
    created_from: datetime | None,
    created_before: datetime | None,
    match: Any,
    sort: Any,
    facets: bool,
    max_rows: int,
    after: str | None,
    as_json: bool,
    database: str,
) -> None:
    """Find learnings (or messages) by words and filters, best first; learnings without words, most recently stored first.

    TEXT may contain words, "quoted phrases", and prefixes that end in a star. A minus before a word excludes it; in
    that case, put -- before the text.
    """
    _refuse_mixed(
        messages,
        {
            "--category": category,
            "--tags-any": tags_any,
            "--tags-all": tags_all,
            "--min-confidence": min_confidence,
            "--facets": facets,
        },
        {"--role": role},
    )
    shared: dict[str, Any] = {
        "conversation_id": conversation_id,
        "session_id": session_id,
        "source": source,
        "created_from": created_from,
        "created_before": created_before,
        "match": match,
    }
    shown: dict[str, Any] = {
        "sort": sort,
        "max_rows": max_rows,
        "after": after,
        "marks": ("**", "**") if as_json else _MARKS,
    }
    query = " ".join(text)
    counts: Facets | None = None
    page: SearchPage[Any]
    with open_store(database, reading=True) as store:
        if messages:
            page = store.messages.search(query, role=role, **shared, **shown)
        else:
            filters: dict[str, Any] = {
                "category": category,
                "tags_any": tags_any,
                "tags_all": tags_all,
                "min_confidence": min_confidence,
                **shared,
            }
            page = store.learnings.search(query, **filters, **shown)
            counts = store.learnings.facets(query, **filters) if facets else None
    if as_json:
        print_json(
            {
                "hits": [_hit(hit) for hit in page],
                "next": page.next,
                "exact": page.exact,
                "did_you_mean": page.did_you_mean,
                "excluded": page.excluded,
            }
            | ({} if counts is None else {"facets": counts})
        )
        return
    _print_page(page, counts)


def _hit(hit: Any) -> dict[str, Any]:
    names = ("learning", "message", "score", "title", "snippet", "terms")
    return {name: getattr(hit, name) for name in names if hasattr(hit, name)}


def _refuse_mixed(messages: bool, of_learnings: dict[str, Any], of_messages: dict[str, Any]) -> None:
    for option, value in (of_learnings if messages else of_messages).items():
        if value:
            raise click.UsageError(f"{option} is for {'learnings' if messages else 'messages, with --messages'}")


def _print_page(page: SearchPage[Any], counts: Facets | None) -> None:
    terminal = sys.stdout.isatty()
    for hit in page.items:
        line = _learning_lines(hit, terminal) if hasattr(hit, "learning") else _message_lines(hit, terminal)
        for part in line:
            click.echo(part)
    if counts is not None:
        for name, pairs in (("category", counts.categories), ("tag", counts.tags)):
            for value, count in pairs:
                click.echo(f"{name}  {one_line(value)}  {count}")
        if not counts.exact:
            click.echo(f"only the first {counts.counted} matches were counted", err=True)
    if not page.items:
        click.echo("nothing found", err=True)
        if page.did_you_mean:
            click.echo(f"did you mean: {one_line(page.did_you_mean)}", err=True)
    elif not page.exact:
        click.echo("the words are common: only the most promising matches were ranked", err=True)


def _marked(text: str, terminal: bool) -> str:
    """A text on one line, with its matches in colour on a terminal."""
    # The marks are control characters: all other control characters are replaced by blanks first, then the marks.
    parts = text.split(_MARKS[0])
    line = clean(parts[0])
    for part in parts[1:]:
        match, _, rest = part.partition(_MARKS[1])
        line += click.style(clean(match), fg="yellow", bold=True) if terminal else clean(match)
        line += clean(rest)
    return " ".join(line.split())


def _learning_lines(hit: LearningHit, terminal: bool) -> list[str]:
    learning = hit.learning
    if not terminal:
        return [
            f"{one_line(learning.id)}  {hit.score:.3f}  {learning.confidence:.2f}"
            f"  {one_line(learning.category)}  {_marked(hit.title, terminal)}"
        ]
    tail = f"  #{' #'.join(map(one_line, learning.tags))}" if learning.tags else ""
    return [
        _marked(hit.title, terminal),
        f"  {_marked(hit.snippet, terminal)}",
        click.style(
            f"  {one_line(learning.category)}  {learning.confidence:.2f}{tail}  {one_line(learning.id)}", dim=True
        ),
    ]


def _message_lines(hit: MessageHit, terminal: bool) -> list[str]:
    message = hit.message
    where = f"{one_line(message.conversation_id)}  {message.position}  {message.role}"
    if not terminal:
        return [f"{where}  {hit.score:.3f}  {_marked(hit.snippet, terminal)}"]
    return [_marked(hit.snippet, terminal), click.style(f"  {where}  {message.created_at:%Y-%m-%d}", dim=True)]


@click.command("reindex", short_help="Rebuild full-text indexes, tags and counts.")
@click.option(
    "--language", metavar="NAME", help="Change the language of the full-text indexes, for example to english or german."
)
@database_option
def reindex_command(language: str | None, database: str) -> None:
    """Rebuild derived data in one transaction: full-text indexes, the tag index, counts of messages and jobs.

    Needed if `datastore verify` reports a difference, if another program wrote rows (search does not find them until
    then), or to change the language. It also makes the full-text indexes as small and fast as possible.
    """
    with open_store(database) as store, _progress() as report:
        store.reindex(report, language=language)
    click.echo("reindexed")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    if not sys.stderr.isatty():
        last: dict[str, int] = {}

        def say(name: str, done: int, total: int) -> None:
            # One line per 10 %: enough for a log file.
            if done == total or done * 10 // total > last.get(name, 0):
                last[name] = done * 10 // total
                click.echo(f"{name}: {done} of {total}", err=True)

        yield say
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield show
