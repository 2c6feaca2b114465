"""Do requests that have nothing in common spread over more experts than a bench's, and does a server take them so?"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sim.system.serve_prepare import open_serve
from sim.workload.hf_config import TYPICAL_SKEW, load_model

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
    assert open_serve(path, {"workload.content": "text"}).model.expert_skew == text
