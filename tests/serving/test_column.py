"""Do the rows of a long run go to disk without being changed, and does memory stay where it was?"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from sim.serving import record as record_module
from sim.serving.column import Column
from sim.serving.scheduler import Limits
from tests.serving.small_server import rows, serve, token_times

TRAFFIC = {
    "arrivals": {"kind": "poisson", "rate": "20 /s"}, "prompt": {"uniform": [1, 90]}, "output": {"uniform": [1, 40]},
}  # fmt: skip


@pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 20, 57])
def test_a_column_is_the_numbers_that_were_appended(number: int) -> None:
    column, expected = Column(kept=10), [each * 2**40 - 3 for each in range(number)]
    for value in expected:
        column.append(value)
    assert column.tolist() == list(column) == expected
    assert len(column) == number
    column.append(5)  # after it was read
    assert column.numbers().tolist() == [*expected, 5]
    assert np.array(column).dtype == np.int64


def test_memory_does_not_grow_with_a_long_column() -> None:
    """300,000 numbers of 8 bytes, 10,000 of them kept: far less than the 2.4 MB that they are."""
    tracemalloc.start()
    try:
        column = Column(kept=10_000)
        for value in range(300_000):
            column.append(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 600_000
    assert int(column.numbers().sum()) == 299_999 * 300_000 // 2


def test_a_run_on_disk_is_the_run_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(5, 64, 640)
    kept, _ = serve("vllm", TRAFFIC, 200, limits=limits, seed=4)
    monkeypatch.setattr(record_module, "Column", lambda: Column(kept=16))
    spilled, _ = serve("vllm", TRAFFIC, 200, limits=limits, seed=4)
    assert isinstance(spilled.rows["number"].numbers(), np.memmap)
    assert rows(spilled) == rows(kept)
    assert token_times(spilled) == token_times(kept)
