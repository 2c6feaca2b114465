"""Which pictures a written result has: from its schema and a picture's name to the function that draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sim.errors import InputError, Problem
from sim.plot.breakdown_chart import breakdown
from sim.plot.heat_map import heat_map
from sim.plot.kernel_timeline import timeline
from sim.plot.lines import lines
from sim.plot.machines import machines
from sim.plot.memory_bar import memory
from sim.plot.memory_time import memory_time
from sim.plot.op_time import ops
from sim.plot.pareto_chart import pareto
from sim.plot.parity import parity
from sim.plot.power_time import power
from sim.plot.roofline_chart import roofline
from sim.plot.sensitivity import bars, sensitivity
from sim.plot.style import house_style, save
from sim.plot.table import SCHEMA, Table, is_number
from sim.plot.waterfall import waterfall
from sim.result.run_result import RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawer = TypeVar("Drawer")
USUAL = ("decode_tok_s", "prefill_tok_s", "ttft_s")
"""What is drawn of a table where nothing is asked for: the first that some point has."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a table is drawn: columns; None and nothing: what suits the picture."""

    x: str | None = None
    y: Sequence[str] = ()
    by: str | None = None


def _of_lines(table: Table, asked: Asked) -> Figure:
    _refuse(asked, "lines", "by")
    return lines(table, asked.y or (_usual(table),), asked.x)


def _of_heat(table: Table, asked: Asked) -> Figure:
    if len(asked.y) > 1:
        raise InputError(Problem("a heat map shows one column", "usage", path="y"))
    return heat_map(table, asked.y[0] if asked.y else _usual(table), asked.x, asked.by)


def _of_pareto(table: Table, asked: Asked) -> Figure:
    if asked.x is None or len(asked.y) != 1:
        hint = "e.g. --x tpot_s --y decode_tok_s"
        raise InputError(Problem("a Pareto chart needs the two columns to hold against each other", "usage", hint=hint))
    return pareto(table, asked.x, asked.y[0], asked.by)


TABLES: dict[str, Callable[[Table, Asked], Figure]] = {"lines": _of_lines, "heat": _of_heat, "pareto": _of_pareto}
"""Pictures of a study's points, by name; the first is drawn where none is named."""


def _of_sensitivity(data: Mapping[str, Any]) -> Figure:
    """Of `sparksim.sensitivity/1`: elasticities, changes by factors in %, or total indices, whichever it holds."""
    panels: dict[str, list[tuple[str, float]]] = {}
    for y in data["y"]:
        found = [(each["path"], each["elasticity"][y]) for each in data["elasticities"]]
        found += [(each["name"], 100.0 * (each["ratio"][y] - 1.0)) for each in data["factors"] if each["ratio"][y]]
        found += [(each["path"], each["total"]) for each in data["sobol"] if each["y"] == y]
        panels[y] = sorted(found, key=lambda each: (-abs(each[1]), each[0]))
    return bars(data["title"], panels)


RESULTS: dict[str, dict[str, Callable[[Mapping[str, Any]], Figure]]] = {
    "sparksim.result/1": {"breakdown": breakdown},
    "sparksim.explain/1": {"sensitivity": sensitivity},
    "sparksim.compare/1": {"waterfall": waterfall},
    "sparksim.sensitivity/1": {"bars": _of_sensitivity},
    "sparksim.machines/1": {"machines": machines},
    "sparksim.validation/1": {"parity": lambda data: parity(data["rows"])},
}
"""Pictures of other results, by schema and name."""
RUNS: dict[str, Callable[[RunResult], Figure]] = {
    "breakdown": lambda result: breakdown(result.summary()), "timeline": timeline, "ops": ops, "roofline": roofline,
    "memory": memory, "memory_time": memory_time, "power": power,
}  # fmt: skip
"""Pictures of a run that is whole: in memory, or in a folder of --out."""


def draw(
    source: Mapping[str, Any] | Table | RunResult, path: Path, kind: str | None = None, asked: Asked | None = None
) -> list[Path]:
    """Draw a result (its JSON) or a table of points, as SVG and PNG beside each other; the paths.

    Raises:
        InputError: no such picture, or nothing to draw; says what there is.
    """
    asked = asked or Asked()
    if isinstance(source, RunResult):
        _refuse_columns(asked)
        of_run = _chosen(RUNS, kind, "a run")
        with house_style():
            fig = of_run(source)
        return save(fig, path)
    if not isinstance(source, Table) and source.get("schema") == SCHEMA:
        source = Table.of(source)
    if isinstance(source, Table):
        of_table = _chosen(TABLES, kind, SCHEMA)
        source.check()
        with house_style():
            fig = of_table(source, asked)
        return save(fig, path)
    schema = str(source.get("schema"))[:60]
    if schema not in RESULTS:
        hint = f"there are pictures of {', '.join((SCHEMA, *RESULTS))}; run and serve draw theirs with --out"
        raise InputError(Problem(f"no picture is drawn of {schema}", "unknown_schema", hint=hint))
    _refuse_columns(asked)
    of_result = _chosen(RESULTS[schema], kind, schema)
    with house_style():
        fig = of_result(source)
    return save(fig, path)


def _chosen(known: Mapping[str, Drawer], kind: str | None, schema: str) -> Drawer:
    name = kind or next(iter(known))
    if name not in known:
        hint = f"there are: {', '.join(known)}"
        raise InputError(Problem(f"{schema} has no picture {name[:40]!r}", "unknown_name", path="kind", hint=hint))
    return known[name]


def _refuse_columns(asked: Asked) -> None:
    if asked.x or asked.y or asked.by:
        raise InputError(Problem("only a table of points has columns to choose", "usage", path="x, y, by"))


def _usual(table: Table) -> str:
    for name in USUAL:
        if any(is_number(row.get(name)) for row in table.drawn):
            return name
    raise InputError(Problem("say which column is drawn", "usage", path="y"))


def _refuse(asked: Asked, picture: str, *names: str) -> None:
    given = [name for name in names if getattr(asked, name)]
    if given:
        raise InputError([Problem(f"{picture} have no such column", "usage", path=name) for name in given])
