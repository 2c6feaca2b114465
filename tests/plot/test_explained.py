"""Does everything that is drawn of starts, servers and plans say what it is, beside the data and not over it?"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

import sim
from sim.plot.load_chart import load_chart
from sim.plot.serving import load_curve
from sim.plot.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = [
    {"load": load, "values": {"ttft_p95": ttft, "tpot_p95": tpot}}
    for load, ttft, tpot in ((1, 0.2, 0.019), (16, 0.27, 0.05), (39, 0.36, 0.086), (64, 1.7, 0.12))
]
LIMITS = {"ttft_p95": 2.0, "tpot_p95": 0.1}


def _plan(most: float | None) -> Figure:
    with house_style():
        plan = {"points": POINTS, "model_error": 0.15, "most": most, "unit": "users"}
        fig = load_curve(plan, LIMITS, "office")
        fig.draw_without_rendering()
    return fig


def _legend(fig: Figure) -> list[str]:
    return [text.get_text() for legend in fig.legends for text in legend.get_texts()]


def test_ticks_of_a_plan_do_not_cover_one_another():
    for axis in _plan(39).axes:
        low, high = axis.get_ylim()
        shown = [t for t in axis.yaxis.get_ticklabels(which="both") if low <= t.get_position()[1] <= high]
        boxes = [text.get_window_extent() for text in shown if text.get_text()]
        assert len(boxes) >= 2
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        assert not any(box.overlaps(axis.yaxis.label.get_window_extent()) for box in boxes)


@pytest.mark.parametrize("most", [39, None])
def test_a_plan_explains_its_lines(most: float | None):
    held = ["surely held: 39 users"] if most else []
    assert _legend(_plan(most)) == ["too close to say (times are off by 15%)", "limit", *held]


def test_the_legend_of_a_start_lies_over_none_of_its_bars():
    with house_style():
        fig = load_chart(sim.load(model="qwen3-0.6b", runtime="llama.cpp", quant="q8_0"))
        fig.draw_without_rendering()
    assert "waits for the file" in _legend(fig)
    assert all(axis.get_legend() is None for axis in fig.axes)
    (legend,) = fig.legends
    assert not any(legend.get_window_extent().overlaps(axis.get_window_extent()) for axis in fig.axes)
