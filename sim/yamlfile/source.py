"""Where a number comes from: the kinds of source, and what is wrong with one."""

from __future__ import annotations

from typing import Any

KINDS = ("vendor", "measured", "derived", "assumed", "calibrated")
"""Where a number may come from. `assumed` needs a sentence that says why."""

SENTENCE_WORDS = 5


def source_complaint(source: Any, kind: Any) -> str | None:
    """What is wrong with the source and kind of a number, or None."""
    if not isinstance(source, str) or not source.strip():
        return "needs a source: {value: ..., source: ..., kind: ...}"
    if kind not in KINDS:
        named = ", ".join(KINDS)
        return f"needs a kind: {named}" if kind is None else f"kind must be one of {named}, not {str(kind)[:40]!r}"
    if kind == "assumed" and len(source.split()) < SENTENCE_WORDS:
        return f"is assumed, so its source must be a sentence that says why, not '{source[:60]}'"
    return None
