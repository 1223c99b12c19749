"""Mermaid flowcharts as SVG, drawn at build time in layers.

It knows what the project's charts have: lines `A --> B` and `A["label"] --> B`, without cycles.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

NODE = r'(\w+)(?:\["([^"]*)"\])?'
ARROW = re.compile(rf"\s*{NODE}\s*-->\s*{NODE}\s*")
CHARACTER, PADDING, HEIGHT = 7.6, 12, 28
LAYER_GAP, ITEM_GAP = 30, 16
PAGE_PX = 760
SWEEPS = 8
# A node by its name, or an arrow that passes a layer by the names of its ends.
Item = str | tuple[str, str]


def read_chart(text: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the arrows of a chart, and the labels of its nodes, which may be their names.

    Raises:
        ValueError: a line is no arrow.
    """
    head, *lines = [line for line in text.splitlines() if line.strip()]
    if head.strip() != "flowchart LR":
        raise ValueError(f"not a flowchart from left to right: {head}")
    arrows: list[tuple[str, str]] = []
    labels: dict[str, str] = {}
    for line in lines:
        match = ARROW.fullmatch(line)
        if match is None:
            raise ValueError(f"not an arrow: {line}")
        for name, label in ((match[1], match[2]), (match[3], match[4])):
            labels[name] = label or labels.get(name, name)
        arrows.append((match[1], match[3]))
    return arrows, labels


def layers(arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the column of each node: the length of the longest way that leads to it."""
    column = {name: 0 for arrow in arrows for name in arrow}
    for _ in column:
        for start, end in arrows:
            column[end] = max(column[end], column[start] + 1)
    if any(column[start] >= column[end] for start, end in arrows):
        raise ValueError("the chart has a cycle")
    return column


def order(column: Mapping[str, int], arrows: Sequence[tuple[str, str]]) -> dict[int, list[Item]]:
    """Return the nodes of each column from top to bottom, near their neighbours.

    An arrow that passes a column holds a place there, as a pair of names, so that it meets no node.
    """
    rows: dict[int, list[Item]] = {}
    chains: list[list[Item]] = []
    for name in column:
        rows.setdefault(column[name], []).append(name)
    for start, end in arrows:
        passed = range(column[start] + 1, column[end])
        for place in passed:
            rows[place].append((start, end))
        chains.append([start, *[(start, end)] * len(passed), end])
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for place in sorted(rows, reverse=not forward):
            beside = rows.get(place - 1 if forward else place + 1)
            if beside:
                _sort_by_neighbours(rows[place], beside, chains, forward)
    return rows


def _sort_by_neighbours(
    row: list[Item],
    beside: list[Item],
    chains: Sequence[Sequence[Item]],
    forward: bool,
) -> None:
    """Sort a column by the mean position of each one's neighbours in the column beside it."""
    height = {item: index / max(len(beside) - 1, 1) for index, item in enumerate(beside)}
    own = {item: index / max(len(row) - 1, 1) for index, item in enumerate(row)}
    near: dict[str | tuple[str, str], list[float]] = {}
    for chain in chains:
        for before, after in itertools.pairwise(chain):
            item, other = (after, before) if forward else (before, after)
            if item in own and other in height:
                near.setdefault(item, []).append(height[other])
    row.sort(key=lambda item: sum(near.get(item, [own[item]])) / len(near.get(item, [0.0])))


@dataclass(frozen=True)
class Layout:
    """Places of a chart's nodes, and of the arrows that pass a layer.

    Attributes:
        downwards: layers lie below one another; else side by side.
        middle: centre x and y by layer and item.
        width: of the boxes in a layer.
        size: width and height of the chart.
    """

    downwards: bool
    middle: Mapping[tuple[int, Item], tuple[float, float]]
    width: Mapping[int, float]
    size: tuple[float, float]

    def ends(self, place: int, item: Item) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the points at which arrows reach an item and leave it."""
        x, y = self.middle[place, item]
        across, along = (0.0, HEIGHT / 2) if self.downwards else (self.width[place] / 2, 0.0)
        return (x - across, y - along), (x + across, y + along)


def lay_out(rows: Mapping[int, Sequence[Item]], labels: Mapping[str, str]) -> Layout:
    """Place a chart's layers side by side, or below one another if that is too wide for a page."""
    width = {
        place: max(len(labels[i]) for i in row if isinstance(i, str)) * CHARACTER + 2 * PADDING
        for place, row in rows.items()
    }
    most, widest = max(map(len, rows.values())), max(width.values())
    total = sum(width.values()) + (len(rows) - 1) * LAYER_GAP + 2
    downwards = total > PAGE_PX
    pitch = widest if downwards else HEIGHT
    middle: dict[tuple[int, Item], tuple[float, float]] = {}
    start = 1.0
    for place in sorted(rows):
        thick = HEIGHT if downwards else width[place]
        along = start + thick / 2
        for index, item in enumerate(rows[place]):
            shift = index + (most - len(rows[place])) / 2
            across = shift * (pitch + ITEM_GAP) + pitch / 2 + 1
            middle[place, item] = (across, along) if downwards else (along, across)
        start += thick + LAYER_GAP
    if downwards:
        width = dict.fromkeys(rows, widest)
    across, along = most * (pitch + ITEM_GAP) - ITEM_GAP + 2, start - LAYER_GAP + 1
    return Layout(downwards, middle, width, (across, along) if downwards else (along, across))


def draw(text: str) -> str:
    """Return a chart as SVG; lines and letters take the colours of the text around."""
    arrows, labels = read_chart(text)
    column = layers(arrows)
    layout = lay_out(order(column, arrows), labels)
    paths = [_path(start, end, column, layout) for start, end in arrows]
    boxes = []
    for name, place in column.items():
        (x, y), width = layout.middle[place, name], layout.width[place]
        boxes.append(
            f'<rect x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{width:.1f}" '
            f'height="{HEIGHT}" rx="6"/>'
            f'<text x="{x:.1f}" y="{y + 4.5:.1f}">{escape(labels[name])}</text>'
        )
    told = "; ".join(f"{labels[start]} leads to {labels[end]}" for start, end in arrows)
    return (
        f'<div class="flowchart"><svg viewBox="0 0 {layout.size[0]:.0f} {layout.size[1]:.0f}" '
        f'width="{layout.size[0]:.0f}" role="img" aria-label="{escape(told)}">'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f"{''.join(paths)}{''.join(boxes)}</svg></div>"
    )


def _path(start: str, end: str, column: Mapping[str, int], layout: Layout) -> str:
    """Return the curve of an arrow through the places that it holds."""
    first, last = column[start], column[end]
    points = [layout.ends(first, start)[1]]
    for place in range(first + 1, last):
        points += layout.ends(place, (start, end))
    points.append(layout.ends(last, end)[0])
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2 if layout.downwards else (x0 + x1) / 2
        turns = (x0, middle, x1, middle) if layout.downwards else (middle, y0, middle, y1)
        parts.append("C" + " ".join(f"{value:.1f}" for value in (*turns, x1, y1)))
    return f'<path class="arrow" d="{"".join(parts)}" marker-end="url(#head)"/>'


class Mermaid(SphinxDirective):
    """Directive `mermaid`: a chart, drawn as SVG."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the chart; a line that is not understood is an error."""
        try:
            return [nodes.raw("", draw("\n".join(self.content)), format="html")]
        except ValueError as error:
            raise self.error(f"chart: {error}") from error


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
