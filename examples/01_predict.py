"""How fast does gpt-oss-20b run on a DGX Spark, does it fit, and what limits it?"""

import sim

result = sim.run(model="gpt-oss-20b", runtime="llama.cpp", prompt=2048, output=128)
decode = result.phases["decode"]

print(f"fits: {result.fits}, {result.memory.needed_bytes / 1e9:.1f} of {result.memory.available_bytes / 1e9:.1f} GB")
print(f"prompt: {result.prefill_tok_s:.0f} tok/s, first token after {result.ttft_s:.2f} s")
print(f"decode: {result.decode_tok_s:.1f} tok/s")
print(f"decode is bound by {decode['bound']}: {decode['bound_share'][decode['bound']]:.0%} of its time")
print(f"memory moves {decode['dram']['achieved_bytes_per_s'] / 1e9:.0f} GB/s while it decodes")
