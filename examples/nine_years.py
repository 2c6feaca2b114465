"""What did nine years change: a DGX-1 of 2016 or 2017, in a rack, or a DGX Spark of 2025, on a desk?

A dense model and two mixtures of experts, on one GPU of each DGX-1 (eight are in the box; several GPUs at one model are
not simulated) and on the Spark's one chip. Watts of a DGX-1 are at most an eighth of its box's, those of a Spark are
counted from the run; a million tokens costs the price over three years, and electricity.
Usage: nine_years.py [FOLDER]
"""

import sys
from pathlib import Path

import sim
from sim.plot import draw_machines

MACHINES = ("dgx-1-p100", "dgx-1-v100", "dgx-spark")
RUN = {"runtime": "llama.cpp", "prompt": 2048, "output": 128}
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
folder.mkdir(parents=True, exist_ok=True)

models = ("llama-2-7b", "gpt-oss-20b", "gpt-oss-120b")
tables = {model: sim.compare_machines(MACHINES, model=model, **RUN).to_dict() for model in models}

print("the boxes")
for row in tables["gpt-oss-20b"]["machines"]:
    memory, bandwidth = row["box_memory_bytes"] / 1e9, row["bandwidth_bytes_per_s"] / 1e9
    print(f"  {row['hardware']:<10}  {row['gpus']} GPU of {bandwidth:.0f} GB/s, {memory:.0f} GB", end=", ")
    print(f"at most {row['box_power_w']:.0f} W, {row['price_usd']:.0f} USD ({row['price_date']})")

for model, table in tables.items():
    print(f"{model} in {table['quant']}, on one GPU")
    for row in table["machines"]:
        print(f"  {row['hardware']:<10}", end="  ")
        if row["fits"]:
            print(f"prompt {row['prefill_tok_s']:.0f} tok/s, answer {row['decode_tok_s']:.1f} tok/s", end=", ")
            print(f"{row['tokens_per_joule']:.2f} tokens/J, {row['usd_per_million_tokens']:.1f} USD per million")
        else:
            print(f"does not fit, {row['short_bytes'] / 1e9:.0f} GB short")

_, old, new = tables["gpt-oss-20b"]["machines"]
speed, bandwidth = (old[key] / new[key] for key in ("decode_tok_s", "bandwidth_bytes_per_s"))
joule = new["tokens_per_joule"] / old["tokens_per_joule"]
print(
    f"gpt-oss-20b: a V100 has {bandwidth:.1f} times the Spark's bandwidth and answers {speed:.1f} times as fast",
    end="; ",
)
print(f"the Spark makes up to {joule:.1f} times the tokens of a joule")
drawn = draw_machines(tables["gpt-oss-20b"], folder / "nine_years")
print(f"drawn: {', '.join(path.name for path in drawn)}")
