"""How long do 400 documents take at night, and is a larger batch worth it?"""

import sim

for sequences in (16, 128):
    result = sim.serve("nightly-batch", set={"runtime.max_num_seqs": sequences})
    found = result.summary()
    print(
        f"{sequences} at once: {found['duration_s'] / 60:.1f} min, {found['total_tok_s']:.0f} tok/s in and out, "
        f"KV cache up to {found['kv_peak_bytes'] / 1e9:.1f} GB"
    )
