"""The text that `datastore metrics` prints."""

from __future__ import annotations

from datastore import Datastore
from datastore.observing.prometheus import metrics

BOTH_ENGINES = True


def test_values_and_labels(store: Datastore) -> None:
    conversation = store.conversations.add(source="s", sanitization_version="1")
    store.messages.append(conversation.id, role="user", content="hello")
    store.jobs.enqueue('odd "type"\\\nname', {})
    text = metrics(store)
    lines = text.splitlines()
    assert "datastore_conversations 1" in lines
    assert "datastore_messages 1" in lines
    assert r'datastore_jobs{type="odd \"type\"\\\nname",status="queued"} 1' in lines
    assert text.endswith("\n")
    assert "hello" not in text
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(named) == len(set(named))
    assert all(line.startswith(("#", *named)) for line in lines)
    assert ("datastore_wal_bytes" in named) is (store.engine.name == "sqlite")
