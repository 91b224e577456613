"""What an application's own tables have of a subject."""

from __future__ import annotations

from typing import Any, Literal

import attrs


@attrs.frozen(kw_only=True)
class OwnRows:
    """Rows of an application's table that refer to a subject by foreign keys, directly or through other rows."""

    table: str
    #: deleted: they go with it (ON DELETE CASCADE); unlinked: they stay, and refer to nothing (SET NULL, SET DEFAULT).
    fate: Literal["deleted", "unlinked"]
    #: Each by its columns' names; bytes are hexadecimal digits.
    rows: tuple[dict[str, Any], ...] = attrs.field(repr=False)
