"""How long do the ops of my own network take, op by op, when no model card describes it?

net-by-hand.yaml lists the ops by hand. What a run writes as ops.jsonl is the same kind of file: replaying it gives
the same times. Usage: 04_replay_op_trace.py [FOLDER]
"""

import sys
from pathlib import Path

import sim

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
result = sim.run(file=Path(__file__).with_name("net-by-hand.yaml"), runtime="vllm")

for op in result.to_frame("ops").itertuples():
    print(f"{op.op:<5} {op.kind:<13} {op.component:<13} {op.duration_ps / 1e6:.1f} us")
print(f"128 steps: {result.phase_time_s('decode'):.2f} s, bound by {result.bound}")

result.write(folder / "replay", force=True)
again = sim.run(file=folder / "replay" / "ops.jsonl", runtime="vllm")
print(f"replayed from what it wrote, the same spans: {again.to_frame('spans').equals(result.to_frame('spans'))}")
