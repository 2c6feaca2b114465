"""Does routing meet its limits: the uniform union, whole sums, and more skew meaning fewer experts?"""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.workload.popularity import inclusion, power_law_rows, route

SIZES = st.integers(1, 128).flatmap(lambda experts: st.tuples(st.just(experts), st.integers(1, experts)))


@pytest.mark.parametrize(("experts", "top_k"), [(8, 2), (128, 8), (32, 4), (512, 10)])
@pytest.mark.parametrize("tokens", [1, 2, 7, 64, 2048])
def test_without_skew_the_active_experts_are_the_uniform_union(experts: int, top_k: int, tokens: int) -> None:
    """Each expert is missed by every token with chance (1 - k/E)^t."""
    union = experts * (1 - (1 - top_k / experts) ** tokens)
    assert route(tokens, experts, top_k, 0.0, 16).active == pytest.approx(union, rel=1e-12)


@given(SIZES, st.floats(0, 5))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_chances_sum_to_the_experts_of_a_token(size: tuple[int, int], skew: float) -> None:
    experts, top_k = size
    chances = inclusion(experts, top_k, skew)
    assert len(chances) == experts
    assert sum(chances) == pytest.approx(top_k, rel=1e-9)
    assert all(0 < chance <= 1 + 1e-12 for chance in chances)


def test_more_skew_wakes_fewer_experts() -> None:
    active = [route(32, 128, 4, skew / 4, 16).active for skew in range(20)]
    assert active == sorted(active, reverse=True)
    assert active[0] > 2 * active[-1] >= 8


@given(SIZES, st.floats(0, 3), st.integers(1, 4096), st.sampled_from([8, 64, 128]))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_active_experts_and_row_tiles_are_within_their_bounds(
    size: tuple[int, int], skew: float, tokens: int, rows: int
) -> None:
    experts, top_k = size
    routing = route(tokens, experts, top_k, skew, rows)
    assert min(top_k, experts) - 1e-9 <= routing.active <= min(experts, tokens * top_k) + 1e-9
    assert routing.active <= routing.row_tiles <= tokens * top_k / rows + routing.active + 1e-6 * experts


def test_row_tiles_agree_with_the_exact_expectation() -> None:
    """E[ceil(X / r)] for X ~ Binomial(t, p), summed over equal experts; the normal tail is good to a per cent."""
    tokens, experts, top_k, rows = 256, 16, 2, 16
    p = top_k / experts
    law = [comb(tokens, x) * p**x * (1 - p) ** (tokens - x) for x in range(tokens + 1)]
    exact = experts * sum(chance * -(-x // rows) for x, chance in enumerate(law))
    assert route(tokens, experts, top_k, 0.0, rows).row_tiles == pytest.approx(exact, rel=0.01)


def test_tokens_that_all_pick_everything_fill_every_expert() -> None:
    routing = route(100, 4, 4, 0.0, 32)
    assert routing.active == pytest.approx(4)
    assert routing.row_tiles == pytest.approx(4 * 4)  # ceil(100 / 32) tiles each


@given(SIZES, st.sampled_from([0.0, 0.5, 1.0, 1.01, 1.2, 2.0]), st.integers(1, 5000))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_rows_of_a_power_law_are_all_rows(size: tuple[int, int], power: float, tokens: int) -> None:
    """No expert gets a token twice, and every token's choices are there."""
    experts, top_k = size
    rows = power_law_rows(tokens, experts, top_k, power)
    assert len(rows) == experts
    assert sum(rows) == tokens * top_k
    assert all(0 <= one <= tokens for one in rows)
    assert list(rows) == sorted(rows, reverse=True)


def test_power_zero_is_as_equal_as_can_be() -> None:
    assert power_law_rows(10, 8, 3, 0.0) == (4, 4, 4, 4, 4, 4, 3, 3)
    assert route(10, 8, 3, 2.5, 4, 0.0).row_tiles == 8  # the skew is not asked


def test_a_power_law_leaves_experts_idle_and_loads_others() -> None:
    equal, law = route(16, 128, 8, 0.0, 16, 0.0), route(16, 128, 8, 0.0, 16, 1.2)
    assert equal.active == 128 > law.active
    assert power_law_rows(1024, 128, 8, 1.2)[0] > 3 * power_law_rows(1024, 128, 8, 0.0)[0]
