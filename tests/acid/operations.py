"""The steps of the state machine: each does one thing to the store and the same to the model, and compares.

Every function takes the machine (store, model, clock, a counter for names, the leases that workers hold) and hypothesis'
``data`` to choose with. Where there is nothing to choose from, it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from datastore import NewMessage
from datastore.errors import CheckError, LeaseLostError, NotFoundError, UniqueError
from tests.acid.model import ModelJob

WORDS = ("alpha", "beta", "gamma", "delta")

LEASE = 60.0


class Mismatch(AssertionError):
    """The store did something else than the model."""

    def __init__(self, detail: str, anomaly: str = "model mismatch") -> None:
        super().__init__(detail)
        self.anomaly = anomaly


def expect(holds: bool, detail: str, anomaly: str = "model mismatch") -> None:
    """An assertion that names its anomaly."""
    if not holds:
        raise Mismatch(detail, anomaly)


def refused(kind: type[Exception], call: Callable[[], object]) -> None:
    """*call* must raise *kind* and change nothing."""
    try:
        call()
    except kind:
        return
    raise Mismatch(f"no {kind.__name__}", "lost job" if kind is LeaseLostError else "model mismatch")


def pick(data: Any, choices: Sequence[Any]) -> Any:
    """One of them, or None where there are none."""
    return data.draw(st.sampled_from(choices)) if choices else None


def add_conversation(m: Any, data: Any) -> None:
    id = m.name("c")
    m.store.conversations.add(id=id, title=id, sanitization_version="1")
    m.model.conversations[id] = {"title": id, "hidden": None, "last": 0}


def append(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is not None:
        messages = [NewMessage(role="user", content=f"text {n}", id=m.name("m")) for n in range(pick(data, (1, 1, 3)))]
        if len(messages) == 1:
            m.store.messages.append(conversation, role="user", content="text 0", id=messages[0].id)
        else:
            m.store.messages.append_many(conversation, messages)
        for message in messages:
            m.model.append(conversation, message.id, message.content)


def append_nowhere(m: Any, data: Any) -> None:
    where = pick(data, [*m.model.hidden(), "nowhere"])
    refused(NotFoundError, lambda: m.store.messages.append(where, role="user", content="x"))


def refuse_values(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown())) is not None:
        refused(UniqueError, lambda: m.store.conversations.add(id=id, sanitization_version="1"))
        many = [NewMessage(role="user", content="kept?"), NewMessage(role="nobody", content="x")]  # type: ignore[arg-type]
        refused(CheckError, lambda: m.store.messages.append_many(id, many))


def redact_message(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.messages))) is not None:
        m.store.messages.redact(id, content="redacted")
        m.model.messages[id] = (*m.model.messages[id][:2], "redacted")
        m.model.audit.append(("redact", "message", id))


def delete_message(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.messages))) is not None:
        m.store.messages.delete(id)
        m.model.delete_message(id)


def add_learning(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is None:
        return
    id, word, key = m.name("l"), pick(data, WORDS), f"key {pick(data, range(4))}"
    sources = sorted(key for key, row in m.model.messages.items() if row[0] == conversation)[:2]
    tags = sorted({pick(data, ("red", "green")), pick(data, ("red", "blue"))})
    record = m.store.learnings.add(
        id=id,
        conversation_id=conversation,
        category="c",
        title=id,
        content=f"about {word}",
        tags=tags,
        dedupe_key=key,
        message_ids=sources,
    )
    same = [old for old, row in m.model.learnings.items() if (row["conversation"], row["key"]) == (conversation, key)]
    expect(record.id == (same or [id])[0], f"add_learning gave {record.id}")
    if not same:
        m.model.learnings[id] = {
            "conversation": conversation,
            "title": id,
            "content": f"about {word}",
            "tags": tags,
            "key": key,
        }
        m.model.sources |= {(id, source) for source in sources}


def update_learning(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown_learnings())) is not None:
        content, tags = f"now {pick(data, WORDS)}", [pick(data, ("red", "blue"))]
        m.store.learnings.update(id, content=content, tags=tags)
        m.model.learnings[id] |= {"content": content, "tags": tags}


def delete_learning(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown_learnings())) is not None:
        m.store.learnings.delete(id)
        m.model.delete_learning(id)


def hide(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown())) is not None:
        m.store.conversations.soft_delete(id)
        m.model.conversations[id]["hidden"] = m.now()
        m.model.audit.append(("soft_delete", "conversation", id))


def restore(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.hidden())) is not None:
        m.store.conversations.restore(id)
        m.model.conversations[id]["hidden"] = None
        m.model.audit.append(("restore", "conversation", id))


def delete_conversation(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.conversations))) is not None:
        m.store.conversations.delete(id)
        m.model.delete_conversation(id, "delete")


def purge(m: Any, data: Any) -> None:
    before = m.now() - timedelta(seconds=pick(data, (0, 50)))
    count = m.store.conversations.purge(deleted_before=before)
    expect(count == m.model.purge(before), f"purge took {count}")


def enqueue(m: Any, data: Any) -> None:
    priority, delay, most = pick(data, (0, 0, 5)), pick(data, (0, 0, 100)), pick(data, (1, 3))
    job = m.store.jobs.enqueue("work", priority=priority, delay=delay, max_attempts=most)
    m.model.jobs[job.id] = ModelJob("work", priority, m.now() + timedelta(seconds=delay), most)


def claim(m: Any, data: Any) -> None:
    job = m.store.jobs.claim(["work"], worker="w", lease_seconds=LEASE)
    for id in m.model.expired(m.now()):
        m.model.end_attempt(id, m.store.jobs.get(id).run_at)
    wanted = m.model.next_job(m.now())
    expect((job and job.id) == wanted, f"claim gave {job and job.id}, not {wanted}", "lost job")
    if job is not None:
        m.model.claim(job.id, m.now(), LEASE)
        m.leases.append(job)


def end_job(m: Any, data: Any) -> None:
    if (job := pick(data, m.leases)) is None:
        return
    ending = pick(data, ("succeed", "fail", "release", "heartbeat"))
    jobs = m.store.jobs
    call = {
        "succeed": lambda: jobs.succeed(job),
        "fail": lambda: jobs.fail(job, "no"),
        "release": lambda: jobs.release(job),
        "heartbeat": lambda: jobs.heartbeat(job, lease_seconds=LEASE),
    }[ending]
    if not m.model.holds(job.id, job.lease_token, m.now()):
        refused(LeaseLostError, call)
        return
    after, row = call(), m.model.jobs[job.id]
    if ending == "heartbeat":
        row.lease_until = m.now() + timedelta(seconds=LEASE)
    elif ending == "fail":
        m.model.end_attempt(job.id, after.run_at)
    else:
        row.status, row.lease_until = ("succeeded" if ending == "succeed" else "queued"), None
        row.attempts -= ending == "release"


def end_job_late(m: Any, data: Any) -> None:
    m.pass_time(LEASE + 1)
    end_job(m, data)


def add_upload(m: Any, data: Any) -> None:
    if (learning := pick(data, m.model.shown_learnings())) is not None:
        id, destination = m.name("u"), pick(data, ("here", "there"))
        known = [
            key
            for key, row in m.model.uploads.items()
            if (row["learning"], row["destination"]) == (learning, destination)
        ]
        record = m.store.uploads.add(learning, destination, id=id)
        expect(record.id == (known or [id])[0], f"add_upload gave {record.id}")
        if not known:
            m.model.uploads[id] = {
                "learning": learning,
                "destination": destination,
                "status": "pending",
                "attempts": 0,
            }


def move_upload(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.uploads))) is None:
        return
    row, uploads = m.model.uploads[id], m.store.uploads
    if row["status"] in ("pending", "failed"):
        uploads.start(id)
        row["status"], row["attempts"] = "uploading", row["attempts"] + 1
    elif row["status"] == "uploading":
        if pick(data, (True, False)):
            uploads.finish(id, remote_id="r")
            row["status"] = "uploaded"
        else:
            uploads.fail(id, "no")
            row["status"] = "failed"
    elif row["status"] == "uploaded":
        uploads.confirm(id)
        row["status"] = "confirmed"


def pass_time(m: Any, data: Any) -> None:
    m.pass_time(pick(data, (1, 40, 100)))


OPERATIONS = (
    add_conversation, add_conversation, append, append, append_nowhere, refuse_values, redact_message, delete_message,
    add_learning, add_learning, add_learning, update_learning, delete_learning, hide, restore, delete_conversation, purge,
    enqueue, enqueue, claim, claim, end_job, end_job, end_job_late, add_upload, move_upload, move_upload, pass_time,
)  # fmt: skip
