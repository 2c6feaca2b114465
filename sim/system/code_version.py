"""Which code answers: a digest of everything in the package that can change an answer."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

ANSWERING = (
    "api.py", "component", "cost", "engine", "hwspec", "result", "serving", "study", "system", "units.py", "workload",
)  # fmt: skip


@cache
def code_version() -> str:
    """16 hex digits of the code that answers rest on; what prints and draws does not count."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for name in ANSWERING:
        for path in sorted((root / name).rglob("*.py")) if (root / name).is_dir() else [root / name]:
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
