"""The entity diagram: a box for each table, in columns, with a parent to the left of its children."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from datastore.contract.catalog.model import TablePage
from datastore.contract.schema import ForeignKey

ROW, HEAD, WIDTH, GAP_X, GAP_Y = 19, 30, 214, 96, 22


@attrs.define
class Box:
    """One table, placed."""

    name: str
    #: (column, mark): the primary key's and the foreign keys'.
    rows: list[tuple[str, str]]
    layer: int = 0
    y: float = 0

    @property
    def x(self) -> float:
        return 12 + self.layer * (WIDTH + GAP_X)

    @property
    def height(self) -> float:
        return HEAD + ROW * len(self.rows) + 8 * bool(self.rows)

    def row_y(self, column: str) -> float:
        names = [name for name, _ in self.rows]
        return self.y + HEAD + ROW * (names.index(column) + 0.5) if column in names else self.y + HEAD / 2


@attrs.frozen
class Diagram:
    """What the template draws."""

    boxes: Sequence[Box]
    #: (path, title) of each foreign key.
    lines: Sequence[tuple[str, str]]
    width: float
    height: float


def diagram(tables: Iterable[TablePage]) -> Diagram | None:
    """The drawing of a schema; None where it has no tables."""
    boxes = {table.name: Box(table.name, list(_key_rows(table))) for table in tables if table.kind == "table"}
    keys = [key for table in tables for key in table.refers if key.table in boxes and key.parent in boxes]
    if not boxes:
        return None
    for _ in boxes:  # a circle ends where it would begin again
        for key in keys:
            child, parent = boxes[key.table], boxes[key.parent]
            if child is not parent and child.layer <= parent.layer < len(boxes):
                child.layer = min(parent.layer + 1, len(boxes) - 1)
    heights = [12.0] * (max(box.layer for box in boxes.values()) + 1)
    tied = {name for key in keys for name in (key.table, key.parent)}
    for box in sorted(boxes.values(), key=lambda box: box.name not in tied):
        if box.name not in tied:
            box.layer = heights.index(min(heights))
        box.y = heights[box.layer]
        heights[box.layer] += box.height + GAP_Y
    lines = [_line(boxes[key.parent], boxes[key.table], key) for key in keys]
    return Diagram([*boxes.values()], lines, 24 + len(heights) * (WIDTH + GAP_X) - GAP_X, max(heights))


def _key_rows(table: TablePage) -> Iterator[tuple[str, str]]:
    referred = {column for key in table.referred for column in key.parent_columns}
    for column in table.columns:
        mark = " ".join(mark for mark, true in (("PK", column.primary), ("FK", column.refers)) if true)
        if mark or column.name in referred:
            yield column.name, mark or "key"


def _line(parent: Box, child: Box, key: ForeignKey) -> tuple[str, str]:
    """From the right of the parent to the left of the child, where it ends in a crow's foot."""
    x1, y1 = parent.x + WIDTH, parent.row_y(key.parent_columns[0] if key.parent_columns else "")
    x2, y2, side = child.x, child.row_y(key.columns[0]), -1
    if parent.layer >= child.layer:  # to itself, or back
        x2, side = child.x + WIDTH, 1
    bend = GAP_X * 0.55
    path = f"M{x1:g},{y1:g} C{x1 + bend:g},{y1:g} {x2 + side * bend:g},{y2:g} {x2:g},{y2:g}"
    foot = "".join(f" M{x2 + side * 11:g},{y2:g} L{x2:g},{y2 + toe:g}" for toe in (-5, 5))
    rule = "" if key.on_delete == "NO ACTION" else f", ON DELETE {key.on_delete}"
    return path + foot, f"{key.table} ({', '.join(key.columns)}) refers to {key.parent}{rule}"
