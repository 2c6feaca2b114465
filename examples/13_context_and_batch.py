"""How fast does Qwen3 30B-A3B answer many users with long contexts, and what no longer fits?

A heat map of the time per token over sequences and tokens cached. Usage: 13_context_and_batch.py [FOLDER]
"""

import sys
from pathlib import Path

import sim

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
folder.mkdir(parents=True, exist_ok=True)
table = sim.sweep(
    model="qwen3-30b-a3b",
    runtime="vllm",
    quant="fp8",
    prompt=0,
    output=16,
    batch=[1, 4, 16, 64],
    depth=[1024, 8192, 32000, 128000],
)
for row in table.itertuples():
    told = f"{row.tpot_s * 1e3:.1f} ms a token" if row.status == "ok" else f"{row.status}".replace("_", " ")
    print(f"{row.batch} x {row.depth} tokens: {told}")
print("drawn:", sim.draw(table, folder / "context_and_batch", kind="heat", y="tpot_s")[1].name)
