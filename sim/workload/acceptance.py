"""How many tokens a step with drafts yields: published acceptance lengths, for the number of drafts that is asked for.

A draft is accepted where those before it were, with a chance that depends on the drafting method and on the text. A
step of k drafts then yields (1 - a^(k+1)) / (1 - a) tokens on average, its own one counted (Leviathan et al., arXiv
2211.17192, equation 1). Sources print that length, or the chance; both are kept as the chance `a`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CONTENTS = ("chat", "code", "math")
"""What the text is, as far as acceptance goes."""
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Published:
    """The lowest and highest chance that sources give, and who says so."""

    low: float
    high: float
    source: str

    @property
    def middle(self) -> float:
        """What is taken where nobody says otherwise."""
        return (self.low + self.high) / 2.0


def length_of(chance: float, drafts: int) -> float:
    """Tokens that a step of `drafts` drafts yields on average, its own one counted."""
    return sum(chance**number for number in range(drafts + 1))


def chance_of(length: float, drafts: int) -> float:
    """The chance with which a step of `drafts` drafts yields `length` tokens; `length` from 1 to `drafts` + 1."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if length_of(middle, drafts) < length else (low, middle)
    return (low + high) / 2.0


def _lengths(low: float, high: float, drafts: int, source: str) -> Published:
    return Published(chance_of(low, drafts), chance_of(high, drafts), source)


_EAGLE3 = "two EAGLE-3 heads of gpt-oss-20b, seven drafts, temperature 1; huggingface.co/nebius/EAGLE3-gpt-oss-20b"
_MTP = "second token of DeepSeek-V3 accepted 85 to 90 % over topics; arXiv 2412.19437, section 5.4.3"
_DRAFT = "LaMDA 137B with drafts of its 100M to 8B on dialogue; Leviathan et al., arXiv 2211.17192, table 3"
_EAGLE = "EAGLE's chain of LLaMA2-Chat 7B to 70B on MT-bench; arXiv 2401.15077, table 4"
PUBLISHED: Mapping[str, Mapping[str, Published]] = {
    "eagle3": {
        "chat": _lengths(2.63, 3.20, 7, f"MT-bench: 2.63 to 3.20, {_EAGLE3}"),
        "code": _lengths(2.43, 3.01, 7, f"HumanEval: 2.43 to 3.01, {_EAGLE3}"),
        "math": _lengths(3.00, 3.65, 7, f"GSM8K: 3.00 to 3.65, {_EAGLE3}"),
    },
    "eagle": {"chat": Published(0.70, 0.75, _EAGLE)},
    "mtp": {
        "chat": _lengths(2.0, 2.3, 2, "2.0 to 2.3 for two drafts on mixed prompts; vLLM 0.26, Qwen3.5 and 3.6"),
        "code": Published(0.85, 0.90, _MTP),
        "math": Published(0.85, 0.90, _MTP),
    },
    "draft model": {"chat": Published(0.57, 0.75, _DRAFT)},
}
"""By method and content. Where a content has no figures, those of chat are taken, and the result says so."""


def published(method: str, content: str) -> tuple[Published, str]:
    """What is published for drafts of `method` on `content`, and the content that it is of."""
    of_method = PUBLISHED[method]
    name = content if content in of_method else "chat"
    return of_method[name], name
