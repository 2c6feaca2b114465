"""Does a faster memory help decode until the die-to-die link takes over, and again once the link is wider?

The link between GB10's two dies carries 300 GB/s each way, its memory sustains 86 % of a peak of 273: below some 350
GB/s of peak the memory is slower than the link, above it the link is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

import sim

if TYPE_CHECKING:
    import pandas as pd

BANDWIDTHS = [f"{number} GB/s" for number in (200, 273, 325, 375, 450, 600)]


def _decode(link: str) -> pd.DataFrame:
    return sim.sweep(
        "memory-bandwidth", output=2, set={"memory.bandwidth": BANDWIDTHS, "c2c.bandwidth": link},
        keep=["decode_tok_s", "bound"], workers=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def as_it_is() -> pd.DataFrame:
    return _decode("300 GB/s")


def test_decode_never_falls_and_bends_where_the_link_takes_over(as_it_is: pd.DataFrame) -> None:
    rate, bound = list(as_it_is["decode_tok_s"]), list(as_it_is["bound"])
    assert all(after >= before for before, after in pairwise(rate))
    bend = bound.index("link")
    assert bound == ["memory"] * bend + ["link"] * (len(bound) - bend)
    assert 0 < bend < len(bound)
    # The first steps gain nearly what the memory gains, those beyond the bend nothing.
    assert rate[1] / rate[0] > 1 + 0.8 * (273 / 200 - 1)
    assert rate[-1] == pytest.approx(rate[bend], rel=1e-3)


def test_a_wider_link_lets_it_rise_again(as_it_is: pd.DataFrame) -> None:
    wide = _decode("x2")
    assert "link" not in set(wide["bound"])
    rate, narrow = list(wide["decode_tok_s"]), list(as_it_is["decode_tok_s"])
    assert all(after > before for before, after in pairwise(rate))
    assert rate[-1] > 1.25 * narrow[-1]
    assert all(one >= other * (1 - 1e-3) for one, other in zip(rate, narrow, strict=True))
