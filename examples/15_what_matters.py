"""Which number of the machine do a prompt and its answer hang on?

A tornado: how many per cent faster for one per cent more of each number. Usage: 15_what_matters.py [FOLDER]
"""

import sys
from pathlib import Path

import sim

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
folder.mkdir(parents=True, exist_ok=True)
why = sim.explain(model="gpt-oss-20b", runtime="llama.cpp", prompt=512, output=16)
for phase in ("prefill", "decode"):
    named = why.most_sensitive(phase)
    print(f"{phase}: {', '.join(f'{one.field.path} {one.elasticity[phase]:+.2f}' for one in named)}")
print("drawn:", sim.draw(why, folder / "what_matters")[1].name)
