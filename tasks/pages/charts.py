"""Charts as inline SVG, coloured by the page's style sheet in light and dark mode."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dualstylegan.evaluation.bootstrap import Interval
from tasks.pages.markup import tag, text

MAX_POINTS = 240
_SMOOTHING = 0.08


def number(value: float) -> str:
    """Format a number with about three significant digits."""
    if not math.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    digits = max(0, min(6, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f}"


def smooth(values: Sequence[float], amount: float = _SMOOTHING) -> list[float]:
    """Compute the bias-corrected exponential moving average."""
    total = weight = 0.0
    result = []
    for value in values:
        total = (1 - amount) * total + amount * value
        weight = (1 - amount) * weight + amount
        result.append(total / weight)
    return result


def decimate(items: Sequence[float], limit: int = MAX_POINTS) -> list[float]:
    """Reduce a curve to at most `limit` points, the first and last ones included."""
    if len(items) <= limit:
        return list(items)
    return [items[round(i * (len(items) - 1) / (limit - 1))] for i in range(limit)]


def _polyline(xs: Sequence[float], ys: Sequence[float], class_: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return tag("polyline", points=points, class_=class_)


def curve(
    title: str,
    steps: Sequence[float],
    values: Sequence[float],
    smoothing: float = _SMOOTHING,
    axis: str = "step",
) -> str:
    """Draw a loss over the steps: raw values as a faint line, their moving average on top.

    Non-finite values are left out. With a `smoothing` of 1 the average equals the raw values.
    `axis` names what runs across.
    """
    finite = [(float(s), float(v)) for s, v in zip(steps, values, strict=True) if math.isfinite(v)]
    if len(finite) < 2:
        return ""
    xs, ys = decimate([s for s, _ in finite]), [v for _, v in finite]
    averaged, raw = decimate(smooth(ys, smoothing)), decimate(ys)
    width, height, left, top = 260, 120, 4, 24
    low, high = _robust_range(raw)

    def across(step: float) -> float:
        return left + (width - 2 * left) * (step - xs[0]) / max(xs[-1] - xs[0], 1e-9)

    def down(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return top + (height - top) * (1 - share)

    across_xs = [across(s) for s in xs]
    parts = [
        tag("text", text(title), x=0, y=12, class_="strong"),
        tag("text", number(averaged[-1]), x=width, y=12, text_anchor="end"),
        tag("path", d=f"M0 {height}H{width}", class_="axis"),
        _polyline(across_xs, [down(v) for v in raw], "raw"),
        _polyline(across_xs, [down(v) for v in averaged], "curve"),
        tag("text", f"{xs[0]:g}", x=0, y=height + 16),
        tag("text", f"{axis} {xs[-1]:g}", x=width, y=height + 16, text_anchor="end"),
    ]
    label = f"{title}: from {number(averaged[0])} to {number(averaged[-1])} over the {axis}s"
    return _svg(width, height + 20, label, parts)


def _robust_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the range without the outer percentiles, so that a spike does not flatten the rest."""
    ordered = sorted(values)
    cut = len(ordered) // 100
    low, high = ordered[cut], ordered[-1 - cut]
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def intervals(rows: Sequence[tuple[str, Interval, bool]], label: str) -> str:
    """Draw values with their intervals on one axis.

    Args:
        rows: label, interval, and True for our own value (accented) or False for a reference.
        label: text alternative of the chart.
    """
    width, row_height, left, right = 520, 34, 190, 64
    low = min(0.0, *(r.low for _, r, _ in rows))
    high = max(r.high for _, r, _ in rows)
    high = high if high > low else low + 1.0

    def across(value: float) -> float:
        return left + (width - left - right) * (value - low) / (high - low)

    height = row_height * len(rows)
    parts = [tag("path", d=f"M{across(0):.1f} 0V{height}", class_="axis")]
    for index, (name, figure, ours) in enumerate(rows):
        y = row_height * (index + 0.5)
        kind = "ours" if ours else "other"
        parts += [
            tag("text", text(name), x=0, y=y + 4, class_="strong" if ours else None),
            tag("path", d=f"M{across(figure.low):.1f} {y}H{across(figure.high):.1f}", class_=kind),
            tag("circle", cx=f"{across(figure.value):.1f}", cy=y, r=5 if ours else 4, class_=kind),
            tag(
                "text",
                number(figure.value),
                x=width,
                y=y + 4,
                text_anchor="end",
                class_="strong" if ours else None,
            ),
        ]
    return _svg(width, height, label, parts)


def bars(rows: Sequence[tuple[str, float]], unit: str, label: str) -> str:
    """Draw horizontal bars, for instance the time of each stage."""
    width, row_height, left, right = 640, 26, 130, 80
    longest = max((value for _, value in rows), default=0.0) or 1.0
    parts = []
    for index, (name, value) in enumerate(rows):
        y = row_height * index
        length = (width - left - right) * value / longest
        parts += [
            tag("text", text(name), x=0, y=y + 17),
            tag(
                "rect",
                x=left,
                y=y + 6,
                width=f"{max(length, 1):.1f}",
                height=14,
                rx=2,
                class_="ours",
            ),
            tag("text", f"{number(value)} {unit}", x=f"{left + length + 10:.1f}", y=y + 17),
        ]
    return _svg(width, row_height * len(rows), label, parts, "bars")


def _svg(
    width: int, height: int, label: str, parts: Sequence[str], class_: str | None = None
) -> str:
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=label,
        class_=class_,
    )
