"""What stays in L2 from op to op, and who pays for dirty bytes that are pushed out?"""

from __future__ import annotations

from sim.cost.kernel import Traffic
from sim.system.residency import Residency


def test_an_output_is_found_by_the_op_that_reads_it_next() -> None:
    residency = Residency(1000.0)
    assert not residency.visit("a", (), Traffic(0, 0, 400)).inputs_resident
    found = residency.visit("b", ("a",), Traffic(400, 0, 100))
    assert found.inputs_resident == 1
    assert found.flushed_bytes == 0


def test_a_stream_pushes_dirty_outputs_out_and_the_op_that_streams_pays() -> None:
    residency = Residency(1000.0)
    residency.visit("a", (), Traffic(0, 0, 400))
    found = residency.visit("b", (), Traffic(0, 5000, 100))
    assert found.flushed_bytes == 400
    assert not residency.visit("c", ("a",), Traffic(400, 0, 1)).inputs_resident


def test_weights_are_clean_and_cost_nothing_when_pushed_out() -> None:
    residency = Residency(1000.0)
    residency.visit("a", (), Traffic(0, 900, 0))
    assert residency.visit("b", (), Traffic(0, 900, 0)).flushed_bytes == 0


def test_what_was_used_last_stays_longest() -> None:
    residency = Residency(1000.0)
    residency.visit("old", (), Traffic(0, 0, 400))
    residency.visit("new", (), Traffic(0, 0, 400))
    residency.visit("user", ("old",), Traffic(400, 0, 400))  # touches old, pushes out new
    assert residency.visit("x", ("old",), Traffic(0, 0, 0)).inputs_resident
    assert not residency.visit("y", ("new",), Traffic(0, 0, 0)).inputs_resident


def test_writing_again_in_place_replaces_and_flushes_nothing() -> None:
    residency = Residency(1000.0)
    assert [residency.visit("a", (), Traffic(0, 0, 700)).flushed_bytes for _ in range(5)] == [0] * 5


def test_an_output_larger_than_the_cache_goes_to_memory_whole() -> None:
    residency = Residency(1000.0)
    assert residency.visit("a", (), Traffic(0, 0, 5000)).flushed_bytes == 5000
    assert not residency.visit("b", ("a",), Traffic(5000, 0, 0)).inputs_resident


def test_every_dirty_byte_is_written_back_once_or_still_held() -> None:
    residency = Residency(1000.0)
    written = [float(100 + 37 * number % 300) for number in range(40)]
    flushed = sum(residency.visit(f"op{n}", (), Traffic(0, 0, size)).flushed_bytes for n, size in enumerate(written))
    flushed += residency.visit("end", (), Traffic(0, 1000, 0)).flushed_bytes
    assert flushed == sum(written)


def test_what_an_op_writes_on_its_way_pushes_out_the_end_of_what_it_reads() -> None:
    """Of 600 bytes in a cache of 1,000, read beside 800 written: 400 are moved when half of them have been read."""
    residency = Residency(1000.0)
    residency.visit("a", (), Traffic(0, 0, 600))
    assert residency.visit("b", ("a",), Traffic(600, 0, 800)).inputs_resident == 0.5


def test_a_gemm_reads_its_activations_before_its_weights_have_passed() -> None:
    residency = Residency(1000.0)
    residency.visit("a", (), Traffic(0, 0, 600))
    assert residency.visit("b", ("a",), Traffic(600, 5000, 800, is_read_at_once=True)).inputs_resident == 1


def test_of_two_inputs_the_older_one_is_pushed_out_first() -> None:
    """400 older and 400 newer bytes, 800 moved: 200 are free for the older input, 600 for the newer one.

    They find 1/4 and 3/4 of theirs: a half of all.
    """
    residency = Residency(1000.0)
    residency.visit("old", (), Traffic(0, 0, 400))
    residency.visit("new", (), Traffic(0, 0, 400))
    assert residency.visit("both", ("old", "new"), Traffic(800, 0, 800)).inputs_resident == 0.5
