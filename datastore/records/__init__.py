"""What the repositories return: frozen records, one module a table, and the page of a list."""

from __future__ import annotations

from datastore.records.audit import AuditEntry, Redaction
from datastore.records.backups import Backup
from datastore.records.conversations import Conversation
from datastore.records.job_queue import Job, JobAttempt, JobCount, JobPause
from datastore.records.learnings import Learning, LearningHit, NewLearning
from datastore.records.messages import Message, MessageKey, NewMessage, Role
from datastore.records.pages import Page
from datastore.records.uploads import Upload

__all__ = [
    "AuditEntry",
    "Backup",
    "Conversation",
    "Job",
    "JobAttempt",
    "JobCount",
    "JobPause",
    "Learning",
    "LearningHit",
    "Message",
    "MessageKey",
    "NewLearning",
    "NewMessage",
    "Page",
    "Redaction",
    "Role",
    "Upload",
]
