"""Predicted against measured rates: a point per comparison, a panel per phase, with what a plain roofline says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from sim.plot.style import BOUND_COLOURS, bare_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = [BOUND_COLOURS[name] for name in ("memory", "compute", "storage", "host", "link")] + ["#E69F00", "#000000"]
"""After Okabe and Ito, as everywhere."""
MARKERS = "os^vDPX"
OFF = 0.15
Row = Mapping[str, Any]


def parity(rows: Sequence[Row]) -> Figure:
    """Of the rows of `sparksim.validation/1`; the band is 15 % to either side, grey dots are the roofline."""
    phases = sorted({row["phase"] for row in rows}, reverse=True)
    runtimes = sorted({_runtime(row) for row in rows})
    fig = bare_figure("Predicted against measured", width=max(4.4, 4.2 * len(phases)), height=4.6)
    axes = fig.subplots(1, len(phases), squeeze=False).flatten()
    for axis, phase in zip(axes, phases, strict=True):
        _draw(axis, phase, [row for row in rows if row["phase"] == phase], runtimes)
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes[1:]:
        more = zip(*axis.get_legend_handles_labels(), strict=True)
        found = [(handle, label) for handle, label in more if label not in labels]
        handles += [handle for handle, _ in found]
        labels += [label for _, label in found]
    fig.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return fig


def _runtime(row: Row) -> str:
    return str(row["runtime"].partition("@")[0])


def _draw(axis: Axes, phase: str, rows: list[Row], runtimes: list[str]) -> None:
    values = [row[key] for row in rows for key in ("measured", "predicted", "roofline") if row[key]]
    low, high = min(values) * 0.7, max(values) * 1.4
    line = [low, high]
    axis.fill_between(line, [x * (1 - OFF) for x in line], [x * (1 + OFF) for x in line], color="#e6e6e6", zorder=0)
    axis.plot(line, line, color="#555555", linewidth=0.8, zorder=1)
    plain = [(row["measured"], row["roofline"]) for row in rows if row["roofline"]]
    if plain:
        axis.scatter(
            [x for x, _ in plain],
            [y for _, y in plain],
            s=5,
            color="#aaaaaa",
            linewidths=0,
            zorder=1,
            label="plain roofline",
        )
    for number, runtime in enumerate(runtimes):
        points = [(row["measured"], row["predicted"]) for row in rows if _runtime(row) == runtime]
        if points:
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            look: dict[str, Any] = {
                "s": 14,
                "color": colour,
                "marker": marker,
                "linewidths": 0.4,
                "alpha": 0.75,
                "zorder": 2,
            }
            axis.scatter([x for x, _ in points], [y for _, y in points], label=runtime, **look)
    axis.set(xscale="log", yscale="log", xlim=line, ylim=line, aspect="equal")
    axis.set_xlabel("measured, tokens/s")
    axis.set_ylabel("predicted, tokens/s")
    error = mean(abs(row["error"]) for row in rows)
    axis.set_title(f"{phase}: {len(rows):,} comparisons, off by {error:.1%} on average", loc="left")
