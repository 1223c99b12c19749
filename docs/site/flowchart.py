"""Mermaid flowcharts as SVG, drawn at build time in layers from left to right.

It knows what the project's charts have: lines `A --> B` and `A["label"] --> B`, without cycles.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

NODE = r'(\w+)(?:\["([^"]*)"\])?'
ARROW = re.compile(rf"\s*{NODE}\s*-->\s*{NODE}\s*")
CHARACTER, PADDING, HEIGHT = 7.6, 12, 28
COLUMN_GAP, ROW_GAP = 46, 16
SWEEPS = 8


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


def order(
    column: Mapping[str, int], arrows: Sequence[tuple[str, str]]
) -> dict[int, list[str | tuple[str, str]]]:
    """Return the nodes of each column from top to bottom, near their neighbours.

    An arrow that passes a column holds a place there, as a pair of names, so that it meets no node.
    """
    rows: dict[int, list[str | tuple[str, str]]] = {}
    chains: list[list[str | tuple[str, str]]] = []
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
    row: list[str | tuple[str, str]],
    beside: list[str | tuple[str, str]],
    chains: Sequence[Sequence[str | tuple[str, str]]],
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


def draw(text: str) -> str:
    """Return a chart as SVG; lines and letters take the colours of the text around."""
    arrows, labels = read_chart(text)
    column = layers(arrows)
    rows = order(column, arrows)
    tallest = max(map(len, rows.values()))
    width = {
        place: max(len(labels[item]) for item in row if isinstance(item, str)) * CHARACTER
        + 2 * PADDING
        for place, row in rows.items()
    }
    left: dict[int, float] = {}
    x = 1.0
    for place in sorted(rows):
        left[place] = x
        x += width[place] + COLUMN_GAP
    middle = {
        (place, item): (index + (tallest - len(row)) / 2) * (HEIGHT + ROW_GAP) + HEIGHT / 2 + 1
        for place, row in rows.items()
        for index, item in enumerate(row)
    }
    paths = [_path(start, end, column, left, width, middle) for start, end in arrows]
    boxes = [
        f'<rect x="{left[p]:.1f}" y="{middle[p, n] - HEIGHT / 2:.1f}" width="{width[p]:.1f}" '
        f'height="{HEIGHT}" rx="6"/><text x="{left[p] + width[p] / 2:.1f}" '
        f'y="{middle[p, n] + 4.5:.1f}">{escape(labels[n])}</text>'
        for n, p in column.items()
    ]
    total = x - COLUMN_GAP + 1, tallest * (HEIGHT + ROW_GAP) - ROW_GAP + 2
    label = escape("; ".join(f"{labels[start]} leads to {labels[end]}" for start, end in arrows))
    return (
        f'<div class="flowchart"><svg viewBox="0 0 {total[0]:.0f} {total[1]:.0f}" '
        f'width="{total[0]:.0f}" role="img" aria-label="{label}">'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f"{''.join(paths)}{''.join(boxes)}</svg></div>"
    )


def _path(
    start: str,
    end: str,
    column: Mapping[str, int],
    left: Mapping[int, float],
    width: Mapping[int, float],
    middle: Mapping[tuple[int, str | tuple[str, str]], float],
) -> str:
    """Return the curve of an arrow through the places that it holds."""
    first, last = column[start], column[end]
    points = [(left[first] + width[first], middle[first, start])]
    for place in range(first + 1, last):
        y = middle[place, (start, end)]
        points += [(left[place], y), (left[place] + width[place], y)]
    points.append((left[last], middle[last, end]))
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        half = (x0 + x1) / 2
        parts.append(f"C{half:.1f} {y0:.1f} {half:.1f} {y1:.1f} {x1:.1f} {y1:.1f}")
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
