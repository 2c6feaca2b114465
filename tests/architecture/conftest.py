"""The source tree as the architecture tests see it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sources(root: Path) -> dict[Path, ast.Module]:
    """Every source file of `sim`, parsed, by its path from the checkout."""
    files = sorted((root / "sim").rglob("*.py"))
    return {path.relative_to(root): ast.parse(path.read_text(encoding="utf-8")) for path in files}
