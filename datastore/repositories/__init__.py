"""One repository a table: each method calls one statement and builds the record."""

from __future__ import annotations

from datastore.repositories.audit import AuditRepository
from datastore.repositories.backups import BackupRepository
from datastore.repositories.conversations import ConversationRepository
from datastore.repositories.erasures import ErasureRepository
from datastore.repositories.job_queue import JobQueueRepository
from datastore.repositories.learnings import LearningRepository
from datastore.repositories.legal_holds import LegalHoldRepository
from datastore.repositories.maintenance import MaintenanceRepository
from datastore.repositories.messages import MessageRepository
from datastore.repositories.own_tables import OwnTableRepository
from datastore.repositories.retention_policies import RetentionPolicyRepository
from datastore.repositories.search_index import SearchIndex
from datastore.repositories.transfer import TransferRepository
from datastore.repositories.uploads import UploadRepository

__all__ = [
    "AuditRepository",
    "BackupRepository",
    "ConversationRepository",
    "ErasureRepository",
    "JobQueueRepository",
    "LearningRepository",
    "LegalHoldRepository",
    "MaintenanceRepository",
    "MessageRepository",
    "OwnTableRepository",
    "RetentionPolicyRepository",
    "SearchIndex",
    "TransferRepository",
    "UploadRepository",
]
