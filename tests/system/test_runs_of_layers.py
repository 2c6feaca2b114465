"""Do equal runs of layers in a row replay, one after the other, without waiting for themselves?

Q4_K_M gives more bits to some layers, so the layers of gpt-oss fall into several runs whose ops have the same ids; the
first op of a run waits for the last op of the run before, whose id is also that of the last op of its own run.
"""

from __future__ import annotations

from pathlib import Path

from sim.api import run
from sim.workload.hf_config import load_model


def test_every_layer_runs_once(tmp_path: Path) -> None:
    result = run(model="gpt-oss-20b", runtime="llama.cpp", quant="q4_k_m", prompt=0, output=1, cache="off")
    assert result.trace
    step = result.trace.steps[0]
    attentions = [op for op in step.ops if op.kind == "attention"]
    assert len(attentions) > 2  # several runs: the case that this file is about
    assert sum(op.repeat for op in attentions) == len(load_model("gpt-oss-20b").layers)
    result.write(tmp_path / "out")
    replayed = run(file=tmp_path / "out" / "ops.jsonl", runtime="llama.cpp", cache="off")
    assert replayed.trace
    assert replayed.trace.steps[0].spans == step.spans
