"""`sparksim microbench`: a machine's curves, simulated beside measured; `stream`: one point; `ceilings`: its DRAM's."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sim.cli.parser import add_shared
from sim.cli.progress import ProgressLine
from sim.errors import InputError, Problem, gather
from sim.units import parse_quantity

if TYPE_CHECKING:
    from sim.plot.microbench_chart import Point
    from sim.system.machine import Machine
    from sim.system.stream_request import StreamRequest
    from sim.validation.microbench import MicrobenchReport, Row

HELP = "bandwidth, latency and launch costs of a machine, simulated beside measured"
EXAMPLE = """examples:
  sparksim microbench
  sparksim microbench ceilings
  sparksim microbench stream --ctas 48 --inflight 8192 --chase --json
  sparksim microbench stream --ctas 192 --inflight "32 KiB" --pattern random --set memory.channels=32
  sparksim microbench stream --ctas 96 --inflight 8192 --beside cpu0 --beside nic=write"""


DEFAULTS = {"footprint": "256 MiB"}
WARPS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("what", nargs="?", choices=("all", "stream", "ceilings"), default="all")
    parser.add_argument("--hardware", default="dgx-spark", help="machine (default dgx-spark)")
    parser.add_argument("--measured", metavar="FILE", help="measurements of your own (examples/measure_gpu.py)")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the curves, simulated and measured")
    only = parser.add_argument_group("stream")
    only.add_argument("--ctas", type=int, metavar="N", help="CTAs, round robin over SMs")
    only.add_argument("--inflight", metavar="BYTES", help="bytes that each CTA keeps outstanding")
    only.add_argument("--pattern", help="tile, flat or random (default tile)")
    only.add_argument("--warps", type=int, help="warps of a CTA (default 4)")
    only.add_argument("--footprint", metavar="SIZE", help="memory that is read (default 256 MiB)")
    only.add_argument("--chase", action="store_true", help="a dependent random chase beside it")
    only.add_argument("--batched", action="store_true", help="a warp waits for all its loads before it sends new ones")
    only.add_argument(
        "--beside",
        action="append",
        metavar="NAME[:CORES][=write]",
        help="a component that moves data beside it (cpu0, nic, ...)",
    )
    mode = only.add_mutually_exclusive_group()
    mode.add_argument("--full", action="store_true", help="every piece of the footprint")
    mode.add_argument("--folded", action="store_true", help="a window of the steady state stands for it (default)")
    add_shared(parser)


def execute(arguments: argparse.Namespace) -> int:
    """0 when done."""
    if arguments.what == "stream":
        _refuse(arguments, "microbench stream", "measured", "plot")
        return _stream(arguments)
    only = ("ctas", "inflight", "pattern", "warps", "footprint", "chase", "batched", "beside", "full", "folded")
    _refuse(arguments, f"microbench {arguments.what}", *only, hint="microbench stream takes it")
    if arguments.what == "ceilings":
        _refuse(arguments, "microbench ceilings", "measured", "plot")
        return _ceilings(arguments)
    return _all(arguments)


def _ceilings(arguments: argparse.Namespace) -> int:
    """What the channels sustain as they are described, and in other worlds that the public facts allow."""
    from sim.component.lpddr5x.tables import MEASURED, as_text, verdict  # noqa: PLC0415 - loads numpy
    from sim.system.memory_rates import ceilings  # noqa: PLC0415

    machine = load_machine(arguments)
    table = ceilings(machine.memory, arguments.cache)
    if arguments.json:
        found = {
            "schema": "sparksim.ceilings/1",
            "hardware": machine.hardware.name,
            "overrides": {path: str(value) for path, value in machine.hardware.overrides.items()},
            "bytes_per_s": table,
            "measured": MEASURED._asdict(),
            "fits": [name for name, row in table.items() if MEASURED.hold(row)],
        }
        print(json.dumps(found, indent=2, allow_nan=False))
        return 0
    print(as_text(table, MEASURED))
    print(
        f"\nfits: read 227-241, copy 211-238 GB/s and random 512 B at least 0.95 of read, all at once\n{verdict(table)}"
    )
    return 0


def _all(arguments: argparse.Namespace) -> int:
    """Every curve. On a machine that was not measured, or with something changed, what was measured is a reference."""
    picture = _picture(arguments.plot)
    report = _report(arguments)
    if arguments.json:
        print(json.dumps(report.to_dict(), indent=2, allow_nan=False))
    else:
        print(report.to_text())
    if picture:
        from sim.plot.microbench_chart import draw  # noqa: PLC0415 - matplotlib is slow to load

        draw(_points(report), picture)
    return 0


def _picture(name: str | None) -> Path | None:
    """Where to draw, its folder made: worth asking before a minute of simulation.

    Raises:
        InputError: it is no picture, or nothing can be written there.
    """
    if not name:
        return None
    file = Path(name)
    if file.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(Problem("must end in .svg, .png or .pdf", code="bad_argument", path="plot"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_new = not file.exists()
        with file.open("ab"):
            pass
        if is_new:  # a run that fails later leaves nothing behind
            file.unlink()
    except OSError as error:
        raise InputError(
            Problem(f"cannot be written: {error.strerror}", "bad_argument", file=name, path="plot")
        ) from None
    return file


def check(arguments: argparse.Namespace) -> int:
    """`sparksim validate microbench`: the same, held to its targets; 3 with --check when one is broken."""
    from sim.validation.microbench import microbench_targets  # noqa: PLC0415 - loaded only for this verb

    _refuse(arguments, "validate microbench", "runtime", "family", "markdown")
    report = _report(argparse.Namespace(hardware="dgx-spark", set=[], spec_dir=[], quiet=False, measured=None))
    broken = report.broken_targets(microbench_targets())
    if arguments.json:
        print(json.dumps({**report.to_dict(), "broken": broken}, indent=2, allow_nan=False))
    else:
        print(report.to_text())
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if arguments.check and broken else 0


def ablation(arguments: argparse.Namespace) -> int:
    """`sparksim validate ablation`: one mechanism off at a time; 3 with --check when one changes nothing."""
    from sim import api  # noqa: PLC0415 - loaded only for this verb
    from sim.validation.ablation import ablate  # noqa: PLC0415

    _refuse(arguments, "validate ablation", "runtime", "family", "markdown", "rows")
    with ProgressLine(sys.stderr) as progress:
        found = ablate(api.run, api.load_hardware("dgx-spark"), progress=progress)
    print(json.dumps(found.to_dict(), indent=2, allow_nan=False) if arguments.json else found.to_text())
    for name in found.useless:
        print(f"broken: without {name} nothing changes", file=sys.stderr)
    return 3 if arguments.check and found.useless else 0


def _refuse(arguments: argparse.Namespace, what: str, *names: str, hint: str | None = None) -> None:
    """Flags that mean nothing for `what`.

    Raises:
        InputError: one of them is given.
    """
    given = [name for name in names if getattr(arguments, name) is not None and getattr(arguments, name) is not False]
    if given:
        raise InputError([Problem(f"means nothing for {what}", code="usage", path=name, hint=hint) for name in given])


def _report(arguments: argparse.Namespace) -> MicrobenchReport:
    from sim.validation.microbench import load_microbench, validate_microbench  # noqa: PLC0415

    own = load_machine(arguments)

    def machine_at(clock_mhz: int | None) -> Machine:
        if clock_mhz is None or "gpu.clock" in own.hardware.overrides:
            return own
        return load_machine(
            argparse.Namespace(**{**vars(arguments), "set": [*arguments.set, f"gpu.clock={clock_mhz} MHz"]})
        )

    measured = load_microbench(arguments.measured)
    measured_on = measured.hardware
    is_other = own.hardware.name != measured_on or set(own.hardware.overrides) - {"gpu.clock"} != set()
    if is_other:
        print(f"note: measured on {measured_on} as it is, simulated on another machine: no errors", file=sys.stderr)
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        return validate_microbench(machine_at, measured, is_other=is_other, progress=progress)


def _points(report: MicrobenchReport) -> list[Point]:
    """Every comparison of a report, placed in its panel."""
    from sim.plot.microbench_chart import Point  # noqa: PLC0415

    def place(row: Row) -> tuple[str, str, float]:
        probe = row.record.probe
        if probe.kind == "stream":
            return ("stream" if row.record.group == "bytes in flight" else "other"), "", row.bytes_per_sm / 1024
        if probe.kind in ("graph_launch", "graph_first_node"):
            return "graph", {"graph_launch": "host", "graph_first_node": "first kernel"}[probe.kind], probe.nodes
        name = row.record.id.removeprefix("gpu_lat_")
        places = {"loaded": probe.ctas, "neighbour": row.requesters}
        return ("chase" if probe.kind == "cpu" else probe.kind), name, places.get(probe.kind, 0.0)

    points = []
    for row in report.rows:
        panel, name, at = place(row)
        is_named = panel in ("chase", "graph")
        pattern = "" if is_named else row.record.probe.pattern
        if panel == "loaded" and not at:
            panel = "other"
        points.append(
            Point(
                panel,
                row.record.group,
                name if is_named else "",
                pattern,
                at,
                row.record.value,
                row.simulated,
                is_counted=row.is_counted,
                is_compared=not row.is_other,
            )
        )
    return points


def _stream(arguments: argparse.Namespace) -> int:
    from sim.system.microbench import stream  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    asked = _asked(arguments)
    try:
        machine = load_machine(arguments)
    except InputError as error:  # without a machine, what can be said is what could not be read
        raise InputError([*asked.unread, *error.problems]) from None
    request = _checked(asked, machine)
    result = stream(machine, request, is_full=arguments.full, seed=arguments.seed)
    if arguments.json:
        head = {
            "schema": "sparksim.stream/1",
            "hardware": machine.hardware.name,
            "hardware_digest": machine.hardware.digest,
            "overrides": {path: str(value) for path, value in machine.hardware.overrides.items()},
            "clock_hz": machine.gpu.clock,
            "seed": arguments.seed,
            "mode": "full" if arguments.full else "folded",
        }
        print(json.dumps({**head, **request.to_dict(), **asdict(result)}, indent=2, allow_nan=False))
        return 0
    print(f"{request.ctas} CTAs of {request.warps} warps, {request.inflight:,} B in flight each, {request.pattern}")
    print(f"  stream      {result.stream_bytes_per_s / 1e9:9.1f} GB/s   bound by {result.bound}")
    if result.chase_latency_s is not None:
        print(f"  chase       {result.chase_latency_s * 1e9:9.0f} ns     mean of {result.chase_loads} loads")
    for name, rate in result.beside_bytes_per_s.items():
        print(f"  {name:<11} {rate / 1e9:9.1f} GB/s   beside it")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in result.utilization.items())
    print(f"  busy        {shares}")
    return 0


def load_machine(arguments: argparse.Namespace) -> Machine:
    """The machine that the flags name, with `--set` applied.

    Raises:
        InputError: no such machine or field, or something is set that a microbenchmark has not.
    """
    from sim import api  # noqa: PLC0415
    from sim.system.arguments import split_overrides  # noqa: PLC0415
    from sim.system.machine import Machine  # noqa: PLC0415

    changes = split_overrides(arguments.set)
    message = "a microbenchmark has no runtime, model or prompts: only hardware can be set"
    changes.problems.extend(
        Problem(message, code="bad_override", path=path) for path in changes.given if path not in changes.hardware
    )
    _, hardware = gather(
        changes.check,
        lambda: api.load_hardware(
            arguments.hardware, overrides=changes.hardware, search_dirs=tuple(arguments.spec_dir)
        ),
    )
    return Machine(hardware)


class _Asked(NamedTuple):
    """A request in which what could not be read stands as something harmless, and what is wrong with that."""

    request: StreamRequest
    unread: tuple[Problem, ...]


def _asked(arguments: argparse.Namespace) -> _Asked:
    from sim.system.stream_request import PIECE, StreamRequest  # noqa: PLC0415

    warps = WARPS if arguments.warps is None else arguments.warps
    problems = [
        Problem("is not given", code="missing_argument", path=name, hint=f"--{name} is needed")
        for name in ("ctas", "inflight")
        if getattr(arguments, name) is None
    ]
    sizes = {"inflight": max(1, warps) * PIECE, "footprint": parse_bytes(DEFAULTS["footprint"])}
    for name in sizes:
        text = getattr(arguments, name)
        if text is None:
            continue
        try:
            sizes[name] = parse_bytes(text)
        except InputError as error:
            problems += [replace(problem, code="bad_argument", path=name) for problem in error.problems]
    request = StreamRequest(
        1 if arguments.ctas is None else arguments.ctas, sizes["inflight"], arguments.pattern or "tile", warps,
        sizes["footprint"], has_chase=arguments.chase, is_batched=arguments.batched,
        beside=tuple(arguments.beside or ()),
    )  # fmt: skip
    return _Asked(request, tuple(problems))


def _checked(asked: _Asked, machine: Machine) -> StreamRequest:
    """The request, if all of it could be read and can be run.

    Raises:
        InputError: everything that is wrong with it.
    """
    problems = list(asked.unread)
    try:
        asked.request.check(machine)
    except InputError as error:
        unread = {problem.path for problem in asked.unread}
        problems += [problem for problem in error.problems if problem.path not in unread]
    if problems:
        raise InputError(problems)
    return asked.request


def parse_bytes(text: str) -> int:
    """A size, "8192" or "8 KiB"."""
    return int(text) if text.strip().isdecimal() else int(parse_quantity(text, "B"))
