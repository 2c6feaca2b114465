"""Do machines stand side by side with the rates of their own runs, and what a token of theirs costs?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim.cli import main
from sim.errors import InputError
from sim.plot import draw_machines
from sim.study.machines import MachineTable

RUN = {"model": "gpt-oss-120b", "runtime": "llama.cpp", "prompt": 256, "output": 8}
FLAGS = ["--model", "qwen3-0.6b", "--runtime", "llama.cpp", "--prompt", "64", "--output", "4", "--quiet"]
MACHINES = ("dgx-spark", "dgx-1-v100", "strix-halo", "h100-sxm")


@pytest.fixture(scope="module")
def found() -> MachineTable:
    return sim.compare_machines(MACHINES, **RUN)


def test_rates_are_those_of_a_run_on_that_machine(found: MachineTable):
    for row in found.to_dict()["machines"]:
        if row["fits"]:
            alone = sim.run(**RUN | {"hardware": row["hardware"], "runtime": row["runtime"]}).rates()
            assert (row["prefill_tok_s"], row["decode_tok_s"]) == (alone["prefill_tok_s"], alone["decode_tok_s"])


def test_each_build_with_kernels_for_a_gpu_has_a_row(found: MachineTable):
    rows = [(row.hardware.name, str(row.runtime).partition("@")[0]) for row in found.rows]
    assert rows == [
        ("dgx-spark", "llama.cpp"),
        ("dgx-1-v100", "llama.cpp-volta"),
        ("strix-halo", "llama.cpp-rocm"),
        ("strix-halo", "llama.cpp-vulkan"),
        ("h100-sxm", "llama.cpp"),
    ]


def test_a_token_costs_its_part_of_the_price_and_its_electricity(found: MachineTable):
    for row in found.to_dict()["machines"]:
        if row["usd_per_million_tokens"] is None:
            continue
        hours = 1e6 / row["decode_tok_s"] / 3600
        spread = row["price_usd"] / row["gpus"] * hours / (3 * 365.25 * 24)
        electricity = row["power_w"] / 1000 * hours * 0.15
        assert row["usd_per_million_tokens"] == pytest.approx(spread + electricity, rel=1e-12)
        assert row["tokens_per_joule"] == pytest.approx(row["decode_tok_s"] / row["power_w"], rel=1e-12)
        assert row["price_date"]
        assert row["price_source"]


def test_watts_say_what_they_are(found: MachineTable):
    bases = {row["hardware"]: row["power_basis"] for row in found.to_dict()["machines"]}
    assert bases == {"dgx-spark": "counted", "dgx-1-v100": "at_most", "strix-halo": "measured", "h100-sxm": "at_most"}


def test_too_large_is_said_with_how_much_and_has_no_rates(found: MachineTable):
    row = next(row for row in found.to_dict()["machines"] if row["hardware"] == "dgx-1-v100")
    assert (row["fits"], row["decode_tok_s"], row["usd_per_million_tokens"]) == (False, None, None)
    assert 40e9 < row["short_bytes"] < 55e9  # 63 GB of weights and what goes with them, into 17.2 GB
    text = found.to_text()
    assert "too large" in text
    assert f"short by {row['short_bytes'] / 1e9:.1f} GB; one of 8 GPUs; the box 149,000 USD, 137 GB, 3,500 W" in text


def test_coarse_machines_are_said_to_be(found: MachineTable):
    assert {row["hardware"] for row in found.to_dict()["machines"] if row["is_coarse"]} == {"strix-halo"}
    assert "strix-halo: described by coarse compute units, not SMs" in found.to_text()


def test_a_machine_that_lacks_what_kernels_need_is_refused_by_name_and_the_others_stay():
    table = sim.compare_machines(["dgx-spark", "m4-max"], model="qwen3-0.6b", runtime="vllm", prompt=64, output=4)
    spark, mac = table.to_dict()["machines"]
    assert spark["fits"]
    assert (mac["fits"], mac["runtime"], mac["refused"]) == (False, None, "vllm has no kernels for its GPU")
    assert "refused" in table.to_text()


def test_a_machine_without_the_units_of_a_kernel_is_refused_and_the_others_stay():
    run = {"model": "qwen3-0.6b", "quant": "nvfp4", "runtime": "vllm", "prompt": 64, "output": 4}
    spark, hopper = sim.compare_machines(["dgx-spark", "h100-sxm"], **run).to_dict()["machines"]
    assert spark["fits"]
    assert not hopper["fits"]
    assert "works on 'fp4', which gpu does not have" in hopper["refused"]
    with pytest.raises(InputError, match="works on 'fp4'"):
        sim.compare_machines(["l40s", "h100-sxm"], **run)


def test_price_years_and_electricity_are_the_readers_choice():
    run = {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 64, "output": 4}
    machines = ["dgx-spark", "rtx-5090"]
    usual, dear = (
        sim.compare_machines(machines, **run, set=assignments, years=3, electricity=0).to_dict()["machines"]
        for assignments in ((), ("machine.price=9398USD",))
    )
    assert dear[0]["usd_per_million_tokens"] == pytest.approx(2 * usual[0]["usd_per_million_tokens"], rel=1e-12)
    assert dear[0]["price_date"] is None  # whoever sets a price does not say of when
    told = sim.compare_machines(machines, **run, prices={"dgx-spark": 9398}, years=3, electricity=0).to_dict()[
        "machines"
    ]
    assert [row["usd_per_million_tokens"] for row in told] == pytest.approx(
        [dear[0]["usd_per_million_tokens"], usual[1]["usd_per_million_tokens"]], rel=1e-12
    )
    assert (told[0]["price_date"], told[0]["price_source"]) == (None, "given")
    short = sim.compare_machines(machines, **run, years=1, electricity=0).to_dict()["machines"]
    assert short[0]["usd_per_million_tokens"] == pytest.approx(3 * usual[0]["usd_per_million_tokens"], rel=1e-12)


@pytest.mark.parametrize(
    ("machines", "more", "words"),
    [
        (["dgx-spark"], {}, "wants two machines at least"),
        (["dgx-spark", "dgx-spark"], {}, "'dgx-spark' is given twice"),
        (["dgx-spark", "dgx-sparc"], {}, "dgx-spark"),
        (["dgx-spark", "rtx-5090"], {"years": 0}, "must be more than 0"),
        (["dgx-spark", "rtx-5090"], {"electricity": -1}, "must be 0 to 100 USD"),
        (["dgx-spark", "rtx-5090"], {"years": float("nan")}, "must be more than 0"),
        (["dgx-spark", "rtx-5090"], {"prices": {"m4-max": 1}}, "'m4-max' is not compared"),
        (["dgx-spark", "rtx-5090"], {"prices": {"rtx-5090": float("inf")}}, "price of rtx-5090"),
        (["m4-max", "m3-ultra"], {"runtime": "vllm"}, "vllm has no kernels for its GPU"),
    ],
)
def test_what_cannot_be_compared_is_said(machines: list[str], more: dict[str, object], words: str):
    with pytest.raises(InputError, match=words):
        sim.compare_machines(machines, **{"model": "qwen3-0.6b", "runtime": "llama.cpp"} | more)


def test_machines_and_runtime_that_there_are_not_are_said_together():
    with pytest.raises(InputError) as caught:
        sim.compare_machines(["dgx-spark", "nope", "neither"], model="qwen3-0.6b", runtime="vlm")
    assert [problem.code for problem in caught.value.problems] == ["unknown_hardware"] * 2 + ["unknown_runtime"]


def test_the_verb_prints_a_table_or_json_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flags = ["compare", "--hardware", "dgx-spark", "--hardware", "m4-max", *FLAGS]
    assert main([*flags, "--plot", str(tmp_path / "boxes")]) == 0
    assert "llama.cpp-metal" in capsys.readouterr().out
    assert "llama.cpp-metal" in (tmp_path / "boxes.svg").read_text(encoding="utf-8")
    assert main([*flags, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], len(data["machines"])) == ("sparksim.machines/1", 2)


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (["dgx-spark", "rtx-5090", "--years", "2"], 2, "goes with two or more --hardware"),
        (["dgx-spark", "rtx-5090", "--hardware", "m4-max", "--hardware", "m3-ultra"], 2, "one machine for both sides"),
        (["--hardware", "m4-max", "--hardware", "m3-ultra", "--years", "soon"], 2, "must be a number"),
        (["--hardware", "m4-max", "--hardware", "m3-ultra", "--price", "m4-max=much"], 2, "must be a number"),
        (["--hardware", "m4-max", "--hardware", "m3-ultra", "--price", "3999"], 2, "'' is not compared"),
        (["--hardware", "m4-max"], 2, "wants two sides"),
    ],
)
def test_the_verb_refuses_what_makes_no_sense(
    flags: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["compare", *flags, *FLAGS]) == status
    assert words in capsys.readouterr().err


def test_status_3_when_it_fits_on_none(capsys: pytest.CaptureFixture[str]):
    flags = ["--hardware", "dgx-1-v100", "--hardware", "dgx-1-p100", "--model", "gpt-oss-120b"]
    assert main(["compare", *flags, "--runtime", "llama.cpp", "--quiet"]) == 3
    assert capsys.readouterr().out.count("too large") == 2


def test_the_picture_is_the_same_again_and_says_why_a_machine_has_no_dot(found: MachineTable, tmp_path: Path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        draw_machines(found.to_dict(), tmp_path / folder / "machines")
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
    text = (tmp_path / "first" / "machines.svg").read_text(encoding="utf-8")
    labels = ("dgx-spark", "h100-sxm", "1 of 8 GPUs", "too large", "decode, tok/s", "USD per million tokens")
    assert [label for label in labels if label not in text] == []


def test_an_optional_kernel_is_left_out_where_its_units_are_missing_and_taken_where_not():
    """llama.cpp multiplies MXFP4 by FP4 instructions where there are any, else by INT8."""
    for machine, kernel in {"dgx-spark": "mmq_mxfp4", "h100-sxm": "mmq_mxfp4_int8"}.items():
        trace = sim.run(model="gpt-oss-20b", runtime="llama.cpp", hardware=machine, prompt=2048, output=0).trace
        assert {op.kernel for step in trace.steps for op in step.ops if op.site == "moe_up"} == {kernel, "mmvq_id"}
