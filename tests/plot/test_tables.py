"""Do pictures of a study's points show the points, in units that suit, and say what there is nothing to draw of?"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from matplotlib.testing.compare import compare_images  # noqa: TID253
from matplotlib.text import Text  # noqa: TID253

import sim
from sim.cli import main
from sim.errors import InputError
from sim.plot.heat_map import heat_map
from sim.plot.lines import lines
from sim.plot.of_result import draw
from sim.plot.pareto_chart import pareto, pareto_front
from sim.plot.style import BOUND_COLOURS, house_style
from sim.plot.table import Table, interval, is_logarithmic
from sim.plot.written import source_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCE = Path(__file__).parent / "reference"
TOLERANCE = 2.0
"""Root mean square of the differences, of 255."""


def row(batch: int, depth: int, rate: float | None, bound: str | None = "memory") -> dict[str, Any]:
    found: dict[str, Any] = {
        "batch": batch, "depth": depth, "model": "m", "quant": "fp8", "runtime": "vllm", "hardware": "dgx-spark",
        "decode_tok_s": rate, "tpot_s": batch / rate if rate else None, "bound": bound,
        "range.decode_tok_s": f"{rate * 0.9}; {rate * 1.1}" if rate else None,
    }  # fmt: skip
    return {**found, "status": "ok" if rate else "does_not_fit", "error": None}


def data(rows: list[dict[str, Any]], axes: Mapping[str, str] | None = None) -> dict[str, Any]:
    told = [{"path": path, "unit": unit} for path, unit in (axes or {"batch": "", "depth": ""}).items()]
    return {"schema": "sparksim.sweep/1", "title": "", "axes": told, "rows": rows}


GRID = [
    row(batch, depth, rate)
    for depth, rates in {1024: (50, 90, 160, 300), 8192: (45, 75, 120, None), 65536: (30, 40, None, None)}.items()
    for batch, rate in zip((1, 2, 4, 16), rates, strict=True)
]
TABLE = Table.of(data(GRID))


def words(fig: Figure) -> str:
    return "\n".join(text.get_text() for text in fig.findobj(Text) if text.get_visible())


def test_a_line_has_every_point_in_order_whatever_the_order_of_the_rows() -> None:
    table = Table.of(data([row(4, 0, 160.0), row(1, 0, 50.0), row(2, 0, 90.0)], {"batch": ""}))
    (axis,) = lines(table, ["decode_tok_s"]).axes
    assert [tuple(pair) for pair in axis.lines[0].get_xydata()] == [(1, 50), (2, 90), (4, 160)]
    low, high = (path.vertices for path in axis.collections[0].get_paths()), 1.1 * 160
    assert max(point[1] for vertices in low for point in vertices) == pytest.approx(high)


def test_marks_of_a_lone_line_say_what_is_waited_for() -> None:
    table = Table.of(data([row(1, 0, 50.0), row(2, 0, 90.0, "link")], {"batch": ""}))
    fig = lines(table, ["decode_tok_s"])
    marks = [line.get_color() for line in fig.axes[0].lines[1:]]
    assert marks == [BOUND_COLOURS["memory"], BOUND_COLOURS["link"]]
    assert "link between chips" in [text.get_text() for text in fig.legends[0].get_texts()]


def test_what_does_not_fit_is_shown_as_such() -> None:
    assert "does not fit" in words(lines(TABLE, ["decode_tok_s"]))
    fig = heat_map(TABLE, "decode_tok_s")
    hatched = [patch for patch in fig.axes[0].patches if patch.get_hatch()]
    assert len(hatched) == 3
    assert "does not fit" in [text.get_text() for text in fig.legends[0].get_texts()]


def test_a_heat_map_writes_each_cell_where_its_axes_say() -> None:
    axis = heat_map(TABLE, "decode_tok_s").axes[0]
    cells = {(round(t.get_position()[0]), round(t.get_position()[1])): t.get_text() for t in axis.texts}
    assert cells[0, 0] == "50"  # batch 1, depth 1024
    assert cells[3, 0] == "300"
    assert cells[1, 2] == "40"
    assert len(cells) == 9
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["1,024", "8,192", "65,536"]


def test_a_third_axis_gets_panels_and_a_fourth_is_refused() -> None:
    rows = [{**one, "quant": quant} for one in GRID for quant in ("fp8", "bf16")]
    axes = {"batch": "", "depth": "", "quant": ""}
    assert "quant bf16" in words(heat_map(Table.of(data(rows, axes)), "tpot_s"))
    more = [{**one, "runtime": name} for one in rows for name in ("vllm", "sglang")]
    with pytest.raises(InputError, match="panels"):
        heat_map(Table.of(data(more, axes | {"runtime": ""})), "tpot_s")


@pytest.mark.parametrize(
    ("less", "expected"),
    [((False, False), [(1, 9), (3, 5), (4, 4)]), ((True, False), [(1, 9)]), ((True, True), [(1, 9), (2, 4), (3, 3)])],
)
def test_the_front_is_what_no_other_point_beats(less: tuple[bool, bool], expected: list[tuple[int, int]]) -> None:
    points = [(1, 9), (2, 4), (3, 5), (3, 3), (4, 4)]
    found = pareto_front([{"x": x, "y": y} for x, y in points], "x", "y", less)
    assert [(one["x"], one["y"]) for one in found] == expected


def test_a_front_says_which_way_is_better_and_names_its_points() -> None:
    fig = pareto(TABLE, "tpot_s", "decode_tok_s")
    axis = fig.axes[0]
    assert axis.get_xlabel() == "tpot_s, ms   (← better)"
    assert axis.get_ylabel() == "decode_tok_s, tokens/s   (better →)"
    named = {text.get_text() for text in axis.texts}
    assert named == {"batch 1", "batch 2", "batch 4", "batch 16"}  # depth is the colour


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, 4, 8, 16, 32], True), ([200e9, 400e9, 600e9], False), ([0, 1, 100], False), ([1, 50], False)],
)
def test_only_what_spreads_over_orders_of_magnitude_is_logarithmic(values: list[float], *, expected: bool) -> None:
    assert is_logarithmic(values) is expected


@pytest.mark.parametrize(
    ("unit", "value", "expected"), [("B/s", 3.5e11, "350 GB/s"), ("s", 0.0213, "21.3 ms"), ("", 65536, "65,536")]
)
def test_values_are_written_in_the_unit_that_suits(unit: str, value: float, expected: str) -> None:
    rows = [{"a": value, "decode_tok_s": 1.0, "status": "ok"}]
    assert Table.of(data(rows, {"a": unit})).text("a", value) == expected


def test_a_range_is_read_as_the_table_and_as_the_result_have_it() -> None:
    assert interval({"range.x": "4.5; 6"}, "x") == (4.5, 6.0)
    assert interval({"range.x": [4, 6]}, "x") == (4.0, 6.0)
    assert interval({"range.x": None}, "x") is None


def test_a_frame_a_file_of_it_and_its_json_draw_the_same(tmp_path: Path) -> None:
    frame = sim.sweep(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, batch=[1, 2])
    frame.to_csv(tmp_path / "points.csv")
    first = sim.draw(frame, tmp_path / "a", y="decode_tok_s")
    second = sim.draw(tmp_path / "points.csv", tmp_path / "b", y="decode_tok_s")
    assert first[1].read_bytes() == second[1].read_bytes()


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    failed = [{**row(1, 0, None, None), "status": "refused"}]
    with pytest.raises(InputError, match="no point has an answer"):
        draw(data(failed), tmp_path / "a")
    with pytest.raises(InputError, match=r"no column 'decod_tok_s'; did you mean decode_tok_s"):
        draw(data(GRID), tmp_path / "a", None, sim.plot.of_result.Asked(y=("decod_tok_s",)))
    with pytest.raises(InputError, match="nothing fits"):
        heat_map(Table.of(data([row(b, d, None) for b in (1, 2) for d in (0, 1)])), "tpot_s")
    many = [{**row(1, n, 50.0)} for n in range(40)]
    with pytest.raises(InputError, match="40 lines, at most 12"):
        lines(Table.of(data(many)), ["decode_tok_s"], "batch")
    assert not list(tmp_path.iterdir())


def test_the_command_draws_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "points.json").write_text(json.dumps(data(GRID)), encoding="utf-8")
    assert main(["plot", str(tmp_path / "points.json"), "--kind", "heat", "--quiet"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"points.json", "points-heat.svg", "points-heat.png"}
    assert main(["plot", str(tmp_path / "points.json"), "--kind", "heat"]) == 2  # they exist
    assert main(["plot", str(tmp_path / "points.json"), "--kind", "pie", "-o", str(tmp_path / "x")]) == 2
    assert main(["plot", str(tmp_path / "nothing.json"), "-o", str(tmp_path / "x")]) == 2
    (tmp_path / "other.json").write_text('{"schema": "sparksim.fit/1"}', encoding="utf-8")
    assert main(["plot", str(tmp_path / "other.json"), "-o", str(tmp_path / "x")]) == 2
    said = capsys.readouterr().err
    assert "there are: lines, heat, pareto" in said
    assert "no such file" in said
    assert "no picture is drawn of sparksim.fit/1; there are pictures of sparksim.sweep/1" in said


def test_a_run_is_drawn_alike_from_memory_its_folder_and_its_json(tmp_path: Path) -> None:
    result = sim.run(model="qwen3-0.6b", runtime="llama.cpp", prompt=16, output=2)
    result.write(tmp_path / "run")
    sources = {"memory": result, "folder": tmp_path / "run", "json": tmp_path / "run" / "summary.json"}
    drawn_files = [sim.draw(source, tmp_path / name)[0].read_text() for name, source in sources.items()]
    assert len(set(drawn_files)) == 1
    assert sim.draw(tmp_path / "run", tmp_path / "roof", kind="roofline")[1].exists()
    with pytest.raises(InputError, match="columns to choose"):
        sim.draw(result, tmp_path / "c", y="decode_tok_s")
    with pytest.raises(InputError, match="nothing to draw"):
        sim.draw(sim.run(model="llama-3.1-70b", runtime="vllm"), tmp_path / "c")


PICTURES = {
    "lines": lambda table: lines(table, ["decode_tok_s", "tpot_s"]),
    "heat": lambda table: heat_map(table, "decode_tok_s"),
    "pareto": lambda table: pareto(table, "tpot_s", "decode_tok_s"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_look_as_they_were_looked_at(name: str, tmp_path: Path) -> None:
    """A person looked at the reference; `SPARKSIM_REFERENCE=1` draws it anew. Fonts may differ by some pixels."""
    if os.environ.get("SPARKSIM_REFERENCE"):
        drawn(name, TABLE, REFERENCE)
    assert compare_images(str(REFERENCE / f"{name}.png"), str(drawn(name, TABLE, tmp_path)), tol=TOLERANCE) is None
    halved = [{**one, "decode_tok_s": one["decode_tok_s"] / 2 if one["batch"] == 4 and one["decode_tok_s"] else
               one["decode_tok_s"]} for one in GRID]  # fmt: skip
    (tmp_path / "wrong").mkdir()
    wrong = drawn(name, Table.of(data(halved)), tmp_path / "wrong")
    assert compare_images(str(REFERENCE / f"{name}.png"), str(wrong), tol=TOLERANCE) is not None


def drawn(name: str, table: Table, folder: Path) -> Path:
    with house_style():
        fig = PICTURES[name](table)
        fig.savefig(folder / f"{name}.png", dpi=50, metadata={"Software": None})
    return folder / f"{name}.png"


def test_columns_before_the_result_are_the_axes_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("memory.bandwidth,batch,schema,decode_tok_s,status\n2e11,1,x,5.0,ok\n")
    table = source_of(tmp_path / "points.csv", sim.load_hardware)
    assert isinstance(table, Table)
    assert list(table.axes) == ["memory.bandwidth", "batch"]
