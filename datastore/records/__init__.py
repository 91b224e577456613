"""What the repositories return: frozen records, one module a table, and the page of a list."""

from __future__ import annotations

from datastore.records.audit import AuditEntry, Redaction
from datastore.records.backups import Backup
from datastore.records.conversations import Conversation
from datastore.records.erasures import Erasure, ErasureKey, Tombstone
from datastore.records.job_queue import Job, JobAttempt, JobCount, JobPause
from datastore.records.learnings import Learning, NewLearning
from datastore.records.legal_holds import LegalHold
from datastore.records.messages import Message, MessageKey, NewMessage, Role
from datastore.records.pages import Page
from datastore.records.retention_policies import RetentionPolicy
from datastore.records.search import (
    ConversationHits,
    Facets,
    FoundLearning,
    FoundMessage,
    LearningHit,
    MessageHit,
    SearchPage,
    by_conversation,
)
from datastore.records.uploads import Upload

__all__ = [
    "AuditEntry",
    "Backup",
    "Conversation",
    "ConversationHits",
    "Erasure",
    "ErasureKey",
    "Facets",
    "FoundLearning",
    "FoundMessage",
    "Job",
    "JobAttempt",
    "JobCount",
    "JobPause",
    "Learning",
    "LearningHit",
    "LegalHold",
    "Message",
    "MessageHit",
    "MessageKey",
    "NewLearning",
    "NewMessage",
    "Page",
    "Redaction",
    "RetentionPolicy",
    "Role",
    "SearchPage",
    "Tombstone",
    "Upload",
    "by_conversation",
]
