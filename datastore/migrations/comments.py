"""The comments of a step, for COMMENT ON: what the lines above a table, a column, a function, ... say."""

from __future__ import annotations

import re
from collections.abc import Iterator

_create = re.compile(
    r"(?:CREATE) (?:OR REPLACE )?(?:UNIQUE )?(?P<kind>TABLE|VIEW|INDEX|FUNCTION|TRIGGER) (?:CONCURRENTLY )?(?:IF NOT EXISTS )?(?P<name>\w+)"
)
_add_column = re.compile(r"(?:ALTER) TABLE (?P<table>\w+)\s+ADD (?:COLUMN )?(?P<name>\w+)")
_column = re.compile(r"    (?P<name>[a-z_]\w*) [A-Z]")
_on_table = re.compile(r"\bON (?P<table>\w+)")

#: What columns are whose name says the same in every table; a comment in the step goes before it.
_COMMON = {
    "action": "What was done.",
    "age_days": "How old a row has to be, in days.",
    "attempts": "The number of attempts so far.",
    "audit_hash": "The hash of the newest audit entry.",
    "backoff_cap_seconds": "The longest wait before another attempt, in seconds.",
    "burst": "Starts that may follow each other without a pause.",
    "cancel_requested": "1 if the job's worker was asked to stop, otherwise 0.",
    "category": "The kind, in the application's words.",
    "cell": "The number of the cell; each vector is in the cell of the nearest centroid.",
    "checksum": "SHA-256, lower-case hex.",
    "completed_at": "When it was completed; NULL until then.",
    "confidence": "0 (a guess) to 1 (certain).",
    "confirmed_at": "When the destination confirmed it; NULL until then.",
    "content": "Sanitized text.",
    "conversation_id": "The conversation that the row belongs to.",
    "created_at": "When the row was made, or when what it records happened.",
    "detector": "The program that found it.",
    "erasure_id": "The erasure that the row belongs to.",
    "error": "Why the attempt failed.",
    "finished_at": "When it ended; NULL until then.",
    "generation": "Which division into cells it belongs to.",
    "id": "The key that applications use: the caller's own, or a time-ordered UUID.",
    "interval_seconds": "The interval of a limit on starts, in seconds.",
    "job_count": "The number of jobs.",
    "job_id": "The job that the row belongs to.",
    "kind": "What kind of subject it is.",
    "label": "A name that people recognize the branch by.",
    "last_error": "Why the last attempt failed.",
    "last_id": "The highest number in use.",
    "learning_id": "The learning that the row belongs to.",
    "lease_expires_at": "When another worker may claim the job; NULL unless it is running.",
    "lease_token": "The claim that the attempt belongs to.",
    "live": "The number of queued and running jobs.",
    "max_attempts": "The number of attempts after which the job fails.",
    "message_id": "The message that the row belongs to.",
    "metadata": "A JSON object of the application's own.",
    "name": "What the row is about; the key.",
    "outcome": "How the attempt ended.",
    "payload": "What the job is to do, as JSON.",
    "place": "The cell times 2^40 plus the row number, so that the vectors of a cell are a range of the key.",
    "placed_at": "When the hold was placed.",
    "priority": "0 to 9; 9 is claimed first.",
    "progress": "How far the job is, as JSON; the worker writes it.",
    "ran_at": "When it last completed.",
    "reason": "Why, as the caller wrote it.",
    "released_at": "When the hold was released; NULL while it is in force.",
    "released_by": "Who released the hold; NULL while it is in force.",
    "replacement": "The text that replaced the original.",
    "result": "What the job returned, as JSON.",
    "role": "Who speaks; the CHECK lists the values.",
    "scope": "Which rows a policy is about; the CHECK lists the values.",
    "seq": "The order in which the rows were stored; never exposed outside the database.",
    "session_id": "The session that the conversation belongs to, in the application's words.",
    "source": "Where the conversation comes from, in the application's words.",
    "started_at": "When the attempt began.",
    "status": "Where the row is in its life; the CHECK or the triggers limit the values.",
    "subject_hash": "HMAC-SHA-256 of the subject's id, lower-case hex.",
    "subject_id": "The id of the row that it is about.",
    "subject_kind": "What kind of subject it is; the CHECK lists the values.",
    "subject_type": "What kind of row it is about; the CHECK lists the values.",
    "tag": "One of the learning's tags.",
    "target": "What a policy deletes; the CHECK lists the values.",
    "title": "A line of text by which people recognize the row.",
    "token_count": "The number of tokens in the content.",
    "type": "The kind of job, by which workers choose.",
    "updated_at": "When the row last changed.",
    "uploaded_at": "When the upload arrived; NULL until then.",
    "value": "The value of the setting.",
    "words": "The words and what a search filters by, as the application's analyzer computed them.",
    "worker": "The worker that has the job, or had it last.",
}


def comments(text: str) -> Iterator[tuple[str, str]]:
    """Each object that a step creates, as COMMENT ON names it ("COLUMN messages.role"), and the comment above it.

    A column without a comment has the one that columns of this name have in common, if there is one.
    """
    above: list[str] = []
    table = ""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("--"):
            above.append(stripped.removeprefix("--").strip())
            continue
        words = " ".join(above)
        if found := _create.match(line):
            table = found["name"] if found["kind"] == "TABLE" else ""
            if words:
                yield _target(found["kind"], found["name"], "\n".join(lines[number : number + 12])), words
        elif found := _add_column.match(line):
            if words := words or _COMMON.get(found["name"], ""):
                yield f"COLUMN {found['table']}.{found['name']}", words
        elif table and (found := _column.match(line)) and (words := words or _COMMON.get(found["name"], "")):
            yield f"COLUMN {table}.{found['name']}", words
        table = "" if line.startswith(")") else table
        above = []


def _target(kind: str, name: str, text: str) -> str:
    on = _on_table.search(text)
    return f"TRIGGER {name} ON {on['table']}" if kind == "TRIGGER" and on else f"{kind} {name}"
