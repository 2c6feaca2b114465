"""One look for every picture: colour-blind safe, readable at half a page, the same bytes for the same input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BOUND_COLOURS = {
    "memory": "#0072B2",
    "link": "#56B4E9",
    "compute": "#D55E00",
    "latency": "#999999",
    "host": "#CC79A7",
    "storage": "#009E73",
}
"""After Okabe and Ito."""
SETTINGS = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "sparksim",
    "svg.fonttype": "none",
    "axes.titlesize": 11,
    "legend.frameon": False,
}


def figure(width: float = 7.0, height: float = 4.0) -> Figure:
    """An empty figure in our style (inches); no global state is touched but the style settings."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as MatplotlibFigure

    mpl.rcParams.update(SETTINGS)  # type: ignore[arg-type]
    return MatplotlibFigure(figsize=(width, height), layout="constrained")


def save(fig: Figure, path: Path) -> list[Path]:
    """Write `path` as SVG and PNG; reproducible bytes."""
    svg, png = path.with_suffix(".svg"), path.with_suffix(".png")
    fig.savefig(svg, metadata={"Date": None})
    fig.savefig(png, dpi=130, metadata={"Software": None})
    return [svg, png]
