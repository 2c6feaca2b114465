"""Is a user's own component a full member: does it compute, move bytes, share memory, keep laws, get checked?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import sim
from sim.component import COMPONENTS
from sim.cost.kernel import Traffic
from sim.hwspec import BytesPerSecond, FlopPerSecond, Seconds
from sim.system.machine import Machine
from sim.system.plugins import code_of
from sim.system.residency import Residency

RATE, WIDTH, DOORBELL_S = 10e12, 100e9, 3e-6
PEAK, READ, WRITE, LATENCY_S = 16 * 2 * 8533e6, 0.861, 0.791, 95e-9  # LPDDR5X of dgx-spark.yaml


class BlockSpec(sim.ComponentSpec):
    """A block that multiplies."""

    ports: ClassVar = {"memory": "memory"}

    rate: FlopPerSecond
    bandwidth: BytesPerSecond
    doorbell: Seconds


class Block(sim.Component):
    """Takes the ops whose id begins with `npu`."""

    Spec = BlockSpec

    @property
    def peak(self):
        return {"int8": self.spec.rate}

    def carry(self, engine):
        return sim.Hop(engine, self.name, "dram", self.spec.bandwidth, 0, is_shared=True)

    def accepts(self, op):
        return op.id.startswith("npu")

    def program(self, op):
        compute = op.flops / self.spec.rate
        return sim.Share(compute, op.read_bytes, op.write_bytes, op.flops, "int8", start_s=self.spec.doorbell)


@pytest.fixture(autouse=True)
def _types() -> Iterator[None]:
    """Registered for a test, gone after it."""
    before = dict(COMPONENTS)
    yield
    COMPONENTS.clear()
    COMPONENTS.update(before)


def machine(folder: Path, cls: type[sim.Component] = Block, extra: str = "") -> sim.hwspec.HardwareSpec:
    sim.register(cls, "block")
    path = folder / "own.yaml"
    path.write_text(
        "schema: sparksim.hardware/1\nname: own\nextends: dgx-spark\ncomponents:\n"
        "  npu: {type: block, kind: assumed, source: an invented block for a test,"
        f" rate: 10 TFLOP/s, bandwidth: 100 GB/s, doorbell: 3 us{extra}}}\n"
        "links:\n  - npu.memory -> memory.npu\n"
    )
    return sim.load_hardware(path)


def run(folder: Path, *ops: str, hardware: object = None) -> sim.RunResult:
    path = folder / "ops.yaml"
    path.write_text("schema: sparksim.ops/1\nname: t\nops:\n" + "".join(f"  - {{{op}}}\n" for op in ops))
    return sim.run(file=path, runtime="vllm", hardware=hardware or machine(folder), cache="off")


def op_of(result: sim.RunResult, name: str) -> object:
    return next(op for op in result.trace.steps[0].ops if op.op == name)


def test_compute_bound_op_takes_flops_by_rate_and_its_start(tmp_path: Path) -> None:
    op = op_of(run(tmp_path, "id: npu1, op: custom, flops: 1 GFLOP, read: 1 kB, write: 0 B"), "npu1")
    assert op.duration_ps == pytest.approx((1e9 / RATE + DOORBELL_S) * 1e12, abs=2)
    assert op.causes["tensor"] == pytest.approx(1e9 / RATE * 1e12, abs=2)
    assert op.causes["dependency"] == pytest.approx(DOORBELL_S * 1e12, abs=2)
    assert (op.component, op.flops, op.unit) == ("npu", 1e9, "npu.int8")


def test_memory_bound_op_takes_bytes_by_the_slowest_on_the_way(tmp_path: Path) -> None:
    """100 GB/s of its own for both directions, then the memory's latency; 273 GB/s x 0.86 is not the limit."""
    result = run(tmp_path, "id: npu1, op: custom, flops: 1 kFLOP, read: 3 MB, write: 1 MB")
    op = op_of(result, "npu1")
    assert op.duration_ps == pytest.approx((4e6 / WIDTH + LATENCY_S + DOORBELL_S) * 1e12, rel=1e-6)
    assert op.causes["dram"] == pytest.approx((4e6 / WIDTH + LATENCY_S) * 1e12, rel=1e-6)
    assert (op.asked_read_bytes, op.asked_write_bytes) == (3e6, 1e6)
    assert (op.dram_read_bytes, op.dram_write_bytes) == (3e6, 1e6)


def test_its_bytes_and_flops_are_in_the_summary_and_the_ops_table(tmp_path: Path) -> None:
    result = run(tmp_path, "id: npu1, op: custom, flops: 1 GFLOP, read: 3 MB, write: 1 MB")
    phase = result.phases["run"]
    assert (phase["dram"]["read_bytes"], phase["dram"]["write_bytes"], phase["flops"]) == (3_000_000, 1_000_000, 1e9)
    row = result.to_frame("ops").iloc[0]
    assert (row.dram_read_bytes, row.dram_write_bytes, row.flops, row.unit) == (3e6, 1e6, 1e9, "npu.int8")
    assert result.identity.peak_flops["npu.int8"] == RATE


def test_its_result_is_written_and_drawn(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        "id: npu1, op: custom, flops: 1 GFLOP, read: 3 MB, write: 1 MB",
        "id: gpu1, op: custom, flops: 1 GFLOP, read: 3 MB, write: 1 MB, ctas: 96, after: [npu1]",
    )
    assert {"roofline.png", "timeline.png"} <= {path.name for path in result.write(tmp_path / "out")}
    again = sim.run(file=tmp_path / "out/ops.jsonl", runtime="vllm", hardware=result.hardware)
    assert list(again.trace.steps[0].spans) == list(result.trace.steps[0].spans)


def test_elapsed_time_is_told_along_the_critical_path(tmp_path: Path) -> None:
    """Both components' waits are in their spans, but the causes of the phase sum to its time once, not twice."""
    result = run(
        tmp_path,
        "id: gpu1, op: custom, flops: 1 GFLOP, read: 4 MB, write: 1 MB, ctas: 96",
        "id: npu1, op: custom, flops: 9 GFLOP, read: 3 MB, write: 1 MB, after: [gpu1]",
        "id: gpu2, op: custom, flops: 1 GFLOP, read: 4 MB, write: 1 MB, ctas: 96, after: [npu1]",
    )
    phase, npu = result.phases["run"], op_of(result, "npu1")
    assert sum(phase["causes"].values()) == pytest.approx(1)
    assert phase["causes"]["tensor"] * phase["time_s"] == pytest.approx(9e9 / RATE, rel=1e-6)
    assert sum(npu.causes.values()) == pytest.approx(npu.wall_ps)
    assert phase["bound"] == "compute"
    step = result.trace.steps[0]
    assert set(step.elapsed) == {(0, "gpu1"), (0, "npu1"), (0, "gpu2")}
    assert sum(sum(causes.values()) for causes in step.elapsed.values()) == step.duration_ps


def test_inputs_that_are_dirty_in_l2_are_written_back_for_it_and_its_output_is_not_there(tmp_path: Path) -> None:
    """The GPU leaves 1 MB dirty in L2; the block reads it from memory, and the GPU finds the block's 2 MB there."""
    result = run(
        tmp_path,
        "id: gpu1, op: custom, flops: 1 MFLOP, read: 4 MB, write: 1 MB, ctas: 96",
        "id: npu1, op: custom, flops: 1 MFLOP, read: 1 MB, write: 2 MB, after: [gpu1]",
        "id: gpu2, op: custom, flops: 1 MFLOP, read: 2 MB, write: 1 kB, ctas: 96, after: [npu1]",
        "id: gpu3, op: custom, flops: 1 MFLOP, read: 1 kB, write: 1 kB, ctas: 1, after: [gpu2]",
    )
    npu, gpu2, gpu3 = (op_of(result, name) for name in ("npu1", "gpu2", "gpu3"))
    assert npu.dram_write_bytes == npu.asked_write_bytes == 2e6 + 1e6
    assert gpu2.dram_read_bytes == pytest.approx(2e6, rel=0.01)
    assert gpu3.dram_read_bytes == 0  # the GPU's own output is still in L2


def test_its_output_takes_the_place_of_an_older_copy_in_l2() -> None:
    """The same op id, once on the GPU and then beside it (an equal layer, say): what L2 held is out of date."""
    residency, traffic = Residency(1000.0), Traffic(0.0, 0.0, 100.0)
    residency.visit("a", (), traffic)
    assert residency.visit("b", ("a",), traffic).inputs_resident
    residency.visit("a", (), None)
    assert not residency.visit("c", ("a",), traffic).inputs_resident


def test_two_components_at_once_share_the_controllers(tmp_path: Path) -> None:
    """Max-min fair, and no byte is lost.

    The block wants 100 of 235 GB/s, less than half: it does not wait. The GPU gets the rest, so it waits for as long as
    memory is busy with the block's bytes, less what it leaves free alone.
    """
    gpu = "id: gpu1, op: custom, flops: 1 MFLOP, read: 235 MB, write: 0 B, ctas: 480"
    npu = "id: npu1, op: custom, flops: 1 MFLOP, read: 100 MB, write: 0 B"
    alone = [run(tmp_path, op).phase_time_s("run") for op in (gpu, npu)]
    both = run(tmp_path, gpu, npu)
    time_s = both.phase_time_s("run")
    least = 335e6 / (PEAK * READ)
    assert max(alone) < least
    assert least <= time_s <= 1.1 * least
    assert both.phases["run"]["dram"]["read_bytes"] == pytest.approx(335e6, rel=1e-3)
    waits = [
        op_of(both, name).causes["dram"] - op_of(run(tmp_path, op), name).causes["dram"]
        for name, op in (("gpu1", gpu), ("npu1", npu))
    ]
    assert waits == pytest.approx([100e6 / (PEAK * READ) * 1e12, 0], rel=0.05)


def test_components_that_do_not_fill_memory_do_not_slow_each_other(tmp_path: Path) -> None:
    gpu = "id: gpu1, op: custom, flops: 1 GFLOP, read: 1 MB, write: 0 B, ctas: 480"
    npu = "id: npu1, op: custom, flops: 1 GFLOP, read: 1 MB, write: 0 B"
    alone = [run(tmp_path, op).phase_time_s("run") for op in (gpu, npu)]
    assert run(tmp_path, gpu, npu).phase_time_s("run") == pytest.approx(max(alone), rel=1e-6)


def test_custom_op_may_say_its_component(tmp_path: Path) -> None:
    op = "id: npu1, op: custom, flops: 1 GFLOP, read: 1 kB, write: 0 B, ctas: 96, component: "
    assert op_of(run(tmp_path, op + "gpu"), "npu1").component == "gpu"
    assert op_of(run(tmp_path, op + "npu"), "npu1").component == "npu"
    for name, why in (("nic", "does not take it"), ("tpu", "is not there")):
        with pytest.raises(sim.WorkloadError, match=f"is to run on component '{name}', which {why}"):
            run(tmp_path, op + name)


def test_its_spec_is_checked_like_ours(tmp_path: Path) -> None:
    with pytest.raises(sim.SpecError) as caught:
        machine(tmp_path, extra=", doorbel: 1 us, clock: 3")
    assert [(p.path, p.line) for p in caught.value.problems] == [("npu.doorbel", 5), ("npu.clock", 5)]
    assert "unknown field 'doorbel'" in str(caught.value)


def test_its_port_and_its_fields_are_named_and_settable(tmp_path: Path) -> None:
    hardware = machine(tmp_path).override("npu.rate", "20 TFLOP/s")
    op = op_of(run(tmp_path, "id: npu1, op: custom, flops: 1 GFLOP, read: 1 kB", hardware=hardware), "npu1")
    assert op.duration_ps == pytest.approx((1e9 / 20e12 + DOORBELL_S) * 1e12, abs=2)
    path = tmp_path / "own.yaml"
    path.write_text(path.read_text().replace("npu.memory ->", "npu.dma ->"))
    with pytest.raises(sim.SpecError, match="npu has no port 'dma'; its ports: memory"):
        sim.load_hardware(path)


class Raises(Block):
    """Its program has a bug."""

    def program(self, op):
        return op.flops / 0


class Negative(Block):
    """Its program answers what cannot be."""

    def program(self, op):
        return sim.Share(-1.0, 5, float("nan"), unit="fp4")


class WrongType(Block):
    """Its program answers something else."""

    def program(self, op):
        return 3.0


class Choosy(Block):
    """Fails when asked."""

    def accepts(self, op):
        return op.nothing


class BadHop(Block):
    """Its hop is of an unknown cause and cannot write."""

    def carry(self, engine):
        return sim.Hop(engine, self.name, "magic", {"read": 1e9, "random": 1e9, "strided": 1e9}, 0, is_shared=True)


@pytest.mark.parametrize(
    ("cls", "messages"),
    [
        (Raises, ["component 'npu' (Raises): program('npu1') fails: ZeroDivisionError: float division by zero"]),
        (
            Negative,
            [
                "compute_s must be 0 or more and finite, not -1.0",
                "write_bytes must be 0 or more and finite, not nan",
                "unit 'fp4' is not in the component's peak (int8)",
            ],
        ),
        (WrongType, ["program('npu1') must return a sim.Share, not float"]),
        (Choosy, ["accepts('npu1') fails: AttributeError: 'Custom' object has no attribute 'nothing'"]),
        (BadHop, ["no rate for 'write'", "cause 'magic' is none of dram, l2"]),
    ],
)
def test_what_a_component_does_wrong_is_said_with_its_name(cls: type, messages: list[str], tmp_path: Path) -> None:
    hardware = machine(tmp_path, cls)
    with pytest.raises(sim.PluginError) as caught:
        run(tmp_path, "id: npu1, op: custom, flops: 1 GFLOP, read: 1 kB, write: 0 B", hardware=hardware)
    assert len(caught.value.problems) == len(messages)
    for problem, message in zip(caught.value.problems, messages, strict=True):
        assert message in problem.message
        assert cls.__name__ in problem.message
    if cls in (Raises, Choosy):
        assert caught.value.problems[0].file == __file__


class OtherLink(sim.Component):
    """A die-to-die link of the user's own: half as fast as its spec says."""

    Spec = COMPONENTS["c2c"].Spec

    def carry(self, engine):
        return sim.Hop(engine, self.name, "c2c", self.spec.bandwidth / 2, 0, is_shared=False)


def test_a_component_may_take_the_place_of_ours_in_the_path_of_kernels(tmp_path: Path) -> None:
    """150 GB/s of link instead of 300: a long read is bound by it, and takes bytes by rate."""
    sim.register(OtherLink, "other_link")
    path = tmp_path / "linked.yaml"
    path.write_text(
        "schema: sparksim.hardware/1\nextends: dgx-spark\ncomponents:\n"
        "  c2c: {type: other_link, kind: vendor, source: as in dgx-spark, bandwidth: 300 GB/s, latency: 170 ns}\n"
    )
    op = "id: gpu1, op: custom, flops: 1 kFLOP, read: 150 MB, write: 0 B, ctas: 480"
    result = run(tmp_path, op, hardware=sim.load_hardware(path))
    assert result.bound == "link"
    assert code_of(OtherLink) in Machine(result.hardware).device_key()  # another code, another profile
    assert op_of(result, "gpu1").duration_ps == pytest.approx(1e9, rel=0.02)
