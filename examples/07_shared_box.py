"""What does a box that is shared draw, who is slowed by whom, and what does capping its clock save?

Usage: 07_shared_box.py [FOLDER]
"""

import sys
from pathlib import Path

import sim

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")

# A chat beside ten cores that stream, ten that build, RDMA and the SSD; each alone, then all together.
shared = sim.tenants("busy-box")
for row in shared.rows:
    alone, together, share = row.alone.rate, row.together.rate, row.together.bytes_per_s / shared.total_bytes_per_s
    unit, scale = ("tok/s", 1) if row.kind == "model" else ("GB/s", 1e9)
    print(f"{row.name}: {alone / scale:.1f} alone, {together / scale:.1f} {unit} together, {share:.0%} of the bytes")
print(f"memory: {shared.total_bytes_per_s / 1e9:.0f} of {shared.peak_bytes_per_s / 1e9:.0f} GB/s")
print(f"power: {shared.power_w['package']:.0f} W of the package, {shared.power_w['wall']:.0f} W at the wall")

# The same chat alone, and with the SM clock capped as owners do: the same tokens for less energy.
asked = {"model": "qwen3-8b", "runtime": "vllm", "quant": "bf16", "prompt": 8192, "output": 64}
for name, caps in (("free", {}), ("capped", {"power.clock_cap": "2000 MHz"})):
    run = sim.run(**asked, set=caps)
    energy = run.energy
    prefill, decode = (energy.watts("gpu", phase) for phase in ("prefill", "decode"))
    clock, joules = energy.clock_hz("prefill") / 1e6, energy.joules("gpu") / 64
    print(f"{name}: prefill {run.prefill_tok_s:.0f} tok/s at {prefill:.0f} W and {clock:.0f} MHz", end=", ")
    print(f"decode {run.decode_tok_s:.1f} tok/s at {decode:.0f} W, {joules:.2f} J a token")

shared.write(folder / "shared", force=True)
print("drawn: shared/plots/bandwidth.png")
