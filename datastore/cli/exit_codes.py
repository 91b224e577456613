"""The exit codes of the command, all defined here."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the command, each with its meaning as in the README."""

    def __new__(cls, code: int, meaning: str) -> Exit:
        made = int.__new__(cls, code)
        made._value_ = code
        made.meaning = meaning
        return made

    meaning: str

    DONE = 0, "done"
    ERROR = 1, "an error of the library: one line on stderr"
    WRONG_USE = 2, "wrong use of the command line"
    BAD_LINES = 3, "import: something could not be stored (listed on stderr), everything else is stored"
    NOT_VERIFIED = 4, "verify: something is wrong with the database"
    CHECK_FAILED = (
        5,
        "check, diff, generate --check, catalog --check: something is against a rule, or not as it would be written",
    )
    ERASURE_INCOMPLETE = (
        6,
        "erase: a legal hold blocked it, or something kept it from being complete: the receipt says what",
    )
    NOT_FINISHED = 7, "maintain: not all that is due was done: the time was up, or a reader kept the WAL; run it again"
    UNHEALTHY = 8, "status --check: something is beyond its threshold: each is a line on stderr"
    INTERRUPTED = 130, "interrupted with Ctrl-C; what was committed stays"
