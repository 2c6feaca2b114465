"""Which quantisation and batch of a 14B are worth running, if both time per token and throughput count?

A Pareto chart: what no other point beats in both. Usage: 14_latency_or_throughput.py [FOLDER]
"""

import sys
from pathlib import Path

import sim

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
folder.mkdir(parents=True, exist_ok=True)
table = sim.sweep(
    model="qwen3-14b",
    runtime="vllm",
    quant=["bf16", "fp8", "nvfp4"],
    batch=[1, 2, 4, 8, 16, 32, 64],
    depth=2048,
    prompt=0,
    output=16,
)
for quant, rows in table.groupby("quant", sort=False):
    best = rows.iloc[rows["decode_tok_s"].argmax()]
    alone = rows.iloc[0]
    print(
        f"{quant}: {alone.tpot_s * 1e3:.1f} ms alone, "
        f"{best.decode_tok_s:.0f} tok/s with {best.batch} at {best.tpot_s * 1e3:.1f} ms"
    )
written = sim.draw(table, folder / "latency_or_throughput", kind="pareto", x="tpot_s", y="decode_tok_s", by="quant")
print("drawn:", written[1].name)
