"""Does long work say on a terminal what it is at, and leave nothing of that behind?"""

from __future__ import annotations

import io
import re

import pytest

import sim
from sim.cli.progress import REFRESH_S, ProgressLine

CLEARED = "\r\x1b[K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test turns."""
    now = [100.0]
    monkeypatch.setattr("sim.cli.progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_that_is_replaced_and_cleared(clock: list[float]):
    stream = Terminal()
    with ProgressLine(stream) as progress:
        for text in ("step 1 of 2", "step 2 of 2"):
            clock[0] += 2 * REFRESH_S
            progress(text)
    assert stream.getvalue() == f"{CLEARED}step 1 of 2{CLEARED}step 2 of 2{CLEARED}"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_cleared_when_the_work_fails(clock: list[float], failure: type[BaseException]):
    stream = Terminal()

    def work() -> None:
        with ProgressLine(stream) as progress:
            clock[0] += 1
            progress("step 1 of 2")
            raise failure

    with pytest.raises(failure):
        work()
    assert stream.getvalue().endswith(CLEARED)


def test_short_work_shows_nothing(clock: list[float]):
    stream = Terminal()
    with ProgressLine(stream) as progress:
        clock[0] += REFRESH_S / 2
        progress("step 1 of 2")
        assert stream.getvalue() == ""
        progress.show("drawing")
    assert stream.getvalue() == f"{CLEARED}drawing{CLEARED}"


@pytest.mark.parametrize(("stream", "is_wanted"), [(io.StringIO(), True), (Terminal(), False)])
def test_nothing_without_a_terminal_or_when_quiet(clock: list[float], stream: io.StringIO, is_wanted: bool):
    with ProgressLine(stream, is_wanted=is_wanted) as progress:
        clock[0] += 1
        progress("step 1 of 2")
        progress.show("drawing")
    assert stream.getvalue() == ""


def test_a_line_fits_the_terminal(clock: list[float], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    with ProgressLine(stream) as progress:
        clock[0] += 1
        progress("x" * 100)
    assert stream.getvalue() == f"{CLEARED}{'x' * 19}{CLEARED}"


def test_steps_and_kernels_are_told_in_order():
    told: list[str] = []
    result = sim.run(model="qwen3-0.6b", runtime="llama.cpp", prompt=64, output=4, cache="off", progress=told.append)
    assert result.trace is not None
    n = len(result.trace.steps)
    found = [re.fullmatch(rf"step (\d+) of {n}, ([^:]+)(?:: (\S+))?", text) for text in told]
    assert all(found)
    assert list(dict.fromkeys(int(m[1]) for m in found if m)) == list(range(1, n + 1))
    kernels = {op.kernel for step in result.trace.steps for op in step.ops if op.kernel}
    assert {m[3] for m in found if m and m[3]} == kernels
