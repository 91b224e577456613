"""Rows of an application's own tables that belong to a subject."""

from __future__ import annotations

from typing import Any, Literal

import attrs


@attrs.frozen(kw_only=True)
class OwnRows:
    """Rows of an application's table that refer to a subject by foreign keys, directly or through other rows."""

    table: str
    #: deleted: deleted with the subject (ON DELETE CASCADE); unlinked: kept, without the reference (SET NULL, SET DEFAULT).
    fate: Literal["deleted", "unlinked"]
    #: Each row is keyed by column name; bytes are hexadecimal digits.
    rows: tuple[dict[str, Any], ...] = attrs.field(repr=False)
