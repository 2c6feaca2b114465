"""Which of forty model configurations fit on one DGX Spark, and how fast do they decode?

Ten models in three precisions, two as their checkpoint is, and those two with other numbers of experts per token.
"""

import pandas as pd

import sim

qwen3 = [f"qwen3-{size}" for size in ("0.6b", "1.7b", "4b", "8b", "14b", "30b-a3b", "32b")]
names = [*qwen3, "qwen2.5-coder-7b", "llama-3.1-8b", "llama-3.1-70b"]
runs = [{"model": name, "quant": quant} for name in names for quant in ("q4_k_m", "q8_0", "bf16")]
for name in ("gpt-oss-20b", "gpt-oss-120b"):
    runs += [{"model": name, "set": {"model.num_experts_per_tok": k}} for k in (1, 2, 4, 6, 8)]

rows = []
for run in runs:
    result = sim.run(runtime="llama.cpp", prompt=0, depth=2048, output=1, **run)
    me, memory = result.identity, result.memory
    experts = str(run.get("set", {}).get("model.num_experts_per_tok", ""))
    rows.append((me.model, me.quant, experts, memory.weights_bytes / 1e9, result.fits, result.decode_tok_s))

table = pd.DataFrame(rows, columns=["model", "quant", "experts", "weights_gb", "fits", "decode_tok_s"])
table = table.sort_values(["weights_gb", "experts"], ignore_index=True)
print(table.to_string(index=False, float_format="{:.1f}".format))
print(f"{table.fits.sum()} of {len(table)} fit")
