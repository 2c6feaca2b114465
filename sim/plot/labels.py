"""Puts names beside points so that no name covers another name or a point."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT_SIZE = 7.5
WIDTH_OF_A_LETTER = 0.62
LINE_HEIGHT = 1.4
"""Both as shares of the font size; generous, because a viewer may lack our font."""
MARGIN = 5.0
"""Points between two names."""
Box = tuple[float, float, float, float]
"""left, bottom, right, top."""


def place_labels(fig: Figure, axis: Axes, points: list[tuple[float, float]], names: dict[int, str]) -> None:
    """Annotate `points` (data coordinates) with `names` (index -> text), the first ones nearest to their points.

    A name that has no free place within reach stands where it covers least.
    """
    fig.draw_without_rendering()  # the axes' final place is known only now
    scale = 72 / fig.dpi
    spots = [(float(x) * scale, float(y) * scale) for x, y in axis.transData.transform(points)]
    frame = _box_of(axis.get_window_extent().extents, scale)
    legend = axis.get_legend()
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    taken += [_box_of(text.get_window_extent().extents, scale) for text in axis.texts]
    for line in axis.lines:
        ends = axis.transData.transform(line.get_xydata()) * scale
        taken += _dots((float(ends[0][0]), float(ends[0][1])), (float(ends[-1][0]), float(ends[-1][1])))
    if legend is not None:
        taken.append(_box_of(legend.get_window_extent().extents, scale))
    for index, text in names.items():
        lines = text.split("\n")
        size = (max(map(len, lines)) * FONT_SIZE * WIDTH_OF_A_LETTER, len(lines) * FONT_SIZE * LINE_HEIGHT)
        box = min(_candidates(spots[index], size), key=lambda box: _cost(box, spots[index], taken, frame))
        taken.append((box[0] - MARGIN, box[1] - MARGIN, box[2] + MARGIN, box[3] + MARGIN))
        x, y = spots[index]
        axis.annotate(
            text, points[index], xytext=(box[0] - x, box[1] - y), textcoords="offset points", fontsize=FONT_SIZE,
            ha="left", va="bottom", linespacing=1.2, zorder=4,
            bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 0.6},
            arrowprops={"arrowstyle": "-", "color": "#777777", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3},
        )  # fmt: skip


def _dots(start: tuple[float, float], end: tuple[float, float]) -> list[Box]:
    """A straight line as small boxes: better not covered, though it may be."""
    n = int(max(abs(end[0] - start[0]), abs(end[1] - start[1])) // 4) + 1
    steps = [(start[0] + (end[0] - start[0]) * i / n, start[1] + (end[1] - start[1]) * i / n) for i in range(n + 1)]
    return [(x - 0.7, y - 0.7, x + 0.7, y + 0.7) for x, y in steps]


def _candidates(spot: tuple[float, float], size: tuple[float, float]) -> list[Box]:
    (x, y), (width, height) = spot, size
    boxes = []
    for dx, dy in product((10, 24, 45, 75, -10, -24, -45, -75, 0), (8, 20, 36, 56, 80, -8, -20, -36, -56, -80, 0)):
        if abs(dx) + abs(dy) < 10:
            continue
        left = x + dx if dx > 0 else x + dx - (width if dx else width / 2)
        bottom = y + dy if dy > 0 else y + dy - (height if dy else height / 2)
        boxes.append((left, bottom, left + width, bottom + height))
    return boxes


def _cost(box: Box, spot: tuple[float, float], taken: list[Box], frame: Box) -> float:
    """Covering something is worse than any distance; leaving the frame is worst."""
    covered = sum(_overlap(box, other) for other in taken)
    area = (box[2] - box[0]) * (box[3] - box[1])
    outside = area - _overlap(box, frame)
    away = abs((box[0] + box[2]) / 2 - spot[0]) + abs((box[1] + box[3]) / 2 - spot[1])
    return away + 10 * covered + 50 * outside


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _box_of(extents: object, scale: float) -> Box:
    left, bottom, right, top = (float(v) * scale for v in extents)  # type: ignore[attr-defined]
    return left, bottom, right, top
