"""Does a prediction stay within its budget of events, whatever the shape?

`events` is the honest measure of work: it is the same on every machine, so these budgets are no matter of luck. Time is
compared as a ratio of two runs in the same process only.
"""

from __future__ import annotations

import time

import pytest

import sim
from sim.cost.kernel import Lowering
from sim.cost.program import Kernel
from sim.errors import WorkloadError
from sim.workload.quant import formats
from sim.workload.runtime_file import load_runtime
from tests.bench.shapes import every_op
from tests.device import machine, simulate

EVENTS_PER_KERNEL = 4000
EVENTS_OF_80_LAYERS = 60_000
RUNTIMES = ("llama.cpp", "vllm")


def _kernels(runtime: str, every: int, start: int = 0) -> dict[Kernel, str]:
    """Every `every`-th op as a kernel, equal ones once."""
    lowering = Lowering(load_runtime(runtime).spec, formats(), machine().gpu.sms)
    found: dict[Kernel, str] = {}
    for op in every_op()[start::every]:
        try:
            found.setdefault(lowering.kernel(op), op.id)
        except WorkloadError:  # a format that the runtime has no kernel for
            continue
    return found


def _over_budget(kernels: dict[Kernel, str]) -> dict[str, int]:
    found = {}
    for kernel, name in kernels.items():
        profile, _ = simulate(kernel, machine())
        assert profile.l2_read_bytes == pytest.approx(kernel.l2_read_bytes, rel=1e-6, abs=1), name
        assert profile.l2_write_bytes == pytest.approx(kernel.written_bytes, rel=1e-6, abs=1), name
        assert profile.flops == pytest.approx(kernel.flops, rel=1e-6, abs=1), name
        if profile.events > EVENTS_PER_KERNEL:
            found[name] = profile.events
    return found


@pytest.mark.bench
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_kernel_takes_more_events_than_its_budget(runtime: str, part: int) -> None:
    assert _over_budget(_kernels(runtime, 8, part)) == {}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_sample_of_kernels_keeps_the_budget(runtime: str) -> None:
    """The everyday share of the sweep above."""
    assert _over_budget(_kernels(runtime, 53)) == {}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_eighty_layers_from_an_empty_cache_keep_the_budget(runtime: str) -> None:
    result = sim.run(model="llama-3.1-70b", runtime=runtime, quant="q4_k_m" if runtime == "llama.cpp" else "fp8",
                     cache="off")  # fmt: skip
    assert result.trace is not None
    assert sum(block.repeat for step in result.workload.phases[-1].steps for block in step.blocks[1:-1]) >= 80
    assert result.summary()["events"] <= EVENTS_OF_80_LAYERS


def test_more_layers_cost_no_more_events() -> None:
    """Equal layers are advanced in closed form: the number of layers does not show."""
    events = {}
    for layers in (20, 80):
        result = sim.run(
            model="llama-3.1-70b", runtime="vllm", quant="nvfp4", prompt=64, output=2, cache="off",
            set={"model.num_hidden_layers": str(layers)},
        )  # fmt: skip
        events[layers] = result.summary()["events"]
    assert events[80] <= events[20] * 1.01


@pytest.mark.bench
def test_folding_saves_most_of_the_time_of_a_large_kernel() -> None:
    """A ratio of two runs: full against folded."""
    kernel = next(iter(_kernels("vllm", 1, [op.id for op in every_op()].index("gemm 512 4096 4096 bf16"))))
    seconds = {}
    for is_full in (False, True):
        begin = time.process_time()
        simulate(kernel, machine(), is_full=is_full)
        seconds[is_full] = time.process_time() - begin
    assert seconds[True] > 3 * seconds[False]
