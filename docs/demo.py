"""``make demo``: a new database, the sample conversations in it, a search, jobs with a retry, an upload."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from datastore import Datastore, Task, Worker, import_file
from datastore.resources import migrations_folder, sample_folder

DATABASE = Path("demo.db").absolute()


def main() -> None:
    """All steps, in order."""
    migrate()
    with Datastore.open(DATABASE, actor="demo") as store:
        load(store)
        search(store)
        run_jobs(store)
        upload(store)
        summary(store)


def heading(text: str) -> None:
    """A line that tells what follows."""
    print(f"\n{text}\n{'-' * len(text)}")


def migrate() -> None:
    """A new database, by yoyo as on the command line."""
    heading("1. A new database")
    for end in ("", "-wal", "-shm", "-journal", ".gate"):
        Path(f"{DATABASE}{end}").unlink(missing_ok=True)
    url = f"sqlite+datastore:///{DATABASE}"
    command = ["yoyo", "apply", "--no-config-file", "--batch", "--database", url, str(migrations_folder())]
    print(f"$ {' '.join(command)}", flush=True)
    subprocess.run([sys.executable, "-m", *command], check=True)
    print(
        "Applied: "
        + ", ".join(path.stem for path in sorted(migrations_folder().glob("*.sql")) if path.stem.count(".") == 1)
    )


def load(store: Datastore) -> None:
    """The sample files, in batches of one transaction each."""
    heading("2. Conversations and learnings")
    for name in ("conversations.jsonl", "learnings.jsonl"):
        report = import_file(store, sample_folder() / name, sanitization_version="sample-1")
        print(
            f"{name}: {report.conversations} conversations, {report.messages} messages,"
            f" {report.learnings} learnings, {report.bad_lines} bad lines"
        )


def search(store: Datastore) -> None:
    """Two searches: by words, and by words, tag and confidence."""
    heading("3. Search")
    print('store.learnings.search("index date filter", max_rows=3)')
    for hit in store.learnings.search("index date filter", max_rows=3):
        print(f"  {hit.score:6.2f}  {hit.learning.category:<12}  {hit.learning.title}")
    print('\nstore.learnings.search("index plan", tags_any=["sqlite", "performance"], min_confidence=0.8, max_rows=3)')
    for hit in store.learnings.search("index plan", tags_any=["sqlite", "performance"], min_confidence=0.8, max_rows=3):
        print(f"  {hit.score:6.2f}  {hit.learning.confidence:<12}  {hit.learning.title}")


def run_jobs(store: Datastore) -> None:
    """Jobs that are there exactly if the change is there that they belong to; one fails once."""
    heading("4. Jobs")
    with store.transaction():
        conversation = store.conversations.add(
            sanitization_version="sample-1", source="demo", title="Written by the demo"
        )
        store.messages.append(conversation.id, role="user", content="How do I keep a queue in SQLite?")
        store.messages.append(conversation.id, role="assistant", content="As a table, with leases.")
        for kind in ("summarize", "extract", "index"):
            store.jobs.enqueue(kind, {"conversation_id": conversation.id}, backoff_seconds=0.5)
    print("Stored a conversation, two messages and three jobs in one transaction.")
    worker = Worker(
        store, dict.fromkeys(("summarize", "extract", "index"), work), worker="demo-worker", lease_seconds=30
    )
    while live(store):
        worker.run(until_idle=True)
        store.jobs.wait(worker.handlers, timeout=1)
    for count in store.jobs.counts():
        print(f"  {count.type:<10} {count.status}: {count.count}")


def live(store: Datastore) -> bool:
    """Whether a job is queued or running."""
    return any(count.status in ("queued", "running") for count in store.jobs.counts())


def work(task: Task) -> dict[str, int]:
    """A handler; the first attempt to extract meets a service that is down."""
    job, what = task.job, f"  job {task.job.id} {task.job.type:<10} attempt {task.job.attempts}:"
    if job.type == "extract" and job.attempts == 1:
        print(f"{what} raises ConnectionError; again in about {job.backoff_seconds} s")
        raise ConnectionError("the model did not answer")
    result = {"messages": task.store.messages.count(task.payload["conversation_id"])}
    print(f"{what} returns {result}")
    return result


def upload(store: Datastore) -> None:
    """One upload through its statuses."""
    heading("5. An upload")
    learning = store.learnings.search(max_rows=1)[0].learning
    upload = store.uploads.add(learning.id, "team-wiki")
    steps = [upload.status]
    steps.append(store.uploads.start(upload.id).status)
    steps.append(store.uploads.fail(upload.id, "503 Service Unavailable").status)
    steps.append(store.uploads.retry(upload.id).status)
    steps.append(store.uploads.start(upload.id).status)
    steps.append(store.uploads.finish(upload.id, remote_id="wiki-4711", receipt={"version": 1}).status)
    steps.append(store.uploads.confirm(upload.id).status)
    print(f"{learning.title!r} to team-wiki:")
    print(f"  {' -> '.join(steps)}, {store.uploads.get(upload.id).attempts} attempts")


def summary(store: Datastore) -> None:
    """What is there now, and how to go on."""
    heading("Done")
    print(
        f"{store.conversations.count()} conversations, {store.messages.count()} messages,"
        f" {store.learnings.count()} learnings in {DATABASE}"
    )
    command = Path(sys.executable).with_name("datastore")
    shown = command if command.exists() else f"{sys.executable} -m datastore.cli"
    print("\nGo on with:")
    print("  sqlite3 demo.db 'SELECT category, count(*) FROM learnings GROUP BY category ORDER BY 2 DESC'")
    print(f"  {shown} search explain plan --database demo.db")
    print(f"  {shown} show sample-001 --database demo.db")
    print("  uvx datasette demo.db        (or: pip install datasette; datasette demo.db)")


if __name__ == "__main__":
    main()
