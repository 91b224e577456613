"""The steps of the state machine: each does one thing to the store and the same to the model, and compares.

Every function takes the machine (store, model, clock, a counter for names, the leases that workers hold) and hypothesis'
``data`` to choose with. Where there is nothing to choose from, it does nothing.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import attrs

from datastore import Learning, NewLearning, NewMessage
from datastore.errors import CheckError, InvalidValueError, NotFoundError, TransitionError, UniqueError
from tests.acid.job_operations import JOB_BEGINNING, JOB_OPERATIONS
from tests.acid.retention_operations import BRIEF, RETENTION_OPERATIONS
from tests.acid.steps import expect, kept, pick, refused

#: What texts are about; search is asked for each.
WORDS = ("alpha", "beta", "gamma", "delta")

#: Where conversations come from; of the first, a policy keeps none for long.
SOURCES = (BRIEF, "chat")


def add_conversation(m: Any, data: Any) -> None:
    id, source = m.name("c"), pick(data, SOURCES)
    m.store.conversations.add(id=id, title=id, source=source, sanitization_version="1")
    m.model.conversations[id] = {"title": id, "source": source, "hidden": None, "last": 0, "active": 0, "number": 0}


def change_conversation(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown())) is not None:
        title = f"{id} of {pick(data, WORDS)}"
        if not kept(m, id, lambda: m.store.conversations.update(id, title=title)):
            m.store.conversations.update(id, title=title)
            m.model.conversations[id]["title"] = title


def append(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is not None:
        count = pick(data, (1, 1, 3))
        messages = [NewMessage(role="user", content=f"said {pick(data, WORDS)}", id=m.name("m")) for _ in range(count)]
        if count == 1:
            m.store.messages.append(conversation, role="user", content=messages[0].content, id=messages[0].id)
        else:
            m.store.messages.append_many(conversation, messages)
        for message in messages:
            m.model.append(conversation, message.id, message.content)


def append_to_branch(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is not None:
        branch = pick(data, m.model.numbers(conversation))
        messages = [NewMessage(role="user", content=f"said {pick(data, WORDS)}", id=m.name("m"))]
        m.store.messages.append_many(conversation, messages, branch=branch)
        m.model.append(conversation, messages[0].id, messages[0].content, branch)


def fork(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is not None:
        branch, switch = pick(data, m.model.numbers(conversation)), pick(data, (True, False))
        last = m.model.last(conversation, branch)
        refused(InvalidValueError, lambda: m.store.branches.fork(conversation, position=last + 1, branch=branch))
        position = pick(data, range(last + 1))
        made = m.store.branches.fork(conversation, position=position, branch=branch, switch=switch)
        expect(made.branch == m.model.fork(conversation, position, branch), f"the fork is branch {made.branch}")
        if switch:
            m.model.conversations[conversation]["active"] = made.branch


def switch(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is not None:
        branch = pick(data, m.model.numbers(conversation))
        m.store.branches.switch(conversation, branch)
        m.model.conversations[conversation]["active"] = branch


def delete_branch(m: Any, data: Any) -> None:
    if (conversation := pick(data, sorted({id for id, _ in m.model.branches}))) is None:
        return
    branch = pick(data, m.model.numbers(conversation)[1:])
    forks = any(id == conversation and row[0] == branch for (id, _), row in m.model.branches.items())
    if forks or m.model.conversations[conversation]["active"] == branch:
        refused(TransitionError, lambda: m.store.branches.delete(conversation, branch))
    elif not kept(m, conversation, lambda: m.store.branches.delete(conversation, branch)):
        gone = m.store.branches.delete(conversation, branch)
        expect(gone == m.model.delete_branch(conversation, branch), f"{gone} messages went with the branch")


def read_branch(m: Any, data: Any) -> None:
    if (conversation := pick(data, sorted(m.model.conversations))) is not None:
        branch = pick(data, m.model.numbers(conversation))
        wanted = m.model.path(conversation, branch)
        found = [message.id for message in m.store.messages.iterate(conversation, branch=branch)]
        expect(found == wanted, f"branch {branch} reads {found}, not {wanted}")
        backwards = m.store.messages.list(conversation, branch=branch, last=True, max_rows=2)
        expect([message.id for message in backwards] == wanted[-2:], "its last page is another")
        expect(m.store.messages.count(conversation, branch=branch) == len(wanted), "it is counted otherwise")


def begin_message(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is not None:
        id, content = m.name("m"), f"saying {pick(data, WORDS)}"
        m.store.messages.begin(conversation, id=id, content=content)
        m.model.append(conversation, id, content)
        m.model.partial.add(id)


def extend_message(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.partial))) is not None:
        piece = f" and {pick(data, WORDS)}"
        m.store.messages.extend(id, piece)
        conversation, position, content, branch = m.model.messages[id]
        m.model.messages[id] = (conversation, position, content + piece, branch)


def finish_message(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.partial))) is not None:
        m.store.messages.finish(id)
        m.model.partial.discard(id)
        refused(NotFoundError, lambda: m.store.messages.extend(id, "more"))


def append_nowhere(m: Any, data: Any) -> None:
    where = pick(data, [*m.model.hidden(), "nowhere"])
    refused(NotFoundError, lambda: m.store.messages.append(where, role="user", content="x"))


def refuse_values(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown())) is not None:
        refused(UniqueError, lambda: m.store.conversations.add(id=id, sanitization_version="1"))
        many = [NewMessage(role="user", content="kept?"), NewMessage(role="nobody", content="x")]  # type: ignore[arg-type]
        refused(CheckError, lambda: m.store.messages.append_many(id, many))


def redact_message(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.messages.keys() - m.model.partial))) is not None:
        (conversation, position, _, branch), content = m.model.messages[id], f"redacted {pick(data, WORDS)}"
        merge = pick(data, (False, False, True))
        if kept(m, conversation, lambda: m.store.messages.redact(id, content=content, merge=merge)):
            return
        m.store.messages.redact(id, content=content, merge=merge)
        m.model.messages[id] = (conversation, position, content, branch)
        m.model.audit.append(("redact", "message", id))


def delete_message(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.messages))) is None:
        return
    if not kept(m, m.model.messages[id][0], lambda: m.store.messages.delete(id)):
        m.store.messages.delete(id)
        m.model.delete_message(id)


def add_learning(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is None:
        return
    sources = sorted(key for key, row in m.model.messages.items() if row[0] == conversation)[:2]
    tags = sorted({pick(data, ("red", "green")), pick(data, ("red", "blue"))})
    new = _learning(m, data, conversation, tags=tags, message_ids=sources)
    _learned(m, m.store.learnings.add(**attrs.asdict(new)), new)


def add_learnings(m: Any, data: Any) -> None:
    if (conversation := pick(data, m.model.shown())) is None:
        return
    new = [_learning(m, data, conversation, tags=[pick(data, ("red", "green"))]) for _ in range(pick(data, (2, 3)))]
    records = m.store.learnings.add_many(new)
    for record, learning in zip(records, new, strict=True):
        _learned(m, record, learning)


def _learning(m: Any, data: Any, conversation: str, **given: Any) -> NewLearning:
    id, word = m.name("l"), pick(data, WORDS)
    return NewLearning(
        conversation_id=conversation,
        category="c",
        title=id,
        content=f"about {word}",
        dedupe_key=f"key {pick(data, range(4))}",
        id=id,
        **given,
    )


def _learned(m: Any, stored: Learning, new: NewLearning) -> None:
    same = [
        old
        for old, row in m.model.learnings.items()
        if (row["conversation"], row["key"]) == (new.conversation_id, new.dedupe_key)
    ]
    expect(stored.id == (same or [new.id])[0], f"adding {new.id} gave {stored.id}", "duplicate")
    if not same:
        m.model.learnings[new.id] = {
            "conversation": new.conversation_id,
            "title": new.title,
            "content": new.content,
            "tags": list(new.tags),
            "key": new.dedupe_key,
        }
        m.model.sources |= {(new.id, source) for source in new.message_ids}


def update_learning(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown_learnings())) is not None:
        content, tags, row = f"now {pick(data, WORDS)}", [pick(data, ("red", "blue"))], m.model.learnings[id]
        call = functools.partial(m.store.learnings.update, id, content=content, tags=tags)
        if not kept(m, row["conversation"], call):
            call()
            row |= {"content": content, "tags": tags}


def delete_learning(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown_learnings())) is None:
        return
    if not kept(m, m.model.learnings[id]["conversation"], lambda: m.store.learnings.delete(id)):
        m.store.learnings.delete(id)
        m.model.delete_learning(id)


def hide(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.shown())) is not None:
        m.store.conversations.soft_delete(id)
        m.model.hide(id, m.now())


def restore(m: Any, data: Any) -> None:
    if (id := pick(data, m.model.hidden())) is not None:
        m.store.conversations.restore(id)
        m.model.conversations[id]["hidden"] = None
        m.model.audit.append(("restore", "conversation", id))


def delete_conversation(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.conversations))) is None:
        return
    if not kept(m, id, lambda: m.store.conversations.delete(id)):
        m.store.conversations.delete(id)
        m.model.delete_conversation(id, "delete")


def purge(m: Any, data: Any) -> None:
    before = m.now() - timedelta(seconds=pick(data, (0, 50)))
    count = m.store.conversations.purge(deleted_before=before)
    expect(count == m.model.purge(before), f"purge took {count}")


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


#: An upload's call, from which statuses it leads where.
MOVES: dict[str, tuple[tuple[str, ...], str]] = {
    "start": (("pending", "failed"), "uploading"),
    "finish": (("uploading",), "uploaded"),
    "confirm": (("uploaded",), "confirmed"),
    "fail": (("uploading", "uploaded"), "failed"),
    "retry": (("failed",), "pending"),
    "release": (("uploading",), "pending"),
}


def move_upload(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.uploads))) is None:
        return
    row, uploads, move = m.model.uploads[id], m.store.uploads, pick(data, tuple(MOVES))
    given = {"finish": {"remote_id": "r"}, "fail": {"error": "no"}}.get(move, {})
    call, (sources, target) = getattr(uploads, move), MOVES[move]
    if row["status"] not in sources:
        refused(TransitionError, lambda: call(id, **given))
        return
    if not kept(m, m.model.learnings[row["learning"]]["conversation"], lambda: call(id, **given)):
        call(id, **given)
        row["status"] = target
        row["attempts"] += move == "start"


def delete_upload(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.uploads))) is None:
        return
    learning = m.model.learnings[m.model.uploads[id]["learning"]]
    if not kept(m, learning["conversation"], lambda: m.store.uploads.delete(id)):
        m.store.uploads.delete(id)
        del m.model.uploads[id]
        m.model.audit.append(("delete", "upload", id))


def verify_audit(m: Any, data: Any) -> None:
    expect(m.store.audit.verify() == [], "the audit chain is broken")
    expect(m.store.audit.count() == len(m.model.audit), "the audit log has another length")


def pass_time(m: Any, data: Any) -> None:
    m.pass_time(pick(data, (1, 40, 100)))


OPERATIONS = (
    add_conversation, add_conversation, change_conversation, append, append, append, append_nowhere, refuse_values,
    fork, fork, append_to_branch, append_to_branch, switch, delete_branch, read_branch, read_branch,
    begin_message, extend_message, finish_message,
    redact_message, delete_message, add_learning, add_learning, add_learnings, update_learning, delete_learning, hide,
    restore, delete_conversation, purge, add_upload, move_upload, move_upload, move_upload, delete_upload, verify_audit,
    pass_time, *RETENTION_OPERATIONS, *JOB_OPERATIONS,
)  # fmt: skip

BEGINNING = (
    add_conversation, add_conversation, append, append, delete_message, append, add_learning, add_learnings, add_upload, add_upload,
    *JOB_BEGINNING,
)  # fmt: skip
