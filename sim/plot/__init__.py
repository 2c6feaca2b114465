"""Pictures. The only importer of matplotlib, and only when something is drawn."""

from sim.plot.pictures import draw_all, memory, ops, roofline, timeline
from sim.result.run_result import PLOTTERS

PLOTTERS.update({"timeline": timeline, "ops": ops, "roofline": roofline, "memory": memory})

__all__ = ["draw_all", "memory", "ops", "roofline", "timeline"]
