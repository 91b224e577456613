"""The state machine's steps on retention: legal holds, a policy that hides and deletes, erasure.

They take what those of operations.py take.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from datastore.errors import LegalHoldError, NotFoundError, TransactionError
from tests.acid.steps import expect, pick, refused

#: The source that the policy is about.
BRIEF = "brief"

#: How long what it hides stays hidden, in seconds.
GRACE = 50.0


def hold(m: Any, data: Any) -> None:
    """Held, it cannot be deleted, and nothing of it."""
    if (id := pick(data, sorted(m.model.conversations))) is None:
        return
    m.store.holds.place(id, reason="case 12")
    m.model.held.add(id)
    refused(LegalHoldError, lambda: m.store.conversations.delete(id))
    learnings = sorted(key for key in m.model.shown_learnings() if m.model.learnings[key]["conversation"] == id)
    if (learning := pick(data, learnings)) is not None:
        refused(LegalHoldError, lambda: m.store.learnings.delete(learning))


def release(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.held))) is not None:
        m.store.holds.release(id)
        m.model.held.discard(id)
    refused(NotFoundError, lambda: m.store.holds.release("nowhere"))


def apply_policy(m: Any, data: Any) -> None:
    """Twice: the second time there is nothing to do."""
    m.store.retention.policies.set(
        "brief",
        "conversations",
        age_days=0,
        since="activity",
        scope="source",
        scope_value=BRIEF,
        grace_days=GRACE / 86400,
    )
    if m.depth:
        refused(TransactionError, m.store.retention.apply)
        return
    m.pass_time(pick(data, (0, GRACE)))
    now = m.now()
    hold(m, data)
    due = [id for id in m.model.shown() if m.model.conversations[id]["source"] == BRIEF and id not in m.model.held]
    expect(m.store.retention.preview()[0].count == len(due), "a policy means to hide another number")
    done = m.store.retention.apply()["brief"]
    expect(done.get("soft_deleted", 0) == len(due), f"a policy hid {done.get('soft_deleted', 0)}, not {len(due)}")
    for id in due:
        m.model.hide(id, now)
    gone = m.model.purge(now - timedelta(seconds=GRACE) + timedelta(microseconds=1), BRIEF)
    expect(done.get("conversations", 0) == gone, f"a policy deleted {done.get('conversations', 0)}, not {gone}")
    expect(m.store.retention.apply() == {"brief": {}}, "a policy did something again")


def erase(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.conversations))) is None:
        return
    if m.depth:
        refused(TransactionError, lambda: m.store.erase(conversation_id=id))
        return
    receipt = m.store.erase(conversation_id=id)
    if id in m.model.held:
        expect(receipt.status == "blocked", f"erased in spite of a hold: {receipt.status}")
        return
    # A server's files are nobody's here to scan.
    wanted = "verified" if m.store.engine.path else "deleted"
    expect(receipt.status == wanted, f"erased, but {receipt.status}")
    m.model.erase(id, m.now())


RETENTION_OPERATIONS = (hold, release, release, apply_policy, apply_policy, erase)
