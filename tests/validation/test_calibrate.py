"""Does a refit find what its measurements say, where that is known, and say what they do not?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import log
from pathlib import Path
from statistics import median

import pytest

from sim.cli import main
from sim.errors import InputError
from sim.system.calibrated import CalibratedNumber, calibrated
from sim.validation.calibrate import MOST_OF_A_CLASS, LeftOut, calibrate, chosen, looked_at
from sim.validation.informing import Case, Informing, Number, Predictor, plain_value, written_value
from sim.workload.runtime_file import load_runtime

TOY = """
schema: sparksim.runtime/1
name: toy
extends: vllm
base:
  host_step_s: {value: 2.0e-3, kind: calibrated, range: [1.0e-3, 1.0e-2], source: toy, records: {inference: {batch: 1}}}
  request_s: {value: 5.0e-3, kind: calibrated, range: [1.0e-3, 1.0e-2], source: toy, records: {inference: {batch: 1}}}
versions:
  "1": {}
"""
RIGHT = (1.5e-3, 3.0e-3, 4.0e-3, 7.0e-3, 8.0e-3)
"""Steps that would make each toy measurement come out: the least mean of |ln(x / right)| is at their median."""
Rights = Mapping[int, float]


@pytest.fixture
def said(tmp_path: Path) -> dict[str, CalibratedNumber]:
    """The toy's two numbers, as its file says them."""
    folder = tmp_path / "workloads" / "runtimes"
    folder.mkdir(parents=True)
    (folder / "toy.yaml").write_text(TOY.lstrip())
    return {each.name: each for each in calibrated((tmp_path,)) if each.name.startswith("toy.")}


def _cases(count: int, **fields: str) -> tuple[Case, ...]:
    known = {"family": "a", "model": "a-7b", "source": "s", "runtime": "toy"} | fields
    return tuple(Case("microbench", index, known, "one class", None) for index in range(count))  # type: ignore[arg-type]


def _number(said: CalibratedNumber, cases: tuple[Case, ...]) -> Number:
    low, high = (plain_value(said, bound) for bound in said.bounds or ())
    return Number(said, plain_value(said, said.value), low, high, is_whole=False, cases=cases)


class _Steps:
    """What a toy takes: as long as a step of its runtime. `asked`: every set of values that was asked for."""

    def __init__(self, folder: Path, rights: Rights, field: str = "host_step_s") -> None:
        self._folder, self._rights, self._field = folder, rights, field
        self.asked: list[dict[str, float]] = []

    def __call__(self, case: Case, values: Mapping[str, float]) -> float:
        self.asked.append(dict(values))
        spec = load_runtime("toy", numbers=values, search_dirs=(self._folder,)).spec
        return log(getattr(spec, self._field) / self._rights[case.index])


def test_the_median_of_what_would_be_right_is_found(said: dict[str, CalibratedNumber], tmp_path: Path) -> None:
    number = _number(said["toy.base.host_step_s"], _cases(5))
    found = calibrate([number], _Steps(tmp_path, dict(enumerate(RIGHT))))
    (refit,) = found.refits
    best = median(RIGHT)
    assert refit.value == pytest.approx(best)
    assert refit.error == pytest.approx(sum(abs(log(best / each)) for each in RIGHT) / 5)
    assert refit.shipped_error == pytest.approx(sum(abs(log(2.0e-3 / each)) for each in RIGHT) / 5)
    assert (refit.count, refit.moved, found.passes, found.is_still) == (5, 5, 1, True)
    assert load_runtime("toy", search_dirs=(tmp_path,)).spec.host_step_s == 2.0e-3  # nothing was written


def test_the_order_of_measurements_does_not_matter(said: dict[str, CalibratedNumber], tmp_path: Path) -> None:
    cases = _cases(5)
    steps = _Steps(tmp_path, dict(enumerate(RIGHT)))
    found = {
        calibrate([_number(said["toy.base.host_step_s"], order)], steps).refits[0].value
        for order in (cases, cases[::-1], (*cases[3:], *cases[:3]))
    }
    assert max(found) - min(found) < 1e-9


def test_a_shipped_value_at_the_optimum_is_reproduced_and_one_far_off_is_not(
    said: dict[str, CalibratedNumber], tmp_path: Path
) -> None:
    number = _number(said["toy.base.host_step_s"], _cases(8))
    (good,) = calibrate([number], _Steps(tmp_path, dict.fromkeys(range(8), 2.0e-3))).refits
    (bad,) = calibrate([number], _Steps(tmp_path, dict.fromkeys(range(8), 6.0e-3))).refits
    assert (good.verdict, good.value, good.error) == ("reproduced", 2.0e-3, pytest.approx(0.0))
    assert (bad.verdict, bad.value) == ("NOT reproduced", pytest.approx(6.0e-3))
    assert bad.better_by == pytest.approx(log(3.0))


def test_numbers_that_share_measurements_go_on_until_they_are_still(
    said: dict[str, CalibratedNumber], tmp_path: Path
) -> None:
    """Times are step + request. Half of the measurements have ten steps: two unknowns, both found."""
    cases = _cases(10)
    step, request = 4.0e-3, 2.0e-3
    counts = {case.index: 1 + 9 * (case.index % 2) for case in cases}

    def log_error(case: Case, values: Mapping[str, float]) -> float:
        spec = load_runtime("toy", numbers=values, search_dirs=(tmp_path,)).spec
        n = counts[case.index]
        return log((n * spec.host_step_s + spec.request_s) / (n * step + request))

    found = calibrate([_number(each, cases) for each in said.values()], log_error)
    assert found.values["toy.base.host_step_s"] == pytest.approx(step, rel=0.05)
    assert found.values["toy.base.request_s"] == pytest.approx(request, rel=0.2)
    assert found.is_still
    assert 1 < found.passes <= 6


def test_a_number_that_moves_nothing_keeps_its_value_and_says_so(
    said: dict[str, CalibratedNumber], tmp_path: Path
) -> None:
    steps = _Steps(tmp_path, dict(enumerate(RIGHT)), field="host_step_s")
    (refit,) = calibrate([_number(said["toy.base.request_s"], _cases(5))], steps).refits
    assert (refit.value, refit.moved, refit.is_reproduced) == (5.0e-3, 0, False)
    assert refit.verdict == "moves only 0 of its records"


def test_what_is_left_out_is_not_looked_at(said: dict[str, CalibratedNumber], tmp_path: Path) -> None:
    """Five measurements say 3 ms; five of another family, source and runtime say 9 ms."""
    others = tuple(
        Case("microbench", 5 + index, {"family": "b", "model": "b-1b", "source": "t", "runtime": "other"}, "b", None)  # type: ignore[arg-type]
        for index in range(5)
    )
    number = _number(said["toy.base.host_step_s"], (*_cases(5), *others))
    rights = dict.fromkeys(range(5), 3.0e-3) | dict.fromkeys(range(5, 10), 9.0e-3)
    for left_out, right in (
        (LeftOut(family="b"), 3.0e-3),
        (LeftOut(source="t"), 3.0e-3),
        (LeftOut(runtime="other"), 3.0e-3),
        (LeftOut(family="a"), 9.0e-3),
    ):
        left_out.check([number])
        assert calibrate([number], _Steps(tmp_path, rights), left_out).refits[0].value == pytest.approx(right)
    (refit,) = calibrate([number], _Steps(tmp_path, rights), LeftOut(family="a", source="t")).refits
    assert (refit.why_not, refit.value) == ("0 of 5 records", 2.0e-3)
    with pytest.raises(InputError) as caught:
        LeftOut("gemma", "tt", "vllm").check([number])
    assert [problem.path for problem in caught.value.problems] == [
        "--without-family",
        "--without-source",
        "--without-runtime",
    ]


def test_of_a_large_class_of_runs_few_are_looked_at(said: dict[str, CalibratedNumber]) -> None:
    cases = tuple(Case("inference", index, {}, "a" if index < 40 else "b", None) for index in range(43))  # type: ignore[arg-type]
    seen = looked_at(_number(said["toy.base.host_step_s"], cases), lambda case, values: 0.0)
    labels = [case.label for case in seen]
    assert (labels.count("a"), labels.count("b")) == (MOST_OF_A_CLASS, 3)
    assert [seen[0].index, seen[MOST_OF_A_CLASS - 1].index] == [0, 39]


def test_names_in_full_or_in_part(said: dict[str, CalibratedNumber]) -> None:
    numbers = [_number(each, ()) for each in said.values()]
    step, request = numbers
    assert chosen(numbers, []) == numbers
    assert chosen(numbers, ["host_step_s"]) == [step]
    assert chosen(numbers, ["toy.base"]) == numbers
    assert chosen(numbers, ["toy.base.request_s"]) == [request]
    with pytest.raises(InputError) as caught:
        chosen(numbers, ["host_step", "toy.base.request_ss"])
    assert [problem.hint for problem in caught.value.problems][1] == "did you mean 'toy.base.request_s'?"


def test_values_are_written_as_their_file_has_them() -> None:
    numbers = {each.name: each for each in calibrated()}
    boundary = numbers["dgx-spark.components.gpu.kernel_boundary_eager"]
    strided = numbers["dgx-spark.components.memory.sustained.strided"]
    assert plain_value(boundary, "2.5 us") == pytest.approx(2.5e-6)
    assert plain_value(strided, "64 %") == pytest.approx(0.64)
    assert written_value(boundary, 2.345678e-6) == "2.346 us"
    assert written_value(strided, 0.65) == "65 %"


def test_a_machines_number_changes_the_machine_and_those_that_extend_it() -> None:
    """The number is written in rtx-pro-6000-server; the file says 1.05 us, other files their own."""
    said = calibrated()
    name = "rtx-pro-6000-server.components.gpu.kernel_boundary"
    predictor = Predictor(lambda **_: None, said)
    for machine, value in (("rtx-pro-6000-server", 7e-6), ("h100-sxm", None)):
        changed = predictor._machine(machine, {name: 7e-6}, None).hardware
        shipped = predictor._machine(machine, {}, None).hardware
        if value is None:
            assert changed.digest == shipped.digest
        else:
            assert changed.components["gpu"].kernel_boundary == pytest.approx(value)  # type: ignore[attr-defined]
            assert set(changed.overrides) == {"gpu.kernel_boundary"}


def test_kernels_and_runs_and_microbenchmarks_are_all_predicted() -> None:
    """One of each, with what ships: finite, and the same as their own validation says."""
    from sim import api
    from sim.validation.kernels import validate_kernels

    every = Informing().cases
    predictor = Predictor(api.run, calibrated())
    kernel = next(case for case in every if case.file == "kernels" and case.fields["table"] == "quantize")
    (compared,) = validate_kernels([kernel.what]).compared  # type: ignore[list-item]
    assert predictor.log_error(kernel, {}) == pytest.approx(log(1.0 + compared.error))
    ladder = next(case for case in every if case.file == "microbench" and case.fields["kind"] == "chase")
    assert abs(predictor.log_error(ladder, {}) or 1.0) < 0.2
    for phase in ("decode", "first_token"):
        run = next(case for case in every if case.fields.get("phase") == phase)
        assert abs(predictor.log_error(run, {}) or 1.0) < 0.5


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "mmq_q9.efficiency", "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["message"] == "no number called 'mmq_q9.efficiency' names its records"
    assert main(["calibrate", "--without-family", "qwen9"]) == 2
    assert "no measurement that informs a number is of family 'qwen9'" in capsys.readouterr().err
