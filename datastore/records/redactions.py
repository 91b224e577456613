"""The record of *redactions*, stored and new."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class Redaction:
    """One row of *redactions*: one thing that sanitization replaced."""

    id: str
    conversation_id: str
    #: None: the redaction is in the conversation itself (its title or metadata).
    message_id: str | None
    #: What was replaced: "email", "phone", "name", ...
    category: str
    #: The rule that found it, and the detector that the rule belongs to.
    rule: str
    detector: str
    #: A (keyed) hash of the original, never the original; 16 to 200 characters.
    original_hash: str
    #: The text that replaced it, e.g. "[EMAIL_1]".
    replacement: str
    #: 0 to 1: how sure the detector was.
    confidence: float
    #: Aware, UTC.
    created_at: datetime


@attrs.frozen(kw_only=True)
class NewRedaction:
    """A redaction to store, for `RedactionRepository.add_many`."""

    #: The redaction is deleted with this conversation.
    conversation_id: str
    #: What was replaced; 1 to 200 characters.
    category: str
    #: The rule that found it; 1 to 200 characters.
    rule: str
    #: The detector that the rule belongs to; 1 to 200 characters.
    detector: str
    #: A (keyed) hash of the original, never the original; 16 to 200 characters.
    original_hash: str
    #: The text that replaced it; at most 1000 characters.
    replacement: str
    #: 0 to 1.
    confidence: float
    #: The message that contained it; None: it was in the conversation's title or metadata.
    message_id: str | None = None
    #: None: a new time-ordered UUID is generated.
    id: str | None = None
