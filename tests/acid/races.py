"""Calls that find a row or add it, or read it and then change it, made by several threads and processes at once.

A race is a few actions on the same rows. Each thread repeats one action; what an action may raise is said beside it,
and everything else that comes out of it is an anomaly.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import attrs

from datastore import Datastore, NewJob
from datastore.errors import BusyError, DatastoreError, ForeignKeyError, NotFoundError, TransitionError
from datastore.importing import import_file
from datastore.records import NewLearning
from tests.acid.report import Report


class Wrong(Exception):
    """What an action saw and should not: the class of the anomaly, and a line that says where."""


#: A store, a thread's own random numbers, the thread's number, what the race's preparation gave, what the thread keeps.
Act = Callable[[Datastore, Random, int, dict[str, Any], dict[str, Any]], object]


@attrs.frozen
class Action:
    """What a thread does over and over, and what it may raise."""

    act: Act
    may: tuple[type[DatastoreError], ...] = ()


@attrs.frozen
class Race:
    """Actions that meet; the threads share them out."""

    prepare: Callable[[Datastore], dict[str, Any]]
    actions: tuple[Action, ...]


def _refused(error: TransitionError, allowed: str) -> None:
    """A refusal names a status that the call does not start from: another one is no reason."""
    if not re.search(rf"\b({allowed})\b", str(error)):
        raise Wrong("wrong refusal", str(error)) from error


# --- jobs ------------------------------------------------------------------------------------------------------------

KEYS = [f"key-{number}" for number in range(12)]


def _enqueue(store: Datastore, chance: Random, *_: Any) -> None:
    key = chance.choice(KEYS[:3])
    if store.jobs.enqueue("keyed", dedupe_key=key).dedupe_key != key:
        raise Wrong("duplicate", "enqueue gave a job with another key")


def _enqueue_many(store: Datastore, chance: Random, *_: Any) -> None:
    keys = [chance.choice([*KEYS, None]) for _ in range(12)]
    jobs = store.jobs.enqueue_many(NewJob(type="keyed", dedupe_key=key) for key in keys)
    if [job.dedupe_key for job in jobs] != keys:
        raise Wrong("duplicate", "enqueue_many gave jobs with other keys")


def _work(store: Datastore, chance: Random, *_: Any) -> None:
    if job := store.jobs.claim(["keyed"], worker="w"):
        store.jobs.succeed(job)


def _work_batch(store: Datastore, chance: Random, *_: Any) -> None:
    jobs = store.jobs.claim_many(["keyed"], worker="w", max_rows=8)
    store.jobs.succeed_many(chance.sample(jobs, len(jobs)))


def _one_job(store: Datastore) -> dict[str, Any]:
    return {"job": store.jobs.enqueue("one", max_attempts=1000, backoff_seconds=0.0).id}


def _cancel(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    try:
        store.jobs.cancel(given["job"])
    except TransitionError as error:
        _refused(error, "cancelled|quarantined|succeeded")


def _retry(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    call, refused = chance.choice(
        [(store.jobs.retry, "running|succeeded"), (store.jobs.requeue, "queued|running|succeeded")]
    )
    try:
        call(given["job"])
    except TransitionError as error:
        _refused(error, refused)


def _work_on_one(store: Datastore, chance: Random, *_: Any) -> None:
    if job := store.jobs.claim(["one"], worker="w"):
        chance.choice([store.jobs.release, lambda job: store.jobs.fail(job, "no")])(job)


def _asked_to_stop(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    """A job that somebody cancelled is not tried again, whenever its worker says that the attempt has failed."""
    type = f"stop-{me}"
    id = store.jobs.enqueue(type, backoff_seconds=0.0).id
    job = store.jobs.claim([type], worker="w")
    assert job is not None
    if "other" not in kept:
        kept["other"] = ThreadPoolExecutor(1)
    cancelled = kept["other"].submit(store.jobs.cancel, id)
    store.jobs.fail(job, "no")
    cancelled.result()
    if (status := store.jobs.get(id).status) != "cancelled":
        raise Wrong("lost update", f"a job that was cancelled is {status}")


def _queued_again(store: Datastore, chance: Random, *_: Any) -> None:
    """A job that was queued again is live, and no purge takes it."""
    id = store.jobs.enqueue("again", delay=3600).id
    store.jobs.cancel(id)
    with store.transaction():
        store.jobs.requeue(id)
        time.sleep(0.002)  # a purge that sees what was before waits for this
    time.sleep(0.002)
    try:
        store.jobs.cancel(id)
    except NotFoundError as error:
        raise Wrong("lost job", "a queued job was purged") from error


def _purge_jobs(store: Datastore, *_: Any) -> None:
    store.jobs.prune(finished_before=datetime.now(timezone.utc) + timedelta(days=1))


# --- conversations, learnings, uploads, holds ------------------------------------------------------------------------


def _conversation(store: Datastore) -> dict[str, Any]:
    return {"conversation": store.conversations.add(sanitization_version="1").id}


def _place(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    if store.holds.place(given["conversation"], reason="r").released_at is not None:
        raise Wrong("stale read", "place gave a hold that was released")


def _release(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    store.holds.release(given["conversation"])


def _learning(store: Datastore) -> dict[str, Any]:
    id = _conversation(store)["conversation"]
    return {"learning": store.learnings.add(conversation_id=id, category="c", title="t", content="x").id}


def _plan_upload(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    upload = store.uploads.add(given["learning"], "wiki")
    try:
        store.uploads.start(upload.id)
    except TransitionError as error:
        _refused(error, "uploading")


def _release_upload(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    if upload := store.uploads.find(learning_id=given["learning"], destination="wiki"):
        try:
            store.uploads.release(upload.id)
        except TransitionError as error:
            _refused(error, "pending")


def _drop_upload(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    if upload := store.uploads.find(learning_id=given["learning"], destination="wiki"):
        store.uploads.delete(upload.id)


def _learn(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    key = chance.choice(KEYS[:2])
    learning = store.learnings.add(
        conversation_id=given["conversation"], category="c", title="t", content="x", dedupe_key=key
    )
    if learning.dedupe_key != key:
        raise Wrong("duplicate", "add gave another learning")


def _learn_many(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    keys = chance.sample(KEYS, 8)
    news = [
        NewLearning(conversation_id=given["conversation"], category="c", title="t", content="x", dedupe_key=key)
        for key in keys
    ]
    if [learning.dedupe_key for learning in store.learnings.add_many(news)] != keys:
        raise Wrong("duplicate", "add_many gave other learnings")


def _unlearn(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    found = store.learnings.find(conversation_id=given["conversation"], dedupe_key=chance.choice(KEYS))
    if found is not None:
        store.learnings.delete(found.id)


def _own_field(noun: str, fields: tuple[str, ...]) -> Act:
    def act(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
        """Each thread alone writes one field: nobody else's update may take its value back."""
        repository: Any = getattr(store, f"{noun}s")
        if me >= len(fields):
            repository.get(given[noun])
            return
        field = fields[me]
        before = kept.get("value")
        if before is not None and getattr(repository.get(given[noun]), field) != before:
            raise Wrong("lost update", f"{noun}.{field} was taken back by an update of another field")
        kept["value"] = value = {"n": chance.random()} if field == "metadata" else f"{given[noun]} {chance.random()}"
        repository.update(given[noun], **{field: value})

    return act


def _hide_and_purge(store: Datastore, chance: Random, me: int, *_: Any) -> None:
    ids = [store.conversations.add(sanitization_version="1").id for _ in range(3)]
    store.conversations.soft_delete_many(ids)
    store.conversations.purge_many(ids)


def _hold_hidden(store: Datastore, chance: Random, *_: Any) -> None:
    for conversation in store.conversations.list(deleted=True, max_rows=3).items:
        store.holds.place(conversation.id, reason="r")
        if store.conversations.find(conversation.id) is None:
            raise Wrong("lost rows", "a held conversation was purged")


def _delete_whole(store: Datastore, chance: Random, *_: Any) -> None:
    id = store.conversations.add(sanitization_version="1", source="whole").id
    for number in range(3):
        store.messages.append(id, role="user", content=f"{number}")
    store.conversations.delete(id)


def _delete_messages(store: Datastore, chance: Random, *_: Any) -> None:
    for conversation in store.conversations.list(source="whole", max_rows=3).items:
        for message in store.messages.list(conversation.id).items:
            store.messages.delete(message.id)


def _exports(store: Datastore) -> dict[str, Any]:
    """Two exports of one conversation, the second one taken later; and the conversation, imported once."""
    folder, paths = Path(tempfile.mkdtemp()), []
    for count in (2, 5):
        messages = [{"role": "user", "content": f"{number}"} for number in range(count)]
        line = {"id": f"imported-{folder.name}", "messages": messages}
        paths.append(folder / f"{count}.jsonl")
        paths[-1].write_text(json.dumps(line) + "\n", encoding="utf-8")
    return {"paths": [str(path) for path in paths], "conversation": line["id"]}


def _import(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    report = import_file(store, chance.choice(given["paths"]), sanitization_version="1")
    if report.differing or report.bad_lines:
        raise Wrong("wrong refusal", f"{report.differences} {[bad.reason for bad in report.bad]}")


def _delete_imported(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    time.sleep(0.01)
    store.conversations.delete(given["conversation"])


def _some(store: Datastore) -> dict[str, Any]:
    return {"ids": [_conversation(store)["conversation"] for _ in range(8)]}


def _hide_some(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    store.conversations.soft_delete_many(chance.sample(given["ids"], 6))


def _show_one(store: Datastore, chance: Random, me: int, given: dict[str, Any], kept: dict[str, Any]) -> None:
    store.conversations.restore(chance.choice(given["ids"]))


def _nothing(store: Datastore) -> dict[str, Any]:
    return {}


RACES = {
    "a key": Race(_nothing, (Action(_enqueue), Action(_work), Action(_enqueue), Action(_work))),
    "keys in any order": Race(
        _nothing, (Action(_enqueue_many), Action(_enqueue_many), Action(_work_batch), Action(_work_batch))
    ),
    "a job's status": Race(_one_job, (Action(_cancel), Action(_work_on_one), Action(_retry), Action(_work_on_one))),
    "asked to stop": Race(_nothing, (Action(_asked_to_stop),)),
    "a purge": Race(
        _nothing,
        (Action(_queued_again, (NotFoundError,)), Action(_purge_jobs), Action(_queued_again, (NotFoundError,))),
    ),
    "a hold": Race(_conversation, (Action(_place), Action(_release, (NotFoundError,)))),
    "an upload": Race(
        _learning,
        (
            Action(_plan_upload, (NotFoundError,)),
            Action(_release_upload, (NotFoundError,)),
            Action(_plan_upload, (NotFoundError,)),
            Action(_drop_upload, (NotFoundError,)),
        ),
    ),
    "a learning": Race(
        _conversation,
        (Action(_learn), Action(_unlearn, (NotFoundError,)), Action(_learn_many), Action(_learn_many)),
    ),
    "fields of a conversation": Race(
        _conversation, (Action(_own_field("conversation", ("title", "session_id", "metadata", "correlation_id"))),)
    ),
    "fields of a learning": Race(_learning, (Action(_own_field("learning", ("title", "category", "metadata", "content"))),)),
    "a hidden conversation": Race(_nothing, (Action(_hide_and_purge), Action(_hold_hidden, (ForeignKeyError,)))),
    "messages of a deleted conversation": Race(
        _nothing, (Action(_delete_whole), Action(_delete_messages, (NotFoundError,)))
    ),
    "an import": Race(_exports, (Action(_import), Action(_import), Action(_import), Action(_delete_imported, (NotFoundError,)))),
    "many hidden": Race(_some, (Action(_hide_some), Action(_show_one, (NotFoundError,)))),
}  # fmt: skip

#: Threads of a process.
THREADS = 4


def play(
    database: str, names: list[str], seconds: float, seed: int, first: int, given: list[Any], start: Any, out: Any
) -> None:
    """One process's part: each race for *seconds*, its threads numbered from *first*; a report goes to *out*."""
    report = Report()
    with Datastore.open(database, durability="relaxed", timeout=20) as store:
        for name, prepared in zip(names, given, strict=True):
            start()
            _play_one(store, name, prepared, seconds, seed, first, report)
    out(report.as_json())


def _play_one(
    store: Datastore, name: str, given: dict[str, Any], seconds: float, seed: int, first: int, report: Report
) -> None:
    race, until = RACES[name], time.monotonic() + seconds

    def repeat(me: int) -> None:
        action, chance, kept = race.actions[me % len(race.actions)], Random(f"{seed} {me}"), dict[str, Any]()
        where = f"{name}, {getattr(action.act, '__name__', '?').strip('_')}"
        while time.monotonic() < until:
            try:
                action.act(store, chance, me, given, kept)
            except action.may:
                report.counts["refused rightly"] += 1
            except Wrong as wrong:
                report.found(wrong.args[0], f"{where}: {wrong.args[1]}")
            except BusyError as error:
                report.found("deadlock", f"{where}: {type(error).__name__}: {error}")
            except DatastoreError as error:
                report.found("wrong refusal", f"{where}: {type(error).__name__}: {error}")
            except Exception as error:
                report.found("untyped error", f"{where}: {type(error).__name__}: {error}")
            else:
                report.counts["done"] += 1
        if "other" in kept:
            kept["other"].shutdown()

    threads = [threading.Thread(target=repeat, args=(first + number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def races(*, seed: int, database: str, seconds: float, processes: int, names: list[str] | None = None) -> Report:
    """Play some races, all of them where none is named, each for *seconds*; by the threads of so many processes."""
    chosen = names or list(RACES)
    with Datastore.open(database, durability="relaxed") as store:
        given = [RACES[name].prepare(store) for name in chosen]
    total = Report()

    def add(report: dict[str, Any]) -> None:
        part = Report.from_json(report)
        total.extend(part.anomalies)
        total.counts.update(part.counts)

    if processes == 1:
        play(database, chosen, seconds, seed, 0, given, lambda: None, add)
        return total
    context = multiprocessing.get_context("spawn")
    together, reports = context.Barrier(processes), context.Queue()
    running = [
        context.Process(
            target=_child, args=(database, chosen, seconds, seed, number * THREADS, given, together, reports)
        )
        for number in range(processes)
    ]
    for process in running:
        process.start()
    for _ in running:
        add(reports.get(timeout=60 + 5 * seconds * len(chosen)))
    for process in running:
        process.join()
    return total


def _child(
    database: str, names: list[str], seconds: float, seed: int, first: int, given: Any, start: Any, out: Any
) -> None:
    play(database, names, seconds, seed, first, given, lambda: start.wait(120), out.put)
