"""The entity diagram: boxes in layers, a parent left of its children, drawn as SVG.

Colours come from the page's style (classes only), so that it is read in light and dark.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape

import attrs
from markupsafe import Markup

from datastore.contract.catalog.links import Links
from datastore.contract.catalog.model import Catalog, TablePage
from datastore.contract.schema import ForeignKey

ROW, HEAD, WIDTH, GAP_X, GAP_Y, PAD = 19, 30, 214, 96, 22, 12


@attrs.define
class Box:
    """One table, placed."""

    table: TablePage
    #: (column, mark): the primary key's and the foreign keys'.
    rows: list[tuple[str, str]]
    layer: int = 0
    x: float = 0
    y: float = 0

    @property
    def height(self) -> float:
        return HEAD + ROW * len(self.rows) + (8 if self.rows else 0)

    def row_y(self, column: str) -> float:
        names = [name for name, _ in self.rows]
        return self.y + HEAD + ROW * (names.index(column) + 0.5) if column in names else self.y + HEAD / 2


def diagram(catalog: Catalog, links: Links) -> Markup:
    """The drawing; nothing for a schema without tables."""
    boxes = [Box(table, list(_key_rows(table))) for table in catalog.tables if table.kind == "table"]
    keys = [key for box in boxes for key in box.table.refers if any(key.parent == one.table.name for one in boxes)]
    if not boxes:
        return Markup()
    _layers(boxes, keys)
    return Markup(_drawn(boxes, keys, links))  # noqa: S704 - every name in it is escaped


def _key_rows(table: TablePage) -> Iterator[tuple[str, str]]:
    referred = {column for key in table.referred for column in key.parent_columns}
    for column in table.columns:
        mark = " ".join(mark for mark, true in (("PK", column.primary), ("FK", column.refers)) if true)
        if mark or column.name in referred:
            yield column.name, mark or "key"


def _layers(boxes: Sequence[Box], keys: Sequence[ForeignKey]) -> None:
    """A child is one layer to the right of its furthest parent; a circle ends where it would begin again."""
    by_name = {box.table.name: box for box in boxes}
    for _ in boxes:
        for key in keys:
            child, parent = by_name[key.table], by_name[key.parent]
            if child is not parent and child.layer <= parent.layer < len(boxes):
                child.layer = min(parent.layer + 1, len(boxes) - 1)


def _families(boxes: Sequence[Box], keys: Sequence[ForeignKey]) -> list[list[Box]]:
    """The boxes that foreign keys tie together, the largest family first."""
    family = {box.table.name: {box.table.name} for box in boxes}
    for key in keys:
        joined = family[key.table] | family[key.parent]
        for name in joined:
            family[name] = joined
    groups: list[list[Box]] = []
    for box in boxes:
        group = next((one for one in groups if one[0].table.name in family[box.table.name]), None)
        if group is None:
            groups.append([box])
        else:
            group.append(box)
    return sorted(groups, key=lambda group: -len(group))


def _drawn(boxes: Sequence[Box], keys: Sequence[ForeignKey], links: Links) -> str:
    families = _families(boxes, keys)
    columns = max(box.layer for box in boxes) + 1
    right = PAD + columns * WIDTH + (columns - 1) * GAP_X + PAD
    bottom = float(PAD)
    shelf_x, shelf_height = float(PAD), 0.0
    for family in families:
        layers = max(box.layer for box in family) + 1
        width = layers * WIDTH + (layers - 1) * GAP_X
        if shelf_x > PAD and shelf_x + width > right:
            bottom, shelf_x, shelf_height = bottom + shelf_height + GAP_Y * 1.6, float(PAD), 0.0
        height = _place(family, keys, shelf_x, bottom)
        shelf_x, shelf_height = shelf_x + width + GAP_X, max(shelf_height, height)
    bottom += shelf_height + PAD
    by_name = {box.table.name: box for box in boxes}
    parts = [_edge(by_name[key.parent], by_name[key.table], key, boxes) for key in keys]
    parts += [_box(box, links) for box in boxes]
    return _svg(right, bottom, parts)


def _place(family: Sequence[Box], keys: Sequence[ForeignKey], left: float, top: float) -> float:
    """Give each box of a family its place; a layer is sorted by where its parents are. Gives the height."""
    layers: dict[int, list[Box]] = {}
    for box in family:
        layers.setdefault(box.layer, []).append(box)
    tallest = max(sum(box.height for box in layer) + GAP_Y * (len(layer) - 1) for layer in layers.values())
    middles: dict[str, float] = {}
    for number in sorted(layers):
        layer = layers[number]
        wish = {box.table.name: _wish(box, keys, middles) for box in layer}
        layer.sort(key=lambda box: wish[box.table.name])
        height = sum(box.height for box in layer) + GAP_Y * (len(layer) - 1)
        y = top + (tallest - height) / 2
        for box in layer:
            box.x, box.y = left + number * (WIDTH + GAP_X), y
            middles[box.table.name] = y + box.height / 2
            y += box.height + GAP_Y
    return tallest


def _wish(box: Box, keys: Sequence[ForeignKey], middles: dict[str, float]) -> float:
    parents = [middles[key.parent] for key in keys if key.table == box.table.name and key.parent in middles]
    return sum(parents) / len(parents) if parents else 0.0


def _edge(parent: Box, child: Box, key: ForeignKey, boxes: Sequence[Box]) -> str:
    x1, y1 = parent.x + WIDTH, parent.row_y(key.parent_columns[0] if key.parent_columns else "")
    x2, y2 = child.x, child.row_y(key.columns[0])
    if parent.x >= child.x:  # to itself, or back
        x2 = child.x + WIDTH
        path = f"M{x1:g},{y1:g} C{x1 + 40:g},{y1:g} {x2 + 40:g},{y2:g} {x2:g},{y2:g}"
    else:
        path, bend = f"M{x1:g},{y1:g}", GAP_X * 0.55
        for left in sorted({box.x for box in boxes if x1 < box.x and box.x + WIDTH < x2}):
            y = _gap([box for box in boxes if box.x == left], (y1 + y2) / 2)
            path += f" C{x1 + bend:g},{y1:g} {left - bend:g},{y:g} {left:g},{y:g} H{left + WIDTH:g}"
            x1, y1 = left + WIDTH, y
        path += f" C{x1 + bend:g},{y1:g} {x2 - bend:g},{y2:g} {x2:g},{y2:g}"
    return _line(path, key) + _foot(x2, y2, -1 if parent.x < child.x else 1)


def _gap(layer: Sequence[Box], wish: float) -> float:
    """Where a line passes between the boxes of a layer: above, below or between two, whatever is nearest."""
    order = sorted(layer, key=lambda box: box.y)
    gaps = [order[0].y - 10, order[-1].y + order[-1].height + 10]
    gaps += [(one.y + one.height + two.y) / 2 for one, two in itertools.pairwise(order)]
    return min(gaps, key=lambda gap: abs(gap - wish))


def _line(path: str, key: ForeignKey) -> str:
    rule = "" if key.on_delete == "NO ACTION" else f", ON DELETE {key.on_delete}"
    title = f"{key.table} ({', '.join(key.columns)}) refers to {key.parent}{rule}"
    return f'<path class="edge" d="{path}"><title>{escape(title)}</title></path>'


def _foot(x: float, y: float, side: int) -> str:
    """A crow's foot: many rows of the child."""
    out = x + side * 11
    return f'<path class="foot" d="M{out:g},{y:g} L{x:g},{y - 5:g} M{out:g},{y:g} L{x:g},{y + 5:g}"/>'


def _box(box: Box, links: Links) -> str:
    name = box.table.name
    rows = "".join(
        f'<text x="{box.x + 12:g}" y="{box.row_y(column) + 4:g}">{escape(column)}</text>'
        f'<text class="mark" x="{box.x + WIDTH - 10:g}" y="{box.row_y(column) + 4:g}">{mark}</text>'
        for column, mark in box.rows
    )
    return (
        f'<a href="#{escape(links.id("table", name))}" aria-label="table {escape(name)}">'
        f'<rect class="box" x="{box.x:g}" y="{box.y:g}" width="{WIDTH:g}" height="{box.height:g}" rx="7"/>'
        f'<path class="cap" d="M{box.x:g},{box.y + HEAD - 4:g} h{WIDTH:g}"/>'
        f'<text class="name" x="{box.x + 12:g}" y="{box.y + 18:g}">{escape(name)}</text>{rows}</a>'
    )


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return f'<svg {size} role="img" aria-label="Entity diagram: tables and foreign keys">{"".join(parts)}</svg>'
