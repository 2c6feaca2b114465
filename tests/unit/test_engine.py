"""Does the clock keep whole picoseconds and a fixed order, and do deadlocks and failures say who and why?"""

from __future__ import annotations

import pickle

import pytest

from sim import errors
from sim.engine import Behaviour, Engine
from sim.errors import DeadlockError, Problem, SimError

ERRORS = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, SimError)]


def test_time_is_a_whole_number_of_picoseconds() -> None:
    engine = Engine()

    def wait() -> Behaviour:
        for delay in (1, 10**15, 0, 3):
            yield engine.timeout(delay)

    engine.run(engine.spawn(wait(), "waiter"))
    assert engine.now == 10**15 + 4  # a float of seconds would have lost the 4
    assert type(engine.now) is int


def test_warp_moves_now_and_keeps_what_is_pending_at_its_distance() -> None:
    engine = Engine()
    seen = []

    def wait() -> Behaviour:
        yield engine.timeout(10)
        engine.warp(1000)
        yield engine.timeout(5)
        seen.append((engine.now, engine.clock))

    engine.run(engine.spawn(wait(), "waiter"))
    assert seen == [(1015, 15)]
    with pytest.raises(ValueError, match="cannot go back"):
        engine.warp(-1)


def test_ties_happen_in_the_order_in_which_they_were_asked_for() -> None:
    engine = Engine()
    seen: list[int] = []

    def wait(number: int) -> Behaviour:
        yield engine.timeout(7)
        seen.append(number)

    processes = [engine.spawn(wait(number), str(number)) for number in range(50)]
    engine.run(engine.all_of(processes))
    assert seen == list(range(50))


def test_events_are_counted() -> None:
    engine = Engine()

    def wait() -> Behaviour:
        for _ in range(10):
            yield engine.timeout(1)

    engine.run(engine.spawn(wait(), "waiter"))
    assert engine.events == 12  # its start, ten timeouts, its end


def test_one_pause_serves_a_process_for_all_that_it_waits_for() -> None:
    engine = Engine()
    pause = engine.pause()
    seen: list[int] = []

    def wait() -> Behaviour:
        for delay in (3, 0, 4):
            yield pause.of(delay)
            seen.append(engine.now)
        engine.call_after(5, lambda: engine.succeed_after(pause, 6))
        yield pause.open_ended()
        seen.append(engine.now)

    engine.run(engine.spawn(wait(), "waiter"))
    assert seen == [3, 3, 7, 7 + 5 + 6]
    assert engine.events == 7  # its start, four pauses, the call, its end


def test_a_pause_does_not_begin_again_before_it_has_ended_nor_goes_back() -> None:
    engine = Engine()
    pause = engine.pause()
    with pytest.raises(ValueError, match="cannot go back"):
        pause.of(-1)
    pause.of(1)
    for begin in (pause.open_ended, lambda: pause.of(2)):
        with pytest.raises(RuntimeError, match="not ended"):
            begin()
    engine.run(pause)
    engine.run(pause.of(2))
    assert engine.now == 3


def test_deadlock_names_every_live_process_and_what_it_waits_for() -> None:
    engine = Engine()

    def wait() -> Behaviour:
        yield engine.event()

    def join(other: object) -> Behaviour:
        yield other  # type: ignore[misc]

    def end() -> Behaviour:
        yield engine.timeout(42)

    first = engine.spawn(wait(), "sm0.0")
    second = engine.spawn(join(first), "host")
    engine.spawn(end(), "done long ago")
    with pytest.raises(DeadlockError) as caught:
        engine.run(second)
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [
        "deadlock at 42 ps: nothing is scheduled",
        "sm0.0 waits for Event",
        "host waits for process sm0.0",
    ]
    assert caught.value.exit_code == 4


def test_a_failing_process_surfaces_its_own_error() -> None:
    engine = Engine()
    problem = Problem("no such thing", file="x.yaml", line=3)

    def fail() -> Behaviour:
        yield engine.timeout(1)
        raise errors.SpecError(problem)

    with pytest.raises(errors.SpecError) as caught:
        engine.run(engine.spawn(fail(), "reader"))
    assert caught.value.problems == (problem,)
    assert str(caught.value) == "x.yaml:3: no such thing"


@pytest.mark.parametrize("cls", ERRORS)
def test_errors_survive_being_raised_again_and_pickled(cls: type[SimError]) -> None:
    problems = [Problem("one", hint="mend it"), Problem("two", code="c", file="f", line=2, path="a.b")]
    error = cls(problems)
    for other in (type(error)(*error.args), pickle.loads(pickle.dumps(error))):
        assert type(other) is cls
        assert other.problems == tuple(problems)
        assert str(other) == "one; mend it\nf:2: a.b: two"
        assert other.exit_code == cls.exit_code
