"""Do shipped numbers come out again from the measurements that ship?"""

from __future__ import annotations

import json

import pytest

from sim.cli import main

pytestmark = pytest.mark.validation


@pytest.mark.parametrize(
    "name",
    [
        "llama.cpp.base.kernels.mmq_q8.efficiency",  # of whole runs
        "tensorrt-edge-llm.base.request_s",
        "vllm.base.libraries.gemm.mma_cycles",  # of kernels
        "vllm.base.request_s",  # of times to first token
    ],
)
def test_a_shipped_number_is_reproduced(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["calibrate", name, "--check", "--json"])
    (number,) = json.loads(capsys.readouterr().out)["numbers"]
    assert code == 0, number
    assert number["records_moved"] >= 5
    assert number["error_refitted"] <= number["error_shipped"] <= number["error_refitted"] + 0.01
