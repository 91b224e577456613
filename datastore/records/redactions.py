"""The record of *redactions*, and what a redaction is before it is stored."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class Redaction:
    """One row of *redactions*: one thing that sanitization replaced."""

    id: str
    conversation_id: str
    #: None: it concerns the conversation (its title, its metadata).
    message_id: str | None
    #: What kind of thing it was: "email", "phone", "name", ...
    category: str
    #: Which rule found it, in which detector.
    rule: str
    detector: str
    #: A (keyed) hash of the original, never the original; 16 to 200 characters.
    original_hash: str
    #: What stands there now, e.g. "[EMAIL_1]".
    replacement: str
    #: 0 to 1: how sure the detector was.
    confidence: float
    #: Aware, UTC.
    created_at: datetime


@attrs.frozen(kw_only=True)
class NewRedaction:
    """A redaction to note: what `RedactionRepository.add_many` takes."""

    #: Where; the redaction is deleted with it.
    conversation_id: str
    #: What kind of thing it was; 1 to 200 characters.
    category: str
    #: Which rule found it; 1 to 200 characters.
    rule: str
    #: In which detector; 1 to 200 characters.
    detector: str
    #: A (keyed) hash of the original, never the original; 16 to 200 characters.
    original_hash: str
    #: The text in its place now; at most 1000 characters.
    replacement: str
    #: 0 to 1.
    confidence: float
    #: The message of this conversation that it was in; None: its title or metadata.
    message_id: str | None = None
    #: None: a new time-ordered UUID.
    id: str | None = None
