"""Is a runtime whose kernels a GPU cannot run refused by name, and is a coarse or partial machine said to be so?"""

from __future__ import annotations

import pytest

import sim
from sim.errors import InputError
from sim.paths import available
from sim.system.generation import TITLES, check_generation, gpu_of, notes, suitable
from sim.workload.runtime_file import load_runtime

MACHINES = {
    "dgx-spark": "llama.cpp", "dgx-1-p100": "llama.cpp-pascal", "dgx-1-v100": "llama.cpp-volta",
    "jetson-agx-thor": "llama.cpp", "rtx-5090": "llama.cpp", "h100-sxm": "llama.cpp", "h200-sxm": "llama.cpp",
    "b200": "llama.cpp", "gh200": "llama.cpp", "dgx-station-gb300": "llama.cpp", "strix-halo": "llama.cpp-vulkan",
    "m2-ultra": "llama.cpp-metal", "m3-ultra": "llama.cpp-metal", "m4-max": "llama.cpp-metal",
    "m5-max": "llama.cpp-metal", "rtx-spark-n1x": "llama.cpp",
}  # fmt: skip


@pytest.mark.parametrize(("hardware", "runtime"), MACHINES.items())
def test_every_machine_runs_a_model_below_its_roofline(hardware: str, runtime: str) -> None:
    """Decode reads every weight once per token at the most: no machine is faster than its peak bandwidth allows."""
    result = sim.run(hardware=hardware, runtime=runtime, model="qwen3-4b", quant="q8_0", prompt=64, output=8)
    assert result.memory is not None
    weights = result.memory.weights_bytes
    peak = sim.load_hardware(hardware).components["memory"].bandwidth
    assert 0.1 * peak / weights < result.decode_tok_s < peak / weights  # the head is the embedding: all of it is read


SINCE = "NVIDIA's since Turing"
REFUSED = [
    ("m3-ultra", "llama.cpp", SINCE, "Apple's", "llama.cpp-metal"),
    ("dgx-1-p100", "vllm", SINCE, "NVIDIA's Pascal", "llama.cpp-pascal"),
    ("dgx-spark", "llama.cpp-rocm", "AMD's RDNA", SINCE, "llama.cpp, ollama"),
]


@pytest.mark.parametrize(("hardware", "runtime", "written", "there", "offers"), REFUSED)
def test_kernels_of_others_are_refused_by_name(
    hardware: str, runtime: str, written: str, there: str, offers: str
) -> None:
    with pytest.raises(InputError) as caught:
        sim.run(hardware=hardware, runtime=runtime, model="qwen3-4b", prompt=16, output=2)
    (problem,) = caught.value.problems
    assert problem.message == f"{runtime} has kernels for GPUs of {written}; that of {hardware} is {there}"
    assert (problem.code, problem.path) == ("unsuitable_runtime", "runtime")
    assert offers in str(problem.hint)


def test_what_does_not_run_is_refused_before_it_is_weighed() -> None:
    """A model that would not fit is not said to be too large for a runtime that there is not."""
    with pytest.raises(InputError, match="has kernels for GPUs of"):
        sim.run(hardware="dgx-1-p100", runtime="vllm", model="llama-3.1-70b")
    with pytest.raises(InputError, match="has kernels for GPUs of"):
        sim.kernel("gemm", hardware="m4-max", runtime="vllm", dtype="bf16", m=16, n=64, k=64)


def test_every_generation_has_a_name_and_a_runtime() -> None:
    found = {gpu.generation for name in available("hardware") if (gpu := gpu_of(sim.load_hardware(name)))}
    assert found == set(TITLES)
    assert all(suitable(generation, "llama.cpp")[0].startswith("llama.cpp") for generation in found)


def test_coarse_machines_and_parts_of_boxes_say_so() -> None:
    assert any("coarse compute units" in note for note in notes(sim.load_hardware("strix-halo")))
    assert notes(sim.load_hardware("dgx-1-v100")) == (
        "one of the 8 GPUs of dgx-1-v100 is simulated, with its own memory",
    )
    assert notes(sim.load_hardware("dgx-spark")) == ()
    said = sim.run(hardware="strix-halo", runtime="llama.cpp-vulkan", model="qwen3-4b", prompt=0, output=2)
    assert [note.split(":")[0] for note in said.identity.warnings[:2]] == [
        "the GPU of strix-halo is described by coarse compute units",
        "the kernels of llama.cpp-vulkan are a few rules, calibrated on one machine (Strix Halo)",
    ]


def test_a_generation_can_be_set_and_is_checked() -> None:
    machine = sim.load_hardware("dgx-spark").override("gpu.generation", "rdna")
    with pytest.raises(InputError, match="AMD's RDNA"):
        check_generation(machine, load_runtime("llama.cpp").spec)
    check_generation(machine, load_runtime("llama.cpp-vulkan").spec)
