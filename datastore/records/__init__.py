"""The frozen records that repositories take and return, one module per table, and the pages of lists."""

from __future__ import annotations

from datastore.records.audit import AuditAction, AuditEntry, SubjectType
from datastore.records.backups import Backup, BackupStatus
from datastore.records.branches import Branch, Segment
from datastore.records.conversations import Conversation, NewConversation
from datastore.records.erasures import Erasure, ErasureKey, ErasureStatus, SubjectKind, Tombstone
from datastore.records.job_queue import (
    BatchCounts,
    Job,
    JobAttempt,
    JobCount,
    JobLimit,
    JobPause,
    JobStatus,
    NewJob,
    Outcome,
    WaitsFor,
)
from datastore.records.learnings import Learning, NewLearning
from datastore.records.legal_holds import LegalHold
from datastore.records.messages import Message, MessageKey, NewMessage, Role
from datastore.records.own_rows import OwnRows
from datastore.records.pages import Page
from datastore.records.parts import (
    FilePart,
    ImagePart,
    OtherPart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    text_of,
)
from datastore.records.redactions import NewRedaction, Redaction
from datastore.records.retention_policies import PolicyScope, PolicySince, PolicyTarget, RetentionPolicy
from datastore.records.schedules import Schedule
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
from datastore.records.uploads import NewUpload, Upload, UploadStatus
from datastore.records.vectors import Embed, StoredVector, Vector, VectorSettings, VectorStatus, VectorTable

__all__ = [
    "AuditAction",
    "AuditEntry",
    "Backup",
    "BackupStatus",
    "BatchCounts",
    "Branch",
    "Conversation",
    "ConversationHits",
    "Embed",
    "Erasure",
    "ErasureKey",
    "ErasureStatus",
    "Facets",
    "FilePart",
    "FoundLearning",
    "FoundMessage",
    "ImagePart",
    "Job",
    "JobAttempt",
    "JobCount",
    "JobLimit",
    "JobPause",
    "JobStatus",
    "Learning",
    "LearningHit",
    "LegalHold",
    "Message",
    "MessageHit",
    "MessageKey",
    "NewConversation",
    "NewJob",
    "NewLearning",
    "NewMessage",
    "NewRedaction",
    "NewUpload",
    "OtherPart",
    "Outcome",
    "OwnRows",
    "Page",
    "Part",
    "PolicyScope",
    "PolicySince",
    "PolicyTarget",
    "Redaction",
    "RefusalPart",
    "RetentionPolicy",
    "Role",
    "Schedule",
    "SearchPage",
    "Segment",
    "StoredVector",
    "SubjectKind",
    "SubjectType",
    "TextPart",
    "ThinkingPart",
    "Tombstone",
    "ToolCallPart",
    "ToolResultPart",
    "Upload",
    "UploadStatus",
    "Vector",
    "VectorSettings",
    "VectorStatus",
    "VectorTable",
    "WaitsFor",
    "by_conversation",
    "text_of",
]
