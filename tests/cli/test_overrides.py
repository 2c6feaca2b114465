"""Does `--set` reach every kind of field, say what it moved, and refuse the rest with what to do instead?"""

from __future__ import annotations

import json
from typing import Any

import pytest

import sim
from sim.cli import main
from sim.component import spec_types
from sim.hwspec import load_hardware
from sim.workload.hf_config import load_model
from sim.workload.runtime_file import ALIASES, SETTABLE, load_runtime

QUICK = ["run", "--model", "qwen3-0.6b", "--runtime", "vllm", "--prompt", "16", "--output", "2", "--cache", "off"]


def machine(*overrides: str) -> Any:
    return load_hardware("dgx-spark", spec_types(), overrides)


def value(hardware: Any, path: str) -> Any:
    return hardware.provenance[path].value


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("gpu.sms=96", "gpu.sms", 96),
        ("gpu.sms=x2", "gpu.sms", 96),
        ("gpu.clock=1200 MHz", "gpu.clock", 1.2e9),
        ("gpu.clock=x0.5", "gpu.clock", 1.24e9),
        ("gpu.flop_per_clock_per_sm.fp4=x2", "gpu.flop_per_clock_per_sm.fp4", 8192),
        ("memory.sustained.read=90 %", "memory.sustained.read", 0.9),
        ("memory.latency=0 ns", "memory.latency", 0),
        ("memory.technology=HBM3e", "memory.technology", "HBM3e"),
        ("l2.capacity=48 MiB", "l2.capacity", 48 * 2**20),
        ("system_cache.serves_gpu_reads=true", "system_cache.serves_gpu_reads", True),
        ("cpu0.cores.0.count=7", "cpu0.cores.0.count", 7),
        ("nic.bandwidth=100 Gbit/s", "nic.bandwidth", 12.5e9),
        ("machine.price=2999 USD", "machine.price", 2999),
        ("os.reserve=6 GiB", "os.reserve", 6 * 2**30),
        ("power.package_limit=100 W", "power.package_limit", 100),
    ],
)
def test_hardware_fields_of_every_kind(override: str, path: str, expected: object) -> None:
    changed = machine(override)
    assert value(changed, path) == expected
    assert changed.provenance[path].status == "overridden"
    assert changed.digest != machine().digest


def test_a_derived_field_moves_its_input_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Peak = channels x width x data rate, so twice the peak is twice the data rate; core timings stay."""
    changed, plain = machine("memory.bandwidth=x2"), machine()
    assert value(changed, "memory.data_rate") == 2 * value(plain, "memory.data_rate")
    assert value(changed, "memory.bandwidth") == 2 * value(plain, "memory.bandwidth")
    assert value(changed, "memory.latency") == value(plain, "memory.latency")
    assert main([*QUICK, "--set", "memory.bandwidth=x2", "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["overrides"] == {"memory.bandwidth": "x2"}
    assert "moved memory.data_rate from 8.533 GT/s to 17.07 GT/s" in result["warnings"][0]
    assert f"note: {result['warnings'][0]}" in printed.err.splitlines()


def test_every_settable_field_of_a_runtime_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Set to what it is, nothing changes; so the field is there and its text is read in its own unit."""
    plain = load_runtime("vllm").spec
    for name, kind in SETTABLE.items():
        now: Any = plain
        for key in name.split("."):
            now = getattr(now, key)
        text = f"{now!r} s" if kind == "s" else str(now)
        assert load_runtime("vllm", overrides={name: text}).spec == plain, name
    assert set(ALIASES.values()) <= set(SETTABLE)


@pytest.mark.parametrize(
    ("name", "text", "field", "expected"),
    [
        ("ubatch_tokens", "512", "ubatch_tokens", 512),
        ("max_num_batched_tokens", "x0.5", "ubatch_tokens", 1024),
        ("linear_backend", "marlin", "linear_backend", "marlin"),
        ("host_step_s", "2 ms", "host_step_s", 2e-3),
        ("host_step_s", "x2", "host_step_s", 2.4e-3),
        ("launch", "eager", "launch", "eager"),
        ("kv_dtype", "fp8", "kv_dtype", "fp8"),
    ],
)
def test_runtime_fields(name: str, text: str, field: str, expected: object) -> None:
    assert getattr(load_runtime("vllm", overrides={name: text}).spec, field) == expected


def test_gpu_memory_utilization_is_the_share_of_the_memory() -> None:
    assert load_runtime("vllm", overrides={"gpu_memory_utilization": "0.5"}).spec.memory.fraction == 0.5


def test_model_fields() -> None:
    assert len(load_model("qwen3-0.6b", overrides={"num_hidden_layers": "40"}).layers) == 40
    assert len(load_model("qwen3-0.6b", overrides={"num_hidden_layers": "x2"}).layers) == 56
    assert load_model("qwen3-0.6b", overrides={"tie_word_embeddings": "false"}).is_tied is False
    assert len(load_model("gpt-oss-20b", overrides={"num_hidden_layers": "6"}).layers) == 6


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gpu.smz=3", "unknown field 'gpu.smz'; did you mean 'gpu.sms'?"),
        ("gqu.sms=3", "unknown field 'gqu.sms'; did you mean 'gpu.sms'?"),
        ("npu.units=3", "unknown field 'npu.units'; components: gpu, l2, tlb"),
        ("gpu.sms=0", "gpu.sms: must be more than 0, not 0"),
        ("gpu.sms=many", 'gpu.sms: "many" is not a plain number'),
        ("gpu.clock=3", 'gpu.clock: "3" needs a unit, e.g. "2.4 GHz"'),
        ("gpu.clock=3 GB", "is in B, but must be a number of Hz"),
        ("gpu.peak.fp4=x2", "gpu.peak.fp4: is derived from gpu.sms, gpu.clock, gpu.flop_per_clock_per_sm: set one of"),
        ("system_cache.serves_gpu_reads=maybe", "must be true or false, not 'maybe'"),
        ("runtime.ubach=1", "unknown runtime field 'ubach'; did you mean 'runtime.ubatch'?"),
        ("runtime.launch=egaer", "runtime.launch: must be 'graph' or 'eager', not 'egaer'; did you mean 'eager'?"),
        ("runtime.ubatch_tokens=0", "runtime.ubatch_tokens: must be more than 0, not 0"),
        ("runtime.ubatch_tokens=x0.3", "runtime.ubatch_tokens: must be a whole number, not 614.4"),
        ("runtime.kernels.marlin.threads=1", "unknown runtime field 'kernels.marlin.threads'; settable: ubatch_tokens"),
        ("model.num_layers=3", "unknown model field 'num_layers'; did you mean 'model.num_hidden_layers'?"),
        ("model.hidden_size=abc", "model.hidden_size: must be a whole number, not 'abc'"),
        ("model.num_hidden_layers=x0.3", "model.num_hidden_layers: must be a whole number, not 8.4"),
        ("quant.default=fp8", "quant.default: is not set this way; take another recipe with --quant"),
        ("workload.batch=3", "workload.batch: is not set this way; use --batch, --prompt, --depth and --output"),
        ("gpu=3", "gpu: names no field; write PATH=VALUE, e.g. gpu.sms=96"),
        ("gpu.sms", "gpu.sms: has no value; write PATH=VALUE, e.g. gpu.sms=96"),
        ("gpu.sms=", "gpu.sms: has no value; write PATH=VALUE, e.g. gpu.sms=96"),
    ],
)
def test_what_cannot_be_set_says_what_can(override: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--set", override]) == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert message in printed.err


def test_the_same_path_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--set", "gpu.sms=96", "--set", "gpu.sms=24"]) == 2
    assert capsys.readouterr().err == "gpu.sms: is set twice\n"


def test_content_chooses_the_routing_skew_of_the_card() -> None:
    """Do random tokens, which crowd the same experts, read fewer weights than text does?"""
    case: dict[str, Any] = {
        "model": "qwen3-30b-a3b",
        "runtime": "vllm",
        "quant": "fp8",
        "batch": 16,
        "prompt": 0,
        "output": 2,
    }
    text = sim.run(**case)
    random = sim.run(**case, set={"workload.content": "random_tokens"})
    assert text.rates()["decode_tok_s"] < random.rates()["decode_tok_s"]
    assert sim.run(**case, set={"workload.content": "text"}).rates() == text.rates()


def test_an_unknown_content_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Does a content class that does not exist name the ones that do?"""
    assert main([*QUICK, "--set", "workload.content=prose"]) == 2
    assert (
        "workload.content: unknown content 'prose'; one of text, random_tokens, mixed_text" in capsys.readouterr().err
    )
