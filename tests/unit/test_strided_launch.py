"""Does a launch that reads one head of many ask the memory for strided pieces, and is it slower for it?"""

from __future__ import annotations

import pytest

import sim
from sim.cost.elementwise import streaming_kernel
from sim.workload.op import Elementwise

TRACE = """schema: sparksim.ops/1
name: one
ops:
  - {{id: e, op: elementwise, elements: 268435456, reads: 1, writes: 0, is_cold: true, is_strided: {flag}}}
"""


@pytest.mark.parametrize(("is_strided", "access"), [(True, "strided"), (False, "read")])
def test_its_operand_says_so(is_strided: bool, access: str) -> None:
    op = Elementwise(id="e", elements=2**20, is_strided=is_strided)
    assert [each.access for each in streaming_kernel(op, "e", 16, inputs_resident=False).operands] == [access]


def test_it_runs_at_the_rate_of_strided_reads(tmp_path) -> None:
    """512 MiB are read; beside the ratio of the two rates only the start of the kernel counts."""
    times = {}
    for flag in ("true", "false"):
        path = tmp_path / f"{flag}.yaml"
        path.write_text(TRACE.format(flag=flag), encoding="utf-8")
        result = sim.run(file=path, runtime="llama.cpp")
        times[flag] = sum(phase["time_s"] for phase in result.phases.values())
    shares = sim.load_hardware("dgx-spark").components["memory"].sustained
    assert times["true"] / times["false"] == pytest.approx(shares.read / shares.strided, rel=0.03)
