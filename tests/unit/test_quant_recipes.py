"""Does every recipe give each matrix the format that its quantiser does, so that files are as large as published?"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from sim.errors import InputError, SpecError
from sim.workload.hf_config import load_model
from sim.workload.layer_spec import AttentionSpec
from sim.workload.lower import Request, lower
from sim.workload.op import Gemm
from sim.workload.quant import PLACES, formats, kernels_of, load_quant, resolve_quant, weights_bytes
from sim.workload.runtime_file import load_runtime

PUBLISHED_GB = {
    # file sizes that https://huggingface.co/bartowski/Meta-Llama-3.1-70B-Instruct-GGUF and ...-8B-Instruct-GGUF list
    "llama-3.1-70b": {
        "q8_0": 74.98,
        "q6_k": 57.89,
        "q5_k_m": 49.95,
        "q5_k_s": 48.66,
        "q4_k_m": 42.52,
        "q4_k_s": 40.35,
        "q4_0": 40.12,
        "iq4_xs": 37.90,
        "q3_k_l": 37.14,
        "q3_k_m": 34.27,
        "iq3_m": 31.94,
        "q3_k_s": 30.91,
        "iq3_xxs": 27.47,
        "q2_k": 26.38,
        "iq2_m": 24.12,
        "iq2_s": 22.24,
        "iq2_xs": 21.14,
        "iq2_xxs": 19.10,
        "iq1_m": 16.75,
    },
    "llama-3.1-8b": {
        "q8_0": 8.54,
        "q6_k": 6.60,
        "q5_k_m": 5.73,
        "q5_k_s": 5.60,
        "q4_k_m": 4.92,
        "q4_k_s": 4.69,
        "iq4_xs": 4.45,
        "q3_k_l": 4.32,
        "q3_k_m": 4.02,
        "iq3_m": 3.78,
        "q3_k_s": 3.66,
        "iq3_xs": 3.52,
        "q2_k": 3.18,
        "iq2_m": 2.95,
    },
}


@pytest.mark.parametrize(
    ("card", "recipe"), [(card, recipe) for card, sizes in PUBLISHED_GB.items() for recipe in sorted(sizes)]
)
def test_a_file_is_as_large_as_the_published_one(card: str, recipe: str) -> None:
    """Within 1 %: what a file holds besides (tokenizer), and what the size of a model alone changes (70B's values)."""
    size = weights_bytes(load_model(card), load_quant(recipe)) / 1e9
    assert size == pytest.approx(PUBLISHED_GB[card][recipe], rel=0.01)


@pytest.mark.parametrize(
    ("card", "recipe", "gigabytes"),
    [
        ("deepseek-v3", "fp8_block", 688.59),  # total_size in model.safetensors.index.json; a second embedding and head
        ("gpt-oss-120b", "mxfp4", 65.25),
        ("gpt-oss-20b", "mxfp4", 13.76),
    ],
)
def test_a_checkpoint_is_as_large_as_the_published_one(card: str, recipe: str, gigabytes: float) -> None:
    size = weights_bytes(load_model(card), load_quant(recipe)) / 1e9
    assert size == pytest.approx(gigabytes, rel=0.02)


def test_places_are_those_of_the_quantiser() -> None:
    """Of 32 layers: the first four are an eighth, the first two a 16th, 24 lie between the outer eighths."""
    counts = {place: sum(holds(layer, 32) for layer in range(32)) for place, holds in PLACES.items()}
    assert counts == {"eighth": 4, "16th": 2, "2": 2, "4": 4, "inner": 24}


def test_values_get_more_bits_where_many_heads_share_them() -> None:
    """IQ4_NL: Q5_K from four query heads a key head on (Llama 3.1), else as the rest (Gemma 3 27B: two)."""
    recipe = load_quant("iq4_nl")
    found = {
        card: recipe.of_model(load_model(card)).format_of("attn_v", 0, 32).name
        for card in ("llama-3.1-8b", "gemma-3-27b")
    }
    assert found == {"llama-3.1-8b": "q5_k", "gemma-3-27b": "iq4_nl"}


def test_layers_of_one_recipe_that_differ_are_told_apart() -> None:
    recipe = load_quant("q4_k_s")
    assert [recipe.format_of("ffn_down", layer, 32, 14336).name for layer in (0, 3, 4, 31)] == [
        "q5_k",
        "q5_k",
        "q4_k",
        "q4_k",
    ]
    assert recipe.signature(3, 32) != recipe.signature(4, 32)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("int4", 4.15625),
        ("int4_g64", 4.3125),
        ("int4_g32", 4.625),
        ("int4_sym", 4.125),
        ("int4_sym_g32", 4.5),
        ("fp8_block", 8 + 8 * 4 / 16384),
        ("mxfp8", 8.25),
    ],
)
def test_scales_and_zero_points_are_counted(name: str, bits: float) -> None:
    """A 16-bit scale a group, and four bits of zero point; a 32-bit scale for 128 x 128 FP8 weights."""
    assert formats()[name].bits_per_weight == pytest.approx(bits)


def test_formats_of_another_grain_run_the_same_kernels() -> None:
    assert {name: kernels_of(name) for name in ("int4_g32", "int4_sym", "mxfp8", "q4_k")} == {
        "int4_g32": "int4",
        "int4_sym": "int4",
        "mxfp8": "fp8_block",
        "q4_k": "q4_k",
    }
    model = load_model("qwen3-4b")
    workload = lower(model, load_quant("int4_g32"), load_runtime("vllm").spec, Request(1, 0, 9, 1), "bf16")
    assert {op.dtype for op in workload.phases[0].steps[0].ops() if isinstance(op, Gemm)} == {"int4_g32", "bf16"}


def test_a_dynamic_mix_without_its_file_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match="a mix that Unsloth makes for each model") as caught:
        load_quant("UD-Q4_K_XL")
    assert "--quant MODEL.gguf" in str(caught.value)


def test_a_gguf_file_is_the_recipe_of_its_own_mix(tmp_path: Path) -> None:
    """Two layers' value projections in Q6_K and Q4_K, an expert's down projection in IQ4_XS; norms are F32."""
    tensors = [
        ("token_embd.weight", (256, 1000), 12),
        ("blk.0.attn_v.weight", (256, 128), 14),
        ("blk.1.attn_v.weight", (256, 128), 12),
        ("blk.1.ffn_down_exps.weight", (256, 256, 8), 23),
        ("blk.1.ffn_down_shexp.weight", (256, 256), 8),
    ]
    path = tmp_path / "Small-UD-Q4_K_XL.gguf"
    path.write_bytes(_gguf(tensors))
    recipe = load_quant(path)
    assert [recipe.format_of("attn_v", layer, 2).name for layer in (0, 1)] == ["q6_k", "q4_k"]
    assert [recipe.format_of(name, 1, 2).name for name in ("expert_down", "shared_down")] == ["iq4_xs", "q8_0"]
    assert recipe.format_of("head", None, 2).name == "q4_k"  # the embedding is the head
    assert resolve_quant(load_model("qwen3-0.6b"), path, "llama.cpp").name == "Small-UD-Q4_K_XL"
    with pytest.raises(InputError, match=r"is a format of llama\.cpp"):
        resolve_quant(load_model("qwen3-0.6b"), path, "vllm")


def _gguf(tensors: list[tuple[str, tuple[int, ...], int]]) -> bytes:
    """A GGUF file of version 3: header, one key, tensor descriptions, and room for what they describe."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1)
    out += text("general.architecture") + struct.pack("<I", 8) + text("qwen35moe")
    at = 0
    for name, sizes, kind in tensors:
        out += text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, at)
        elements = 1
        for size in sizes:
            elements *= size
        at += -(-elements * 4 // 32) * 32
    return out + b"\0" * (at + 64)


def test_an_unknown_place_or_class_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        """schema: sparksim.quant/1
name: mine
title: mine
source: mine
default: q4_k
grouped: {attn_w: q5_k}
first:
  quarter: {attn_v: q7_k}
"""
    )
    with pytest.raises(SpecError) as caught:
        load_quant(path)
    for said in ("unknown tensor class 'attn_w'", "unknown place 'quarter'", "unknown format 'q7_k'"):
        assert said in str(caught.value)


def test_every_head_of_a_shipped_card_has_whole_groups() -> None:
    """`of_model` looks at query heads per key head: of each layer of attention a whole number."""
    mixers = [layer.mixer for card in ("llama-3.1-8b", "gemma-3-27b") for layer in load_model(card).layers]
    assert all(mixer.heads % mixer.kv_heads == 0 for mixer in mixers if isinstance(mixer, AttentionSpec))
