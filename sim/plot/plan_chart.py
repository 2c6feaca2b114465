"""Picture of a plan over candidates: what each holds, and what its tokens cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.plot.style import bare_figure, house_style, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD, COST, BEST = "#56B4E9", "#D55E00", "#0072B2"


def draw_candidates(table: Mapping[str, Any], title: str, path: Path) -> list[Path]:
    """Draw a `sparksim.plan_table/1`, as SVG and PNG; the files."""
    with house_style():
        return save(candidates_chart(table, title), path)


def candidates_chart(table: Mapping[str, Any], title: str) -> Figure:
    """A bar for each candidate: the most that it surely holds; beside it dollars per million output tokens."""
    rows = table["candidates"]
    names = [", ".join(row["candidate"].values()) for row in rows]
    fig = bare_figure(title, 7.2, 1.6 + 0.32 * len(rows))
    left, right = fig.subplots(1, 2, sharey=True)
    places = range(len(rows))
    shades = [BEST if row["candidate"] == table["recommended"] else HELD for row in rows]
    left.barh(places, [row["most"] or 0.0 for row in rows], color=shades)
    right.barh(places, [row["usd_per_million_output_tokens"] or 0.0 for row in rows], color=COST)
    for place, row in enumerate(rows):
        if row["most"] is None:
            left.annotate("refused" if row["refused"] else "nothing", (0, place), xytext=(3, 0),
                          textcoords="offset points", va="center")  # fmt: skip
        if row["usd_per_million_output_tokens"] is None:
            right.annotate("not known", (0, place), xytext=(3, 0), textcoords="offset points", va="center")
    left.set_yticks(list(places), names)
    left.invert_yaxis()
    left.set_xlim(left=0)
    right.set_xlim(left=0)
    left.set_xlabel(f"surely held, {table['unit']}")
    right.set_xlabel("USD per million output tokens")
    return fig
