"""Do requests that have nothing in common spread over more experts than a bench's, and does a server take them so?"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import sim
from sim.component import COMPONENTS
from sim.result.keys import RESULT_KEYS
from sim.result.serve_keys import SERVE_KEYS
from sim.system.plugins import load_hardware
from sim.system.serve_prepare import open_serve
from sim.system.step_cost import StepSimulator
from sim.workload.hf_config import TYPICAL_SKEW, load_model
from sim.workload.quant import resolve_quant
from sim.workload.runtime_file import load_runtime

SCENARIO = """schema: sparksim.scenario/1
kind: serve
model: MODEL
runtime: {name: vllm, version: 0.26.0}
traffic:
  arrivals: {kind: poisson, rate: 1 /s}
  prompt: {constant: 64}
  output: {constant: 4}
until: {requests: 2}
"""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (2.3, TYPICAL_SKEW["mixed_text"]),
        (0.2, 0.2),  # not more alike than texts that are alike
        (None, TYPICAL_SKEW["mixed_text"]),
        ({"text": 1.0, "random_tokens": 2.1}, TYPICAL_SKEW["mixed_text"]),
        ({"text": 1.0, "random_tokens": 2.1, "mixed_text": 0.9}, 0.9),
    ],
)
def test_what_a_card_says_of_requests_without_anything_in_common(
    root: Path, tmp_path: Path, said: object, expected: float
) -> None:
    shipped = yaml.safe_load((root / "workloads/models/gpt-oss-20b.yaml").read_text(encoding="utf-8"))
    shipped["sparksim"]["expert_skew"] = said
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(shipped), encoding="utf-8")
    assert load_model(path, content="mixed_text").expert_skew == expected


def test_a_server_has_mixed_requests_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("MODEL", "gpt-oss-20b"), encoding="utf-8")
    text = load_model("gpt-oss-20b").expert_skew
    assert text is not None
    assert open_serve(path).model.expert_skew == min(text, TYPICAL_SKEW["mixed_text"])
    assert open_serve(path).prompt_skew == text  # the tokens of one prompt are of one text
    said = open_serve(path, {"workload.content": "text"})
    assert (said.model.expert_skew, said.prompt_skew) == (text, text)


def test_only_steps_in_which_all_decode_are_mixed() -> None:
    """Told that the tokens of a prompt all choose alike, a prompt is read with fewer experts; decoding stays."""
    hardware, model, runtime = (
        load_hardware("dgx-spark", {}),
        load_model("gpt-oss-20b"),
        load_runtime("vllm@0.26.0").spec,
    )
    quant = resolve_quant(model, None, runtime.family)
    times = []
    for skew in (None, 9.0):
        steps = StepSimulator(hardware, model, quant, runtime, "bf16", None, COMPONENTS, prompt_skew=skew)
        times.append([steps.trace(group, 1).duration_ps for group in (((4, 1, 512),), ((1, 24, 24),))])
    (decode, prompt), (same, shorter) = times
    assert decode == same
    assert shorter < 0.9 * prompt


def test_the_keys_of_a_servers_result_are_those_documented(tmp_path: Path) -> None:
    """Every key is in the table of a run's result or in that of a server's, and none is there that is not told."""
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("MODEL", "qwen3-0.6b"), encoding="utf-8")
    summary = sim.serve(path, seeds=[1, 2]).summary()
    of_a_run = {key.partition(".")[0] for key in RESULT_KEYS}
    assert set(summary) - of_a_run <= set(SERVE_KEYS) <= set(summary)
