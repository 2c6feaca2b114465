"""Does every example run from anywhere, print what it says it prints, and keep the property it shows?

Predicted numbers move while kernels are tuned: a number of its own may be off by `TOLERANCE`, everything else (words,
units, order of lines, numbers within names such as qwen3-8b) must be the same. The properties hold all the same.

An example that changed: `python examples/NAME.py > examples/NAME.out`, then read the difference.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import sim
from sim.system.plugins import load_plugin
from sim.workload.op import OP_KINDS
from sim.workload.quant import weights_bytes

TOLERANCE = 0.25
EXAMPLES = sorted(path.stem for path in (Path(__file__).parents[2] / "examples").glob("*.out"))
NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-]|\.\d)")


@dataclass(frozen=True)
class Ran:
    """What an example printed, and the folder that it was given and started in."""

    text: str
    folder: Path

    def numbers(self, pattern: str) -> list[float]:
        """The first group of every match, as a number."""
        return [float(match[1]) for match in re.finditer(pattern, self.text)]


def run(name: str, root: Path, folder: Path) -> Ran:
    """Run an example in a process of its own, started in an empty folder."""
    command = [sys.executable, "-W", "error", str(root / "examples" / f"{name}.py"), str(folder / "drawn")]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return Ran(done.stdout, folder)


def differences(expected: str, printed: str) -> list[str]:
    """Lines that differ in more than numbers within the tolerance."""
    found = []
    for want, got in zip(expected.splitlines(), printed.splitlines(), strict=False):
        wanted, numbers = NUMBER.findall(want), NUMBER.findall(got)
        words = [" ".join(NUMBER.sub("#", line).split()) for line in (want, got)]
        close = all(abs(float(a) - float(b)) <= TOLERANCE * float(a) for a, b in zip(wanted, numbers, strict=False))
        if words[0] != words[1] or not close:
            found.append(f"expected {want!r}, printed {got!r}")
    lines = [len(text.splitlines()) for text in (expected, printed)]
    return found if lines[0] == lines[1] else [*found, f"expected {lines[0]} lines, printed {lines[1]}"]


def test_every_example_has_its_question_and_its_output(root: Path) -> None:
    numbers = [name[:2] for name in EXAMPLES]
    assert numbers[:5] == ["01", "02", "03", "04", "05"]
    assert len(set(numbers)) == len(numbers)
    for name in EXAMPLES:
        text = (root / "examples" / f"{name}.py").read_text(encoding="utf-8")
        assert "?" in text.split('"""')[1].split("\n")[0], name
        assert (root / "examples" / f"{name}.out").exists()


@pytest.mark.parametrize(
    ("printed", "differs"),
    [
        ("a-8b: 10.0 tok/s\n", False),
        ("a-8b:  12.4 tok/s\n", False),
        ("a-8b: 12.6 tok/s\n", True),
        ("a-8b: 7.4 tok/s\n", True),
        ("a-9b: 10.0 tok/s\n", True),
        ("a-8b: 10.0 GB/s\n", True),
        ("a-8b: nan tok/s\n", True),
        ("a-8b: 10.0 tok/s\nmore\n", True),
    ],
)
def test_comparison_tells_numbers_from_names(printed: str, differs: bool) -> None:
    assert bool(differences("a-8b: 10.0 tok/s\n", printed)) is differs


def prediction_keeps_below_sustained_memory_and_its_figures_agree(ran: Ran) -> None:
    """The first token comes after the prompt at the prompt's rate; 86.1 % of 273.06 GB/s is what reads are given."""
    (rate,), (ttft,) = ran.numbers(r"prompt: (\S+) tok"), ran.numbers(r"after (\S+) s")
    assert ttft == pytest.approx(2048 / rate, abs=0.006)
    (moved,) = ran.numbers(r"moves (\S+) GB/s")
    assert 0 < moved <= 0.861 * 273.06 + 0.5


def decode_rises_with_bandwidth_until_the_link_binds(ran: Ran) -> None:
    """At 86.1 % of the peak, reads pass the link's 300 GB/s above 348 GB/s: from 400 on nothing changes any more."""
    bandwidths, rates = ran.numbers(r"(\d+) GB/s:"), ran.numbers(r": (\S+) tok/s")
    bounds = re.findall(r"bound by (\w+)", ran.text)
    assert bandwidths == [100, 200, 300, 400, 500, 600]
    assert rates[0] < rates[1] < rates[2] < rates[3]
    assert rates[3:] == pytest.approx([rates[3]] * 3, rel=0.01)
    assert bounds == ["memory"] * 3 + ["link"] * 3
    from matplotlib.image import imread

    picture = imread(ran.folder / "drawn" / "decode_by_bandwidth.png")
    assert picture.shape[0] > 400
    assert picture[..., :3].std() > 0.05  # something is drawn on it


def accelerator_takes_its_share_and_the_memory_traffic_stays(ran: Ran) -> None:
    """Weights of 8 GB are read by one or the other in each of 8 passes: the sum is the plain machine's within 10 %."""
    plain, gpu, npu = ran.numbers(r"moves (\d+) GB")
    assert plain > 8 * 8
    assert npu > 5 * gpu
    assert gpu + npu == pytest.approx(plain, rel=0.1)


def test_accelerator_gets_the_embedding_and_the_int8_products(root: Path) -> None:
    """FLOPs are 2 m n k wherever they are done; a decode step reads all weights but the table of embeddings."""
    load_plugin(root / "examples/03_own_accelerator.py")
    given = {"model": "qwen3-8b", "quant": "q8_0", "runtime": "llama.cpp", "prompt": 0, "output": 1}
    machines = ("dgx-spark", root / "examples/dgx-spark-npu.yaml")
    plain, with_npu = (sim.run(**given, hardware=machine).trace.steps[0] for machine in machines)
    gemms = {op.id: op for block in sim.run(**given).workload.phases[0].steps[0].blocks for op in block.ops}
    for step, component in ((plain, "gpu"), (with_npu, "npu")):
        mine = [op for op in step.ops if op.kind == "gemm"]
        assert [op.flops for op in mine] == [2 * g.m * g.n * g.k for g in (gemms[op.op] for op in mine)]
        assert {op.component for op in mine} == {component}
    npu = [op for op in with_npu.ops if op.component == "npu"]
    assert {op.site for op in npu if op.kind != "gemm"} == {"embed"}
    model = sim.load_model("qwen3-8b")
    weights = weights_bytes(model, sim.load_quant("q8_0")) - model.vocab_size * model.hidden_size * 34 / 32
    assert sum(op.dram_read_bytes * op.repeat for op in npu) == pytest.approx(weights, rel=0.01)


def replay_is_exact_and_every_kind_of_op_is_there(ran: Ran) -> None:
    """The copy: 2 MiB read and written by a CPU cluster that moves 100 GB/s both ways together, and latencies."""
    assert "the same spans: True" in ran.text
    assert set(OP_KINDS) <= set(ran.text.split())
    (spent,) = ran.numbers(r"h2d\s+copy\s+copy:cpu-gpu\s+(\S+) us")
    assert 2 * 2 * 2**20 / 100e9 * 1e6 <= spent + 0.05 < 2 * 2 * 2**20 / 100e9 * 1e6 + 1.0


def forty_models_slow_down_with_bytes_and_with_experts(ran: Ran) -> None:
    """More bytes, or more experts per token, of one model: fewer tokens per second."""
    rows = [line.split() for line in ran.text.splitlines()[1:-1]]
    assert len(rows) == 40
    weights = [float(row[-3]) for row in rows]
    assert weights == sorted(weights)
    assert all((row[-2] == "False") == (row[-1] == "NaN") for row in rows)
    by_model: dict[str, list[float]] = {}
    for row in rows:
        if row[-1] != "NaN":
            by_model.setdefault(row[0], []).append(float(row[-1]))
    assert len(by_model) == 12
    assert [model for model, rates in by_model.items() if rates != sorted(rates, reverse=True)] == []


def what_fits_is_smaller_and_reading_without_mmap_is_faster(ran: Ran) -> None:
    """BF16 is the largest and does not fit; a mapped file takes at least twice as long as one that is read."""
    weights = ran.numbers(r": (\S+) GB of weights")
    fits = [" fits" in line for line in ran.text.splitlines() if "GB of weights, " in line]
    assert weights == sorted(weights, reverse=True)
    assert not fits[0]
    assert fits == sorted(fits)
    mapped, read, warm = ran.numbers(r"by \w+: (\S+) s,")
    assert mapped > 2 * read > 4 * warm
    assert (ran.folder / "drawn" / "cold_start.svg").exists()


def a_shared_box_stays_below_its_ceilings_and_a_cap_saves_energy(ran: Ran) -> None:
    """Shares are of one memory; nobody is faster together; the package keeps to 140 W; less clock, fewer joules."""
    alone, together = ran.numbers(r": (\S+) alone"), ran.numbers(r"alone, (\S+) ")
    assert all(after <= before * 1.001 for before, after in zip(alone, together, strict=True))
    assert together[0] < 0.9 * alone[0]
    assert sum(ran.numbers(r"(\d+)% of the bytes")) == pytest.approx(100, abs=3)
    (total,), (package,) = ran.numbers(r"memory: (\d+) of"), ran.numbers(r"power: (\d+) W of the package")
    assert total <= 236
    assert package <= 140
    (free, capped), decode = ran.numbers(r"W, (\S+) J a token"), ran.numbers(r"decode (\S+) tok/s")
    assert capped < free
    assert decode[1] == pytest.approx(decode[0], rel=0.02)
    assert (ran.folder / "drawn" / "shared" / "plots" / "bandwidth.png").exists()


def more_users_wait_longer(ran: Ran) -> None:
    """Four times the users are served at most four times as often, and no more than 64 at once; none is faster."""
    few, many = ran.numbers(r"users: (\S+) requests/s")
    assert few < many < 4 * few
    assert ran.numbers(r"at most (\d+) answered") == [25, 64]
    for name in ("ttft_p95", "tpot_p95"):
        before, after = ran.numbers(rf"{name}: (\S+) s of")
        assert before < after


def the_prefix_cache_spares_most_prompts(ran: Ran) -> None:
    """A round begins with the context of the round before; without the cache all of that is computed again."""
    shares, waits, rates = ran.numbers(r": (\d+)% of"), ran.numbers(r"p95 (\S+) s"), ran.numbers(r"s, (\S+) rounds")
    assert shares[0] > 80
    assert shares[1] == 0
    assert waits[0] < waits[1] / 2
    assert rates[0] > rates[1]


def a_larger_batch_is_done_earlier(ran: Ran) -> None:
    """All prompts and answers are the same, so that time and rate are each other's inverse."""
    minutes, rates = ran.numbers(r": (\S+) min"), ran.numbers(r"min, (\d+) tok")
    assert minutes[1] < minutes[0]
    assert minutes[0] * rates[0] == pytest.approx(minutes[1] * rates[1], rel=0.02)
    few, many = ran.numbers(r"up to (\S+) GB")
    assert few < many / 4


def faster_memory_brings_nothing_beyond_the_link(ran: Ran) -> None:
    """Rates never fall; one link binds from 350 GB/s on (0.86 of the peak is 300), one twice as fast nowhere."""
    rates, bounds = ran.numbers(r": (\S+) tok/s"), re.findall(r"bound by (\w+)", ran.text)
    one, two = rates[:9], rates[9:]
    assert one == sorted(one)
    assert two == sorted(two)
    assert one[:3] == pytest.approx(two[:3], rel=0.001)
    assert bounds[:3] == ["memory"] * 3
    assert bounds[4:9] == ["link"] * 5
    assert one[8] == pytest.approx(one[4], rel=0.005)
    assert two[8] > 1.3 * one[8]
    assert "link" not in bounds[9:]
    assert (ran.folder / "drawn" / "bandwidth.svg").exists()


def more_sequences_and_longer_contexts_take_longer_until_they_do_not_fit(ran: Ran) -> None:
    """Along both axes; 16 x 128,000 tokens and what is larger is too much for the cache."""
    rows = [line.partition(" tokens: ") for line in ran.text.splitlines()[:-1]]
    times = {tuple(map(int, head.split(" x "))): rest for head, _, rest in rows}
    fits = {place: float(rest.split()[0]) for place, rest in times.items() if rest[0].isdigit()}
    assert set(times) - set(fits) == {(16, 128000), (64, 32000), (64, 128000)}
    for (batch, depth), value in fits.items():
        assert all(fits[b, d] >= value for b, d in fits if b >= batch and d >= depth)


def fewer_bits_are_faster_and_batches_trade_time_for_throughput(ran: Ran) -> None:
    """A token alone reads all weights: BF16's 16 bits take 1.7 to 2 times FP8's 8; nothing beats reading them."""
    alone, together = ran.numbers(r": (\S+) ms alone"), ran.numbers(r" at (\S+) ms")
    assert alone == sorted(alone, reverse=True)
    assert 1.7 < alone[0] / alone[1] < 2.0
    assert len(together) == 3
    assert all(after > before for before, after in zip(alone, together, strict=True))
    assert alone[1] > 14.8 / 235 * 1000 * 0.9  # 14.8 GB of weights at what memory sustains


def decode_hangs_on_memory(ran: Ran) -> None:
    """No elasticity is above 1, and that of decode to the memory's bandwidth is near it."""
    lines = dict(line.split(": ", 1) for line in ran.text.splitlines())
    assert lines["decode"].startswith("memory.bandwidth +0.9")
    assert all(abs(float(value)) <= 1.0 for value in re.findall(r"[+-]\d\.\d+", ran.text))


def nine_years_bought_room_and_joules_not_bandwidth(ran: Ran) -> None:
    """A GPU of 2017 answers faster by at most its bandwidth; it holds a model of 14 GB and not one of 63 GB."""
    assert ran.numbers(r"GPU of (\d+) GB/s") == [732, 900, 273]
    assert ran.numbers(r"/s, (\d+) GB, at") == pytest.approx([8 * 17.18, 8 * 17.18, 137.4], abs=0.6)
    rates = ran.numbers(r"answer (\S+) tok/s")
    assert len(rates) == 7  # three machines for two models, one for the third
    assert all(old * 13.5 <= bandwidth for old, bandwidth in zip(rates[:3], (732, 900, 273), strict=True))
    for old, new in ((rates[1], rates[2]), (rates[4], rates[5])):
        assert new < old <= new * 900 / 273
    joules = ran.numbers(r"s, (\S+) tokens/J")
    assert joules[2] > joules[1] > 0
    assert joules[5] > joules[4] > 0
    assert pytest.approx(ran.numbers(r"fit, (\d+) GB short"), abs=3) == [48, 48]
    assert (ran.folder / "drawn" / "nine_years.svg").exists()


PROPERTIES = {
    "01_predict": prediction_keeps_below_sustained_memory_and_its_figures_agree,
    "02_change_a_number": decode_rises_with_bandwidth_until_the_link_binds,
    "03_own_accelerator": accelerator_takes_its_share_and_the_memory_traffic_stays,
    "04_replay_op_trace": replay_is_exact_and_every_kind_of_op_is_there,
    "05_forty_models": forty_models_slow_down_with_bytes_and_with_experts,
    "06_what_fits": what_fits_is_smaller_and_reading_without_mmap_is_faster,
    "07_shared_box": a_shared_box_stays_below_its_ceilings_and_a_cap_saves_energy,
    "08_office": more_users_wait_longer,
    "09_coding_agents": the_prefix_cache_spares_most_prompts,
    "10_nightly_batch": a_larger_batch_is_done_earlier,
    "nine_years": nine_years_bought_room_and_joules_not_bandwidth,
    "12_bandwidth": faster_memory_brings_nothing_beyond_the_link,
    "13_context_and_batch": more_sequences_and_longer_contexts_take_longer_until_they_do_not_fit,
    "14_latency_or_throughput": fewer_bits_are_faster_and_batches_trade_time_for_throughput,
    "15_what_matters": decode_hangs_on_memory,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_prints_what_stands_beside_it_and_keeps_its_property(name: str, root: Path, tmp_path: Path) -> None:
    """One test for both, so that each example runs once."""
    ran = run(name, root, tmp_path)
    assert differences((root / "examples" / f"{name}.out").read_text(encoding="utf-8"), ran.text) == []
    PROPERTIES[name](ran)
