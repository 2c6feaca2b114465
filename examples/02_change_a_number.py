"""What would more memory bandwidth bring, and what limits decode once memory no longer does?

One number of the machine is changed over a range; everything else stays. Usage: 02_change_a_number.py [FOLDER]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

import sim

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
spark = sim.load_hardware("dgx-spark")

rows = []
for bandwidth in range(100, 601, 100):
    machine = spark.override("memory.bandwidth", f"{bandwidth} GB/s")
    result = sim.run(model="qwen3-8b", runtime="llama.cpp", quant="q8_0", hardware=machine, prompt=0, output=2)
    rows.append((bandwidth, result.decode_tok_s, result.bound))
    print(f"{bandwidth} GB/s: {result.decode_tok_s:.1f} tok/s, bound by {result.bound}")

# The link binds once the memory's sustained reads are faster: its peak times the share that long reads get.
link, share = spark.components["c2c"].bandwidth / 1e9, spark.components["memory"].sustained.read
fig, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
axes.plot([row[0] for row in rows], [row[1] for row in rows], color="#999999", zorder=1)
for bound, colour in (("memory", "#0072B2"), ("link", "#D55E00")):
    mine = [row for row in rows if row[2] == bound]
    axes.scatter([row[0] for row in mine], [row[1] for row in mine], color=colour, label=f"bound by {bound}", zorder=2)
axes.axvline(link / share, color="black", linewidth=0.8, linestyle=":")
text = f" {share:.0%} of the peak\n = {link:.0f} GB/s of the\n die-to-die link"
axes.annotate(text, (link / share, 0), xytext=(2, 6), textcoords="offset points", fontsize=9)
axes.set(xlabel="peak memory bandwidth, GB/s", ylabel="decode, tok/s", xlim=(0, None), ylim=(0, None))
axes.set_title("Qwen3-8B Q8_0, one sequence: beyond the link, memory buys nothing", loc="left", fontsize=10)
axes.legend(loc="center right")
folder.mkdir(parents=True, exist_ok=True)
fig.savefig(folder / "decode_by_bandwidth.png", dpi=150)
print("drawn: decode_by_bandwidth.png")
