"""Do the pictures show what the result says, and can a person read them?"""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import matplotlib as mpl  # noqa: TID253 - the figures are under test
import numpy as np
import pytest
from matplotlib.figure import Figure  # noqa: TID253
from matplotlib.text import Annotation, Text  # noqa: TID253

from sim import RunResult
from sim.plot import draw_all
from sim.plot.kernel_timeline import layer_bars, spread
from sim.plot.pictures import DRAWN
from sim.plot.style import BOUND_COLOURS, plain, share_text, time_scale, time_text
from sim.result.trace import BOUNDS

# Linear maps of sRGB for full protanopia and deuteranopia: Machado, Oliveira and Fernandes, IEEE TVCG
# 15(6), 2009, table 1.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
}


FIGURES: dict[tuple[int, str], Figure] = {}
"""Each picture of each result is drawn once for all tests that only look at it."""


def _figure(result: RunResult, name: str) -> Figure:
    key = (id(result), name)
    if key not in FIGURES:
        FIGURES[key] = DRAWN[name](result)
    return FIGURES[key]


def _texts(fig: Figure) -> list[Text]:
    return [text for text in fig.findobj(Text) if text.get_text().strip() and text.get_visible()]


def _words(fig: Figure) -> str:
    return "\n".join(text.get_text() for text in _texts(fig))


def _widths(axis: mpl.axes.Axes) -> float:
    return sum(patch.get_width() for patch in axis.patches)


def test_every_picture_of_every_result_says_what_was_run(result: RunResult):
    me = result.identity
    for name in DRAWN:
        words = _words(_figure(result, name))
        assert (me.model or result.workload.name) in words
        assert f"{me.runtime}@{me.runtime_version} on {me.hardware}" in words
        if me.model:
            assert f"batch {me.batch}," in words
        for path, value in me.overrides.items():
            assert f"{path}={value}" in words


def test_nothing_is_cut_off(result: RunResult):
    for name in DRAWN:
        fig = _figure(result, name)
        fig.draw_without_rendering()
        edge = fig.bbox.padded(1)
        out = [t.get_text() for t in _texts(fig) if not _is_within(t.get_window_extent(), edge) and _is_drawn(t)]
        assert out == [], name


def _is_within(box: mpl.transforms.Bbox, edge: mpl.transforms.Bbox) -> bool:
    return edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1


def _is_drawn(text: Text) -> bool:
    """Ticks beyond the limits of their axis exist, as bare numbers, but are not drawn."""
    return not text.get_text().replace(".", "").isdigit()


def test_names_on_the_roofline_do_not_cover_one_another(results: dict[str, RunResult]):
    for case in ("both", "batch", "prefill", "decode", "ops"):
        fig = _figure(results[case], "roofline")
        fig.draw_without_rendering()
        names = [text for text in fig.axes[0].texts if isinstance(text, Annotation)]
        assert names, case
        boxes = [Text.get_window_extent(name) for name in names]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), case


@pytest.mark.parametrize("places", [[], [0.5], [0.1, 0.11, 0.12], [0.97, 0.98, 0.99], [0.0, 0.5, 0.51, 0.99, 1.0]])
def test_names_over_the_timeline_stand_apart_and_in_order(places: list[float]):
    moved = spread(places, 0.06)
    assert all(b - a >= 0.06 - 1e-12 for a, b in pairwise(moved))
    assert all(0 <= place <= 1 - 0.06 + 1e-12 for place in moved)


def test_bars_of_the_ops_sum_to_the_time_of_a_step(results: dict[str, RunResult]):
    for case in ("both", "batch", "prefill", "decode", "ops", "no-flops"):
        result = results[case]
        axes = _figure(result, "ops").axes
        assert result.trace is not None
        for axis, phase in zip(axes, result.trace.phases(), strict=False):
            steps = result.trace.of(phase)
            mean_ps = sum(s.duration_ps * s.weight for s in steps) / sum(s.weight for s in steps)
            unit = axis.get_xlabel().rpartition(", ")[2]
            ps = {"s": 1e12, "ms": 1e9, "µs": 1e6}[unit]
            assert _widths(axis) * ps == pytest.approx(mean_ps, rel=1e-6)
            assert time_text(mean_ps, 4) in axis.get_title(loc="left")


def test_rows_of_the_ops_are_ranked_and_named(results: dict[str, RunResult]):
    axis = _figure(results["both"], "ops").axes[1]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert {"head", "moe_up", "moe_down", "moe_gate"} <= set(names)
    rows = {round(p.get_y() + p.get_height() / 2): 0.0 for p in axis.patches}
    for patch in axis.patches:
        rows[round(patch.get_y() + patch.get_height() / 2)] += patch.get_width()
    lengths = [rows[row] for row in sorted(rows)]
    assert lengths[:-1] == sorted(lengths[:-1], reverse=True)  # the last row is all the rest together
    shares = [float(text.get_text().rpartition(", ")[2].strip("<% ")) for text in axis.texts]
    assert sum(shares) == pytest.approx(100, abs=len(shares))


def test_the_timeline_is_one_layer_without_gaps(results: dict[str, RunResult]):
    for case in ("both", "batch", "prefill", "decode"):
        result = results[case]
        assert result.trace is not None
        fig = _figure(result, "timeline")
        for axis, phase in zip(fig.axes, result.trace.phases(), strict=True):
            step = result.trace.of(phase)[-1]
            bars, layer, count = layer_bars(step)
            ops = {bar.op for bar in bars}
            assert len({op.split(".")[0] for op in ops}) == 1
            wall_ps = sum(op.wall_ps for op in step.ops if op.op in ops and op.repeat == count)
            assert sum(bar.end_ps - bar.start_ps for bar in bars) == max(bar.end_ps for bar in bars)
            assert max(bar.end_ps for bar in bars) == pytest.approx(wall_ps, rel=0.02), (
                layer
            )  # the first one starts cold
            unit_ps, _ = time_scale(max(bar.end_ps for bar in bars))
            assert _widths(axis) * unit_ps == pytest.approx(max(bar.end_ps for bar in bars))


def test_the_timeline_has_a_lane_per_component(results: dict[str, RunResult]):
    axis = _figure(results["ops"], "timeline").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["GPU", "copy:cpu-gpu", "host"]
    assert {"up", "h2d", "wait"} <= {text.get_text().split()[0] for text in axis.texts}


def test_no_op_stands_above_its_roof(results: dict[str, RunResult]):
    me = results["both"].identity
    axis = _figure(results["both"], "roofline").axes[0]
    assert axis.get_xlabel() == "arithmetic intensity, FLOP per byte of memory traffic"
    assert axis.get_ylabel() == "achieved while the kernel runs, TFLOP/s"
    highest = max(me.peak_flops.values())
    points = [tuple(dots.get_offsets()[0]) for dots in axis.collections]
    assert len(points) > 5
    for intensity, tflop_per_s in points:
        assert tflop_per_s * 1e12 <= min(highest, 1.01 * intensity * me.peak_bytes_per_s)


def test_the_roofline_has_only_the_roofs_that_are_used(results: dict[str, RunResult]):
    me = results["decode"].identity
    words = _words(_figure(results["decode"], "roofline"))
    for rate, name in ((me.sustained_bytes_per_s, "sustained"), (me.peak_bytes_per_s, "peak")):
        assert f"memory {name}, {rate / 1e9:,.0f} GB/s" in words
    assert f"L2 (bytes that hit), {me.l2_bytes_per_s / 1e9:,.0f} GB/s" in words
    assert f"int8_dp4a: {me.peak_flops['int8_dp4a'] / 1e12:.0f} TFLOP/s" in words  # mat-vec on CUDA cores
    assert "fp4:" not in words


def test_memory_fills_the_bar(results: dict[str, RunResult]):
    for case in ("both", "does-not-fit"):
        use = results[case].memory
        assert use is not None
        axis = _figure(results[case], "memory").axes[0]
        limit = use.available_bytes + use.reserved_bytes
        ends = max(patch.get_x() + patch.get_width() for patch in axis.patches)
        assert ends * 1e9 == pytest.approx(max(limit, use.needed_bytes + use.reserved_bytes))
        words = _words(axis.figure)
        for name, size in (("weights", use.weights_bytes), ("KV cache", use.kv_cache_bytes)):
            assert f"{name} {size / 1e9:.1f} GB" in words
        assert f"limit {limit / 1e9:.1f} GB" in words
    assert f"over the limit by {use.short_bytes / 1e9:.1f} GB" in words
    assert f"would fit: {use.would_fit}" in words


def test_memory_over_time_is_as_high_as_the_timeline(results: dict[str, RunResult]):
    for case in ("both", "batch"):
        timeline = results[case].memory_timeline
        assert timeline is not None
        fig = _figure(results[case], "memory_time")
        top = max(path.vertices[:, 1].max() for each in fig.axes[0].collections for path in each.get_paths())
        assert top * 1e9 == pytest.approx(timeline.high_water_bytes)
        words = _words(fig)
        assert f"{timeline.high_water_bytes / 1e9:.1f} GB as used" in words
        assert f"weights, at most {results[case].memory.weights_bytes / 1e9:.1f} GB" in words
    assert "first token" in _words(_figure(results["both"], "memory_time"))
    assert "nothing ran" in _words(_figure(results["does-not-fit"], "memory_time"))


def test_what_there_is_nothing_of_is_said(results: dict[str, RunResult]):
    for name in ("timeline", "ops", "roofline"):
        assert "nothing" in _words(_figure(results["does-not-fit"], name))
    assert "an op trace says nothing of memory" in _words(_figure(results["ops"], "memory"))
    assert "nothing to place on a roofline" in _words(_figure(results["no-flops"], "roofline"))
    assert "the 4 longest of 12 phases" in _words(_figure(results["many-phases"], "timeline"))


def test_all_pictures_of_a_result_are_written(results: dict[str, RunResult], tmp_path: Path):
    drawn = {"timeline", "ops", "roofline", "power"}
    for case, names in {"does-not-fit": {"memory"}, "no-flops": drawn}.items():
        folder = tmp_path / case
        folder.mkdir()
        written = draw_all(results[case], folder)
        assert {path.name for path in written} == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
        assert {path.name for path in folder.iterdir()} == {path.name for path in written}


def test_pictures_come_from_the_result(results: dict[str, RunResult]):
    fig = results["prefill"].plot.timeline()
    assert isinstance(fig, Figure)
    known = "memory, memory_time, ops, power, roofline, timeline"
    with pytest.raises(AttributeError, match=f"no plot 'pie'; there are: {known}"):
        results["prefill"].plot.pie()


def test_the_callers_settings_stay_and_do_not_show(results: dict[str, RunResult], tmp_path: Path):
    draw_all(results["does-not-fit"], tmp_path)
    with mpl.rc_context({"font.size": 23, "svg.hashsalt": "mine", "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        (tmp_path / "again").mkdir()
        draw_all(results["does-not-fit"], tmp_path / "again")
        assert dict(mpl.rcParams) == before
    assert (tmp_path / "memory.svg").read_bytes() == (tmp_path / "again" / "memory.svg").read_bytes()


@pytest.mark.parametrize("matrix", SEEN_BY.values(), ids=SEEN_BY)
def test_bounds_are_told_apart(matrix: np.ndarray):
    assert set(BOUND_COLOURS) == set(BOUNDS)
    seen = {name: matrix @ np.array(mpl.colors.to_rgb(colour)) for name, colour in BOUND_COLOURS.items()}
    for a, b in combinations(seen, 2):
        assert np.linalg.norm(seen[a] - seen[b]) > 0.15, (a, b)


def test_numbers_are_written_plainly():
    assert [plain(v) for v in (0, 0.1553, 1.206, 27.96, 312.4, 1206.0)] == ["0", "0.155", "1.21", "28.0", "312", "1206"]
    assert [time_text(ps) for ps in (5e5, 1e6, 1.206e9, 4.199e12)] == ["0.500 µs", "1.00 µs", "1.21 ms", "4.20 s"]
    assert [share_text(share) for share in (0.0, 0.004, 0.22)] == ["0 %", "<1 %", "22 %"]
