"""What fits into 128 GB, how long does a start take, and who has the memory meanwhile?

A model in every quantisation, two models side by side, and a cold start by three ways of reading the file.
Usage: 06_what_fits.py [FOLDER]
"""

import sys
from pathlib import Path

import sim
from sim.plot import draw_load

WAITS = {"source": "waiting for the file", "cpu": "a core with pages", "copy": "copying to CUDA memory"}
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")

found = sim.fit(model="llama-3.1-70b", runtime="vllm", batch=4, prompt=8192)
model = found.models[0]
print(f"{model.model} in {model.quant}: {found.verdict}; what would fit: {model.memory.would_fit}")
for quant in (each for each in model.quants if each.quant in ("bf16", "fp8", "nvfp4", "int4")):
    verdict = "fits" if quant.fits else "does not fit"
    print(f"  {quant.quant}: {quant.weights_bytes / 1e9:.1f} GB of weights, {verdict}")

pair = sim.fit(model="gpt-oss-120b", runtime="llama.cpp", beside=["qwen3-4b,quant=fp8,runtime=vllm"])
left = pair.together.margin_bytes / 1e9
print(f"gpt-oss-120b beside qwen3-4b: {pair.verdict}, {left:.1f} GB left")

for origin, how in (("nvme", "mmap"), ("nvme", "read"), ("page_cache", "read")):
    start = sim.load(model="gpt-oss-120b", runtime="llama.cpp", origin=origin, how=how)
    waits = max(start.stages[2].shares, key=start.stages[2].shares.get)
    peak = start.memory.high_water_bytes / 1e9
    print(f"start from {origin} by {how}: {start.time_s:.1f} s, most of it {WAITS[waits]}; {peak:.1f} GB in use")

folder.mkdir(parents=True, exist_ok=True)
drawn = draw_load(sim.load(model="gpt-oss-120b", runtime="llama.cpp"), folder / "cold_start")
print(f"drawn: {', '.join(path.name for path in drawn)}")
