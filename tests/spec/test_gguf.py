"""Does a GGUF header make the model and the formats that the file holds, and is a broken one refused in time?"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.errors import InputError, ModelError
from sim.workload.gguf_header import FORMATS, read_gguf
from sim.workload.hf_config import load_model
from sim.workload.quant import formats, resolve_quant, weights_bytes

NUMBERS = {name: number for number, name in FORMATS.items()}
HIDDEN, WIDE, VOCAB, LAYERS = 1024, 3072, 5120, 4
META = {
    "general.architecture": "qwen3",
    "qwen3.embedding_length": HIDDEN,
    "qwen3.block_count": LAYERS,
    "qwen3.feed_forward_length": WIDE,
    "qwen3.attention.head_count": 16,
    "qwen3.attention.head_count_kv": 8,
    "qwen3.attention.key_length": 128,
    "qwen3.context_length": 40960,
    "tokenizer.ggml.tokens": ["a", "bc", ""],
    "tokenizer.ggml.scores": [0.0, 1.0, 2.0],
}


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, list) and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    if isinstance(value, list):
        return struct.pack("<IIQ", 9, 6, len(value)) + struct.pack(f"<{len(value)}f", *value)
    return struct.pack("<II", 4, value)


def _gguf(meta: Mapping[str, Any], tensors: Mapping[str, tuple[tuple[int, ...], str]]) -> bytes:
    """A file without its weights, by the specification."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(meta))
    head += b"".join(_text(key) + _value(value) for key, value in meta.items())
    for name, (sizes, kind) in tensors.items():
        head += _text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, NUMBERS[kind], 0)
    return head


def _tensors(*, is_tied: bool = True) -> dict[str, tuple[tuple[int, ...], str]]:
    """Matrices of a small Qwen3; values of every other layer in Q6_K."""
    found: dict[str, tuple[tuple[int, ...], str]] = {"token_embd.weight": ((HIDDEN, VOCAB), "q6_k")}
    for i in range(LAYERS):
        for name, rows, columns, kind in (
            ("attn_q", HIDDEN, 2048, "q4_k"), ("attn_k", HIDDEN, 1024, "q4_k"),
            ("attn_v", HIDDEN, 1024, "q6_k" if i % 2 else "q4_k"), ("attn_output", 2048, HIDDEN, "q5_k"),
            ("ffn_gate", HIDDEN, WIDE, "q4_k"), ("ffn_up", HIDDEN, WIDE, "q4_k"), ("ffn_down", WIDE, HIDDEN, "iq4_xs"),
        ):  # fmt: skip
            found[f"blk.{i}.{name}.weight"] = ((rows, columns), kind)
        for name, size in (("attn_norm", HIDDEN), ("ffn_norm", HIDDEN), ("attn_q_norm", 128), ("attn_k_norm", 128)):
            found[f"blk.{i}.{name}.weight"] = ((size,), "f32")
    found["output_norm.weight"] = ((HIDDEN,), "f32")
    return found if is_tied else {**found, "output.weight": ((HIDDEN, VOCAB), "q8_0")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "small-Q4_K_M.gguf"
    path.write_bytes(_gguf(META, _tensors()))
    return path


@pytest.mark.parametrize("is_tied", [True, False])
def test_parameters_and_bytes_are_those_of_the_tensors(path: Path, is_tied: bool) -> None:
    tensors = _tensors(is_tied=is_tied)
    path.write_bytes(_gguf(META, tensors))
    model = load_model(path)
    counts = {name: sizes[0] * (sizes[1] if len(sizes) > 1 else 1) for name, (sizes, _) in tensors.items()}
    assert (len(model.layers), model.is_tied, model.vocab_size) == (LAYERS, is_tied, VOCAB)
    assert model.parameter_count() == sum(counts.values())
    stored = sum(count * formats()[tensors[name][1]].bits_per_weight / 8 for name, count in counts.items())
    assert weights_bytes(model, resolve_quant(model, None, "llama.cpp")) == round(stored)


def test_it_runs_with_the_formats_of_each_layer(path: Path) -> None:
    result = sim.run(model=path, runtime="llama.cpp", prompt=0, depth=64, output=2)
    assert result.identity.quant == "gguf"
    assert result.decode_tok_s > 0


def test_it_is_a_file_of_llama_cpp(path: Path) -> None:
    with pytest.raises(InputError, match=r"gguf is a format of llama\.cpp, not of vllm"):
        sim.run(model=path, runtime="vllm", prompt=0, output=2)


def test_the_library_reads_the_same(path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="the oracle: pip install gguf")
    os.truncate(path, path.stat().st_size + 2**23)  # room for the weights, which it maps
    reader, header = gguf.GGUFReader(path), read_gguf(path)
    assert [(t.name, tuple(map(int, t.shape)), t.tensor_type.name.lower()) for t in reader.tensors] == [
        (t.name, t.sizes, t.dtype) for t in header.tensors
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"GGML" + data[4:], "does not begin with GGUF"),
        (lambda data: data[:4] + struct.pack("<I", 9) + data[8:], "version 9 is not read"),
        (lambda data: data[:8] + struct.pack("<Q", 2**60) + data[16:], "tensors do not fit into"),
        (lambda data: data[:16] + struct.pack("<Q", 2**40) + data[24:], "values do not fit into"),
        (lambda data: data[:-40], "ends within its header|do not fit"),
        (lambda data: b"", "cannot be read"),
    ],
)
def test_a_broken_header_is_refused(path: Path, change: Any, message: str) -> None:
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError, match=message):
        load_model(path)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"general.architecture": "mamba"}, "the GGUF architecture 'mamba' is not modelled"),
        ({"split.count": 3}, "one of 3 parts"),
        ({"qwen3.attention.head_count_kv": 7}, "heads cannot share"),
    ],
)
def test_what_is_not_modelled_says_so(path: Path, meta: dict[str, Any], message: str) -> None:
    path.write_bytes(_gguf(META | meta, _tensors()))
    with pytest.raises(ModelError, match=message):
        load_model(path)


@given(at=st.integers(0, 3000), size=st.integers(0, 12), data=st.data())
@settings(max_examples=150, deadline=2000, derandomize=True)
def test_a_mutated_header_is_read_or_refused(at: int, size: int, data: st.DataObject, tmp_path_factory: Any) -> None:
    whole = bytearray(_gguf(META, _tensors()))
    at %= len(whole)
    whole[at : at + size] = data.draw(st.binary(min_size=size, max_size=size))
    path = tmp_path_factory.getbasetemp() / "mutated.gguf"
    path.write_bytes(bytes(whole))
    with suppress(ModelError):
        assert load_model(path).parameter_count() > 0
