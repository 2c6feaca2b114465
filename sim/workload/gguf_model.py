"""A GGUF header as a configuration: its keys in the field names of config.json, and the format of every matrix.

Names of keys and tensors: https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sim.errors import ModelError, Problem
from sim.workload.gguf_header import GgufHeader, GgufTensor, read_gguf

ARCHITECTURES = {
    "gemma3": "Gemma3ForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "gpt-oss": "GptOssForCausalLM",
    "granite": "GraniteForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral3": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3moe": "Qwen3MoeForCausalLM",
}
"""`general.architecture` -> the name in config.json."""
EXPERTS = {"llama": "MixtralForCausalLM"}
"""The same where there are experts."""
KEYS = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "context_length": "max_position_embeddings",
}
TENSORS = {
    "token_embd": "embedding",
    "output": "head",
    "attn_q": "attn_q",
    "attn_k": "attn_k",
    "attn_v": "attn_v",
    "attn_output": "attn_o",
    "ffn_gate": "ffn_gate",
    "ffn_up": "ffn_up",
    "ffn_down": "ffn_down",
    "ffn_gate_exps": "expert_gate",
    "ffn_up_exps": "expert_up",
    "ffn_down_exps": "expert_down",
    "ffn_gate_inp": "router",
    "ffn_gate_shexp": "shared_gate",
    "ffn_up_shexp": "shared_up",
    "ffn_down_shexp": "shared_down",
    "attn_q_a": "attn_q_a",
    "attn_q_b": "attn_q_b",
    "attn_kv_a_mqa": "attn_kv_a",
    "attn_kv_b": "attn_kv_b",
    "attn_k_b": "attn_kv_b",
    "attn_qkv": "linear_in",
    "ssm_in": "linear_in",
    "ssm_out": "linear_out",
    "shortconv.in_proj": "linear_in",
    "shortconv.out_proj": "linear_out",
    "indexer.attn_q_b": "attn_index_q",
    "indexer.attn_k": "attn_index",
    "per_layer_token_embd": "per_layer_embedding",
}
"""Names of weight tensors -> tensor classes; norms, biases and sinks are small and taken as F32."""
_TENSOR = re.compile(r"(?:blk\.(\d+)\.)?([a-z_.]+)\.weight")
FORMATS_KEY = "gguf_formats"
"""Where the configuration carries (tensor class, layer, format)."""


def gguf_config(path: Path) -> dict[str, Any]:
    """The configuration that the file's header makes.

    Raises:
        ModelError: it cannot be read, or its architecture is not modelled.
    """
    header = read_gguf(path)
    kind = str(header.values.get("general.architecture", ""))
    problem = _unsupported(header, kind)
    if problem:
        message, hint = problem
        raise ModelError(Problem(message, code="unsupported_model", file=str(path), hint=hint))
    found = {name: header.values.get(f"{kind}.{key}") for key, name in KEYS.items()}
    tensors = {tensor.name: tensor for tensor in header.tensors}
    table, is_tied = tensors.get("token_embd.weight"), "output.weight" not in tensors
    architecture = EXPERTS.get(kind, ARCHITECTURES[kind]) if found["num_experts"] else ARCHITECTURES[kind]
    config: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    config |= {
        "architectures": [architecture],
        "vocab_size": table.sizes[-1] if table else header.values.get("tokenizer.ggml.tokens[]", 0),
        "tie_word_embeddings": is_tied,
        "torch_dtype": "bfloat16",
        FORMATS_KEY: _formats(header.tensors, is_tied=is_tied),
    }
    return config | _of_family(kind, config)


def gguf_formats(path: Path) -> list[tuple[str, int | None, str]]:
    """The format of every matrix of the file, by tensor class and layer, whatever its architecture.

    Raises:
        ModelError: it cannot be read, or is a part of a file.
    """
    header = read_gguf(path)
    if problem := _split(header):
        raise ModelError(Problem(problem[0], code="unsupported_model", file=str(path), hint=problem[1]))
    is_tied = all(tensor.name != "output.weight" for tensor in header.tensors)
    return _formats(header.tensors, is_tied=is_tied)


def _split(header: GgufHeader) -> tuple[str, str] | None:
    """What is wrong with a part of a file, and how to mend it."""
    parts = header.values.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        message = f"this is one of {parts} parts, which lists only its own tensors"
        return message, "join them with llama-gguf-split --merge"
    return None


def _unsupported(header: GgufHeader, kind: str) -> tuple[str, str] | None:
    if problem := _split(header):
        return problem
    if kind not in ARCHITECTURES:
        known = f"modelled: {', '.join(ARCHITECTURES)}; or give the model's config.json and its format with --quant"
        return f"the GGUF architecture {kind[:40]!r} is not modelled", known
    return None


def _of_family(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """What a family's configuration says beside the header's keys."""
    count = config.get("num_hidden_layers", 0)
    if kind == "gpt-oss" and isinstance(count, int):
        layers = ["sliding_attention" if index % 2 == 0 else "full_attention" for index in range(min(count, 2048))]
        return {"layer_types": layers, "num_local_experts": config.pop("num_experts", None)}
    return {"sliding_window_pattern": 6} if kind == "gemma3" else {}


def _formats(tensors: tuple[GgufTensor, ...], *, is_tied: bool) -> list[tuple[str, int | None, str]]:
    """Every matrix by tensor class and layer, and an embedding that is the head too as the head."""
    found = []
    for tensor in tensors:
        match = _TENSOR.fullmatch(tensor.name)
        name = TENSORS.get(match[2]) if match else None
        if match and name:
            found.append((name, int(match[1]) if match[1] else None, tensor.dtype))
    table = next((dtype for name, _, dtype in found if name == "embedding"), None)
    return [*found, ("head", None, table)] if is_tied and table else found
