"""Does every law of `sim.result.laws` catch the trace that breaks it, and pass the one that does not?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sim.errors import LawError
from sim.result.laws import LAWS, check_laws
from sim.result.trace import OpRecord, Span, StepTrace, Trace

PEAK = 100e9


def _op(name: str, **fields: object) -> OpRecord:
    """A microsecond that reads 50 kB of 80 kB asked, from a memory that could have moved 100 kB."""
    known: dict[str, object] = {
        "op": name, "site": "s", "kind": "gemm", "block": 0, "repeat": 1, "component": "gpu", "kernel": "k",
        "wall_ps": 1_000_000.0, "duration_ps": 1_000_000, "causes": {"dram": 900_000.0, "dependency": 100_000.0},
        "flops": 1e6, "unit": "bf16", "asked_read_bytes": 80_000.0, "asked_write_bytes": 1_000.0,
        "l2_read_bytes": 80_000.0, "l2_write_bytes": 1_000.0, "dram_read_bytes": 50_000.0, "dram_write_bytes": 0.0,
        "tensor_share": 0.1, "profile": "digest", "missed_bytes": 50_000.0,
        "moved_bytes": {"c2c": 50_000.0, "memory": 50_000.0},
    }  # fmt: skip
    return OpRecord(**(known | fields))  # type: ignore[arg-type]


def _span(op: str, cause: str, start: int, end: int) -> Span:
    return Span("gpu", op, 0, 0, cause, start, end)


SOUND = StepTrace(
    "decode", "decode@1", 1.0, 1, 1, 2_000_000,
    (_op("a"), _op("b", after=("a",))),
    (
        _span("a", "dependency", 0, 100_000), _span("a", "dram", 100_000, 1_000_000),
        _span("b", "dependency", 1_000_000, 1_100_000), _span("b", "dram", 1_100_000, 2_000_000),
    ),
    elapsed={(0, "a"): {"dram": 1_000_000}, (0, "b"): {"dram": 1_000_000}},
)  # fmt: skip


def _changed(**fields: object) -> StepTrace:
    return replace(SOUND, ops=(replace(SOUND.ops[0], **fields), SOUND.ops[1]))  # type: ignore[arg-type]


def _with_span(index: int, **fields: int) -> StepTrace:
    spans = list(SOUND.spans)
    spans[index] = spans[index]._replace(**fields)
    return replace(SOUND, spans=tuple(spans))


TAMPERED: list[tuple[str, Callable[[], StepTrace]]] = [
    ("L1", lambda: _changed(l2_read_bytes=78_000.0)),
    ("L1", lambda: _changed(l2_read_bytes=82_000.0)),
    ("L2", lambda: _changed(l2_write_bytes=0.0)),
    ("L3", lambda: _with_span(2, start_ps=999_999)),
    ("L3", lambda: _with_span(1, start_ps=100_001)),
    ("L3", lambda: _with_span(3, end_ps=1_099_999)),
    ("L4", lambda: _changed(causes={"dram": 900_000.0})),
    ("L5", lambda: _changed(dram_read_bytes=90_000.0, dram_write_bytes=20_000.0)),
    ("L6", lambda: _changed(causes={"magic": 1_000_000.0})),
    ("L4", lambda: replace(SOUND, elapsed={(0, "a"): {"dram": 1_999_000}})),
    ("L5", lambda: replace(_changed(repeat=4), duration_ps=2_000_000)),
    ("L7", lambda: _changed(profile="", moved_bytes={}, dram_read_bytes=50_000.0)),
    ("L8", lambda: _changed(moved_bytes={"c2c": 50_000.0, "memory": 49_000.0})),
    ("L8", lambda: _changed(moved_bytes={"c2c": 51_000.0, "memory": 50_000.0})),
    ("L8", lambda: _changed(missed_bytes=51_000.0)),
    ("L9", lambda: replace(SOUND, spans=(*SOUND.spans[:2], Span("host", "b", 0, 0, "step", 0, 999_999)))),
]


def test_a_sound_trace_passes() -> None:
    check_laws(Trace((SOUND,)), peak_bytes_per_s=PEAK)


def test_an_input_that_comes_later_in_the_block_is_that_of_the_iteration_before() -> None:
    """The first op of a layer reads what the last op of the layer before wrote."""
    again = tuple(
        s._replace(iteration=1, start_ps=s.start_ps + 2_000_000, end_ps=s.end_ps + 2_000_000) for s in SOUND.spans
    )
    ops = (replace(SOUND.ops[0], after=("b",)), SOUND.ops[1])
    check_laws(Trace((replace(SOUND, ops=ops, spans=SOUND.spans + again),)), peak_bytes_per_s=PEAK)
    late = (*SOUND.spans[:3], SOUND.spans[3]._replace(component="host", end_ps=9_000_000), *again)
    with pytest.raises(LawError, match="L9 broken in decode@1 at a"):
        check_laws(Trace((replace(SOUND, ops=ops, spans=late),)), peak_bytes_per_s=PEAK)


def test_what_folding_may_be_off_by_passes() -> None:
    check_laws(Trace((_changed(l2_read_bytes=80_700.0),)), peak_bytes_per_s=PEAK)


@pytest.mark.parametrize(("law", "tamper"), TAMPERED, ids=[f"{law}-{n}" for n, (law, _) in enumerate(TAMPERED)])
def test_a_tampered_trace_breaks_its_law_and_no_other(law: str, tamper: Callable[[], StepTrace]) -> None:
    with pytest.raises(LawError) as caught:
        check_laws(Trace((SOUND, tamper())), peak_bytes_per_s=PEAK)
    assert {problem.message.split()[0] for problem in caught.value.problems} == {law}
    assert all("decode@1" in problem.message for problem in caught.value.problems)
    assert caught.value.exit_code == 4


def test_every_law_is_broken_here() -> None:
    of_tenants = {"L10"}  # of a result without a trace: tests/system/test_tenants.py
    of_serving = {"L11", "L12"}  # as above: tests/serving/test_theory.py
    assert {law for law, _ in TAMPERED} | of_tenants | of_serving == set(LAWS)
