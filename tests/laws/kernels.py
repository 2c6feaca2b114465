"""Random small machines and kernels, each from a seed: the same in every process."""

from __future__ import annotations

from random import Random

from sim.cost.program import Grid, Kernel, Operand, Work
from sim.system.machine import Machine
from tests.device import machine

MACHINES = {
    "gpu.sms": ("1", "2", "3", "4", "5", "8", "12"),
    "gpu.clock": ("1 GHz", "2480 MHz"),
    "l2.capacity": ("256 KiB", "1 MiB", "4 MiB", "24 MiB"),
    "c2c.bandwidth": ("10 GB/s", "40 GB/s", "300 GB/s"),
    "memory.latency": ("50 ns", "95 ns", "300 ns"),
    "memory.data_rate": ("533 MT/s", "2133 MT/s", "8533 MT/s"),
}


def any_machine(draw: Random) -> Machine:
    """DGX Spark with few SMs, a small cache, a narrow link or a slow memory."""
    return machine(*(f"{path}={draw.choice(values)}" for path, values in MACHINES.items()))


def any_kernel(draw: Random, most_steps: int) -> Kernel:
    """A kernel of any schedule, shared and streamed operands, any work, with at most `most_steps` K-steps."""
    rows, columns = draw.randint(1, 10), draw.randint(1, 10)
    splits, batches = draw.choice((1, 1, 1, 2, 3)), draw.choice((1, 1, 1, 2, 5))
    tiles = rows * columns * splits * batches
    steps = draw.choice((1, 2, 3, 4, 5, 8, 13, 16, 31, 40))
    while tiles * steps > most_steps and steps > 1:
        steps //= 2
    tiles = min(tiles, max(1, most_steps // steps))
    schedule, kinds = draw.choice(("tiles", "tiles", "persistent")), ()
    if schedule == "tiles" and draw.random() < 0.25 and tiles >= 4:
        lengths = sorted((draw.randint(1, 2 * steps) for _ in range(draw.randint(2, 4))), reverse=True)
        kinds = tuple((tiles // len(lengths), length) for length in lengths)
        tiles = sum(count for count, _ in kinds)
    return Kernel(
        "random",
        tiles,
        steps,
        Grid(rows, columns, splits, draw.choice((0, 0, 2, 4))),
        tuple(_operand(draw, number) for number in range(draw.randint(1, 3))),
        _work(draw),
        stages=draw.choice((1, 2, 3, 4)),
        schedule=schedule,
        ctas=draw.choice((0, 0, 3, 7)) if schedule == "persistent" else 0,
        ctas_per_sm=draw.choice((0, 1, 2, 4)),
        kinds=kinds,
        store_bytes=float(draw.choice((0, 100, 4096, 32768))),
        flush_bytes=float(draw.choice((0, 0, 0, 100_000))),
        threads=draw.choice((64, 128, 256, 512)),
        shared_bytes=draw.choice((0, 0, 20_000, 50_000)),
        prologue_cycles=draw.choice((0, 0, 200, 500)),
        step_cycles=draw.choice((0, 0, 100, 400)),
        flops=float(draw.choice((0, 10**9))),
    )


def _operand(draw: Random, number: int) -> Operand:
    return Operand(
        f"operand{number}",
        float(draw.choice((0, 512, 1000, 4096, 16384, 65536))),
        draw.choice(("m", "n", "b", "bm", "bn", "bmn", "")),
        resident_share=draw.choice((0.0, 0.0, 0.0, 0.5, 1.0)),
        access=draw.choice(("read", "read", "random")),
        shared_by=draw.choice((1, 1, 2)),
    )


def _work(draw: Random) -> tuple[Work, ...]:
    work = []
    if draw.random() < 0.9:
        work.append(Work("bf16", float(draw.choice((0, 1e3, 1e5, 1e6, 4e6))), draw.choice((1.0, 0.5))))
    if draw.random() < 0.5:
        work.append(Work("fp32", float(draw.choice((0, 1e3, 1e4, 1e5)))))
    return tuple(work)
