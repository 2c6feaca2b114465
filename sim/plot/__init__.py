"""Pictures. The only importer of matplotlib, and only when something is drawn."""

from sim.plot.of_result import Asked, draw
from sim.plot.pictures import (
    DRAWN,
    draw_all,
    draw_bars,
    draw_fit,
    draw_kernel,
    draw_load,
    draw_machines,
    draw_parity,
    draw_sensitivity,
    draw_sweep,
    draw_tenants,
    draw_waterfall,
    memory,
    memory_time,
    ops,
    power,
    roofline,
    timeline,
)
from sim.result.run_result import PLOTTERS

PLOTTERS.update(DRAWN)

__all__ = [
    "Asked",
    "draw",
    "draw_all",
    "draw_bars",
    "draw_fit",
    "draw_kernel",
    "draw_load",
    "draw_machines",
    "draw_parity",
    "draw_sensitivity",
    "draw_sweep",
    "draw_tenants",
    "draw_waterfall",
    "memory",
    "memory_time",
    "ops",
    "power",
    "roofline",
    "timeline",
]
