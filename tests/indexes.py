"""Whether the full-text indexes have what the rows say: analysed once more, and compared row by row."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import datetime, timezone
from typing import Any

from datastore import Datastore
from datastore.search.filters import learning_facets, message_facets
from datastore.search.matching import Indexed, tsvector
from tests.databases import rows

SHOWN = (
    "SELECT learnings.seq, learnings.conversation_id, session_id, source, category, tags, confidence, CAST(learnings.created_at AS TEXT), "
    "learnings.title, content FROM learnings JOIN conversations ON conversations.id = conversation_id WHERE learnings.deleted_at IS NULL",
    "SELECT messages.seq, messages.conversation_id, session_id, source, role, CAST(messages.created_at AS TEXT), content "
    "FROM messages JOIN conversations ON conversations.id = conversation_id WHERE deleted_at IS NULL",
)


def wrong_rows(store: Datastore) -> dict[str, list[int]]:
    """The rows of each index that are not what their texts say: missing, too many, or other tokens."""
    made = store._parts.index.analyzer
    wanted: dict[str, dict[int, Indexed]] = {"learning": {}, "message": {}}
    for seq, talk, session, source, category, tags, confidence, at, title, content in rows(store, SHOWN[0]):
        of = tags if isinstance(tags, list) else json.loads(tags)
        row = Namespace(
            conversation_id=talk, category=category, tags=of, confidence=confidence, created_at=_instant(at)
        )
        wanted["learning"][seq] = Indexed(made.document(content, title), learning_facets(row)).of(source, session)
    for seq, talk, session, source, role, at, content in rows(store, SHOWN[1]):
        facets = message_facets(talk, role, _instant(at))
        wanted["message"][seq] = Indexed(made.document(content), facets).of(source, session)
    return {f"{noun}s": _differing(store, noun, found) for noun, found in wanted.items()}


def _differing(store: Datastore, noun: str, wanted: dict[int, Indexed]) -> list[int]:
    kept: dict[int, Any]
    if store.engine.name == "sqlite":
        title = "title" if noun == "learning" else "''"
        there = rows(store, f"SELECT rowid, content, {title}, forms, facets FROM {noun}s_fts")
        kept = {seq: tuple(texts) for seq, *texts in there}
        should: dict[int, Any] = {seq: one.columns() for seq, one in wanted.items()}
    else:
        kept = dict(rows(store, f"SELECT seq, CAST(words AS TEXT) || word_count FROM {noun}_words"))
        should = {
            seq: rows(store, "SELECT CAST(CAST(? AS TSVECTOR) AS TEXT) || ?", (words, str(count)))[0][0]
            for seq, (words, count) in ((seq, tsvector(one.document, one.facets)) for seq, one in wanted.items())
        }
    return sorted(seq for seq in kept.keys() | should.keys() if kept.get(seq) != should.get(seq))


def _instant(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(timezone.utc)
