"""What the parts of a layer say of their weights."""

from __future__ import annotations

Sizes = list[tuple[str, int]]
"""(tensor class, elements) of the weights of a part."""
