"""The start of a runtime: its stages as bars in time, and the memory meanwhile below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.plot.memory_time import stack
from sim.plot.style import bare_figure, plain, share_text
from sim.result.load_result import LoadResult, LoadStage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGE = "#bbbbbb"
SHARES = {
    "source": ("#D55E00", "waits for the file"),
    "cpu": ("#000000", "a core, page by page"),
    "copy": ("#5D3A9B", "copies to CUDA memory"),
}
"""What the weights wait for: colour and words; no colour of the stack below."""


def load_chart(result: LoadResult) -> Figure:
    """Above the stages, that of the weights split by what it waits for; below the memory, stacked by class."""
    where = f"{result.how} from {result.origin.replace('_', ' ')}"
    end = f"{plain(result.time_s)} s" if result.time_s is not None else f"no memory left in stage {result.failed_at}"
    title = (
        f"Start with {result.model} ({result.quant}): {end}\n"
        f"{result.runtime}@{result.runtime_version} on {result.hardware}; weights by {where}"
    )
    fig = bare_figure(title, height=2.9 + 0.26 * len(result.stages))
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=[0.26 * len(result.stages) + 0.1, 1.9])
    for row, stage in enumerate(result.stages):
        _bar(above, row, stage)
    above.set_yticks(range(len(result.stages)), [stage.name for stage in result.stages])
    above.set_ylim(len(result.stages) - 0.4, -0.6)
    above.tick_params(axis="y", length=0)
    stack(below, result.memory)
    below.set_xlim(0, 1.12 * max(result.memory.end_s, 1e-9))
    handles, labels = (a + b for a, b in zip(*(x.get_legend_handles_labels() for x in (above, below)), strict=True))
    fig.legend(handles, labels, loc="outside lower center", ncols=2)
    return fig


def _bar(axis: Axes, row: int, stage: LoadStage) -> None:
    begin = stage.start_s
    for name, share in stage.shares.items():
        colour, label = SHARES[name]
        width = share * stage.time_s
        axis.barh(row, width, left=begin, color=colour, height=0.62, label=label)
        if share > 0.15:
            axis.text(begin + width / 2, row, share_text(share), ha="center", va="center", color="white", fontsize=8)
        begin += width
    if not stage.shares:
        axis.barh(row, stage.time_s, left=begin, color=STAGE, height=0.62)
    end = stage.start_s + stage.time_s
    axis.text(end, row, f"  {plain(stage.time_s)} s", va="center", fontsize=8.5)
