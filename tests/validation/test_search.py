"""Is the value found whose mean absolute log error is least, where that is known in closed form?"""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from sim.validation.search import CLOSE, GRID, NEAR, Curve, Scale, class_weights, lowest

RANGE = Scale(1.0, 100.0)
EVEN = np.full(5, 0.2)


def _proportional(optima: list[float]) -> Curve:
    """Predictions proportional to the number, each of which is right at a value of its own."""
    rights = np.log(optima)
    return Curve(RANGE, lambda value: log(value) - rights)


@pytest.mark.parametrize("start", [1.0, 7.0, 50.0, 100.0])
def test_of_proportional_predictions_the_median_is_found_exactly(start: float) -> None:
    """The mean of |ln(x / r)| over r is least at the median of r."""
    curve = _proportional([2.0, 3.0, 17.0, 40.0, 90.0])
    assert curve.find(EVEN, start) == pytest.approx(17.0)
    assert len(curve.shares) <= len(GRID) + 2  # that is what linear between values is worth


def test_weights_make_it_a_weighted_median() -> None:
    """Three of one class and two of another: the two weigh as much as the three."""
    weights = class_weights(["a", "a", "a", "b", "b"])
    assert weights == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 4, 1 / 4])
    # Sorted by where each is right, weights add up to a half at 40 of class b: 1/6 + 1/6 + 1/4 > 1/2.
    curve = _proportional([2.0, 3.0, 90.0, 40.0, 50.0])
    assert curve.find(weights, 10.0) == pytest.approx(40.0)


def test_the_order_of_measurements_does_not_matter() -> None:
    optima = [2.0, 3.0, 17.0, 40.0, 90.0]
    found = {_proportional(order).find(EVEN, 5.0) for order in (optima, optima[::-1], sorted(optima, key=str))}
    assert max(found) - min(found) < 1e-9


def test_an_optimum_outside_is_the_bound() -> None:
    assert _proportional([200.0] * 5).find(EVEN, 5.0) == 100.0
    assert _proportional([0.5] * 5).find(EVEN, 5.0) == 1.0


def test_whole_numbers_stay_whole() -> None:
    scale = Scale(1.0, 100.0, is_whole=True)
    curve = Curve(scale, lambda value: np.full(5, log(value / 16.7)))
    assert curve.find(EVEN, 3.0) in (16.0, 17.0)


def test_what_moves_nothing_stays_as_it_is() -> None:
    curve = Curve(RANGE, lambda value: np.full(5, 0.3))
    assert curve.find(EVEN, 12.5) == 12.5
    assert curve.spread() == pytest.approx(np.zeros(5))


@pytest.mark.parametrize("right", [1.5, 4.0, 30.0, 80.0])
def test_a_floor_below_the_number_is_no_hindrance(right: float) -> None:
    """Times are max(floor, x): flat, then proportional. Right at one value above the floor."""
    curve = Curve(RANGE, lambda value: np.array([log(max(value, 3.0)) - log(max(right, 3.0))] * 5))
    found = curve.find(EVEN, 50.0)
    assert abs(log(max(found, 3.0)) - log(max(right, 3.0))) < 2 * CLOSE * log(100.0)


def test_near_means_near() -> None:
    """Right at 60, but looked for around 2 only: as far as it may go in one search."""
    found = _proportional([60.0] * 5).find(EVEN, 2.0, is_near=True)
    assert RANGE.share(found) == pytest.approx(RANGE.share(2.0) + NEAR)
    assert _proportional([60.0] * 5).find(EVEN, 2.0) == pytest.approx(60.0)


def test_scales_by_factors_and_by_differences() -> None:
    assert RANGE.value(0.5) == pytest.approx(10.0)
    assert Scale(0.0, 100.0).value(0.5) == pytest.approx(50.0)
    assert Scale(60.0, 100.0).value(0.5) == pytest.approx(80.0)
    for scale in (RANGE, Scale(0.0, 100.0), Scale(60.0, 100.0)):
        for share in (0.0, 0.2, 0.9, 1.0):
            assert scale.share(scale.value(share)) == pytest.approx(share)
    assert Scale(5.0, 5.0).share(5.0) == 0.0


def test_what_stands_beside_shifts_the_optimum() -> None:
    """Where another number lowers all predictions by a tenth, this one is best a tenth higher."""
    curve = _proportional([20.0] * 5)
    for share in np.linspace(0.0, 1.0, 21):
        curve.simulate(RANGE.value(float(share)))
    assert RANGE.value(lowest(curve, EVEN, 0.0, beside=log(0.9))) == pytest.approx(20.0 / 0.9)
    assert RANGE.value(lowest(curve, EVEN, 0.0)) == pytest.approx(20.0)
    assert curve.at(0.5)[0] == pytest.approx(log(exp(log(100.0) * 0.5) / 20.0))
