"""What would faster memory bring to gpt-oss-120b, and where does the link between the chips take over?

One study, one picture: 34 points, in one call each. Usage: 12_bandwidth.py [FOLDER]
"""

import sys
from pathlib import Path

import sim

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
folder.mkdir(parents=True, exist_ok=True)
table = sim.sweep(
    model="gpt-oss-120b",
    runtime="llama.cpp",
    prompt=0,
    output=16,
    vary={"memory.bandwidth": "200..600:50GB/s", "c2c.bandwidth": ["300 GB/s", "600 GB/s"]},
)
for link, rows in table.groupby("c2c.bandwidth"):
    print(f"link of {link / 1e9:.0f} GB/s")
    for row in rows.itertuples():
        print(f"  memory {row[1] / 1e9:.0f} GB/s: {row.decode_tok_s:.1f} tok/s, bound by {row.bound}")
print("drawn:", sim.draw(table, folder / "bandwidth", y="decode_tok_s")[1].name)
