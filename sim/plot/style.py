"""One look for every picture: colour-blind safe, readable at half a page, the same bytes for the same input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING

from sim.result.run_result import RunResult
from sim.result.trace import BOUNDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

BOUND_COLOURS = {
    "memory": "#0072B2",
    "link": "#56B4E9",
    "compute": "#D55E00",
    "latency": "#BBBBBB",
    "host": "#CC79A7",
    "storage": "#009E73",
}
"""After Okabe and Ito; told apart in every common kind of colour blindness."""
BOUND_WORDS = {
    "memory": "memory, L2",
    "link": "link between chips",
    "compute": "compute",
    "latency": "latency, gaps",
    "host": "host",
    "storage": "SSD",
}
SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "svg.hashsalt": "sparksim",
    "svg.fonttype": "none",
    "path.simplify": False,
}
DPI = 120
MOST_PHASES = 4


@contextmanager
def house_style() -> Iterator[None]:
    """Our settings while a picture is drawn or saved; the caller's own come back afterwards."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()  # a matplotlibrc must not change the bytes
        mpl.rcParams.update(SETTINGS)  # type: ignore[arg-type]
        yield


def figure(result: RunResult, what: str, width: float = 7.0, height: float = 4.0) -> Figure:
    """An empty figure (inches) whose title says what is drawn of which run."""
    return bare_figure(f"{what}: {run_title(result)}", width, height)


def bare_figure(title: str, width: float = 7.0, height: float = 4.0) -> Figure:
    """An empty figure (inches) with a title."""
    from matplotlib.figure import Figure as MatplotlibFigure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    fig = MatplotlibFigure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
    fig.suptitle(title, x=0.01, ha="left", fontsize=10)
    return fig


def run_title(result: RunResult) -> str:
    """Lines: model and formats; runtime, machine and what was asked; what was changed by hand, if anything."""
    me = result.identity
    software = f"{me.runtime}@{me.runtime_version} on {me.hardware}"
    shown = [f"{path}={value}" for path, value in list(me.overrides.items())[:3]]
    changed = "\nchanged: " + ", ".join(shown) + (", ..." if len(me.overrides) > 3 else "") if shown else ""
    if me.model is None:
        phases = len(result.trace.phases()) if result.trace else 0
        some = f", the {MOST_PHASES} longest of {phases} phases" if phases > MOST_PHASES else ""
        return f"op trace {result.workload.name}{some}\n{software}{changed}"
    asked = f"batch {me.batch}, prompt {me.prompt_tokens:,}, depth {me.context_depth:,}, output {me.output_tokens:,}"
    return f"{me.model} ({me.quant}, KV {me.kv_dtype})\n{software}; {asked}{changed}"


def say_instead(result: RunResult, what: str, why: str) -> Figure:
    """A small figure that says why there is nothing to draw."""
    fig = figure(result, what, height=1.4)
    axis = fig.subplots()
    axis.set_axis_off()
    axis.text(0.5, 0.5, why, ha="center", va="center", transform=axis.transAxes)
    return fig


def bound_patches(used: set[str]) -> list[Patch]:
    """Legend entries of the bounds that a picture shows."""
    from matplotlib.patches import Patch

    return [Patch(color=BOUND_COLOURS[bound], label=BOUND_WORDS[bound]) for bound in BOUNDS if bound in used]


def shown_phases(result: RunResult) -> list[str]:
    """The phases that get a panel, in order: the longest ones of a trace that has very many."""
    phases = result.trace.phases() if result.trace else []
    longest = sorted(phases, key=lambda phase: -(result.phase_time_s(phase) or 0.0))[:MOST_PHASES]
    return [phase for phase in phases if phase in longest]


def time_scale(longest_ps: float) -> tuple[float, str]:
    """The unit that suits a time: (ps in one, name)."""
    return next(((ps, name) for ps, name in ((1e12, "s"), (1e9, "ms")) if longest_ps >= ps), (1e6, "µs"))


def time_text(ps: float, digits: int = 3) -> str:
    """A time with its unit: "1.21 ms"."""
    scale, unit = time_scale(ps)
    return f"{plain(ps / scale, digits)} {unit}"


def plain(value: float, digits: int = 3) -> str:
    """`digits` significant digits, never an exponent: "28.0", "312", "0.155"."""
    if not value:
        return "0"
    return f"{value:.{max(0, digits - 1 - floor(log10(abs(value))))}f}"


def share_text(share: float) -> str:
    """A share of a time: "22 %", "<1 %"."""
    return "<1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def save(fig: Figure, path: Path) -> list[Path]:
    """Write `path` as SVG and PNG; reproducible bytes."""
    svg, png = path.with_suffix(".svg"), path.with_suffix(".png")
    with house_style():
        fig.draw_without_rendering()
        fig.set_layout_engine("none")  # laid out once for both files
        fig.savefig(svg, metadata={"Date": None})
        fig.savefig(png, dpi=DPI, metadata={"Software": None})
    return [svg, png]
