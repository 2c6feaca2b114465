"""Layers of attention and a feed-forward part: every family that differs only in norms, biases, factors and windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.workload.architecture import DENSE
from sim.workload.config_fields import ConfigFields
from sim.workload.layer_spec import AttentionSpec, DenseFfn, LayerSpec, MoeFfn
from sim.workload.model import Tensor


@dataclass(frozen=True, slots=True)
class Body:
    """What a family's reader makes of a configuration: everything between embedding and head."""

    layers: tuple[LayerSpec, ...] = ()
    is_embedding_scaled: bool = False
    has_logit_cap: bool = False
    extra: tuple[Tensor, ...] = ()
    drafter: LayerSpec | None = None


@dataclass(frozen=True, slots=True)
class Traits:
    """Where a family differs from a plain Llama. `defaults`: keys that its configurations may leave out."""

    qkv_bias: bool = False
    has_out_bias: bool = True
    """Whether `attention_bias` is one of the output projection too."""
    qk_norm: bool = False
    is_norm_wide: bool = False
    """Whether that norm is over all heads together."""
    router_bias: bool = False
    sinks: bool = False
    expert_biases: bool = False
    post_norms: bool = False
    is_scaled: bool = False
    is_q_scaled: bool = False
    is_embedding_scaled: bool = False
    has_logit_scale: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


_GEMMA3 = Traits(
    qk_norm=True,
    post_norms=True,
    is_q_scaled=True,
    is_embedding_scaled=True,
    # Gemma3TextConfig (transformers): the published files of the multimodal sizes leave these out.
    defaults={
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "sliding_window_pattern": 6,
        "tie_word_embeddings": True,
        "max_position_embeddings": 131072,
    },
)
_GRANITE = Traits(
    is_scaled=True, is_embedding_scaled=True, has_logit_scale=True, defaults={"tie_word_embeddings": True}
)
_PLAIN = Traits()
TRAITS: Mapping[str, Traits] = {
    "GptOss": Traits(sinks=True, expert_biases=True),
    "Qwen2": Traits(qkv_bias=True, has_out_bias=False),
    "Qwen3": Traits(qk_norm=True),
    "SeedOss": Traits(has_out_bias=False),
    "MiMo": Traits(qkv_bias=True, has_out_bias=False),
    "MiniMaxM2": Traits(qk_norm=True, is_norm_wide=True, router_bias=True),
    "Gemma3": _GEMMA3,
    "Granite": _GRANITE,
    "Glm4": Traits(has_out_bias=False, post_norms=True),
    "Glm": Traits(has_out_bias=False),
}
"""By how the name of an architecture begins; the first that fits."""


def traits_of(architecture: str) -> Traits:
    """Where the architecture differs from a plain Llama."""
    return next((traits for start, traits in TRAITS.items() if architecture.startswith(start)), _PLAIN)


def read_transformer(fields: ConfigFields, architecture: str) -> Body:
    """The layers; without them where there are problems (which `fields` keeps)."""
    traits = traits_of(architecture)
    fields.default(traits.defaults)
    count = fields.number("num_hidden_layers")
    sample = attention(fields, traits, None)
    windows = read_windows(fields, count)
    ffns = [_ffn(fields, architecture, traits, index) for index in range(count if not fields.problems else 1)]
    if fields.problems or sample is None:
        return Body()
    attentions = {window: attention(fields, traits, window) for window in set(windows)}
    return Body(
        tuple(
            LayerSpec(attentions[windows[index]], ffns[index], traits.post_norms, traits.is_scaled)
            for index in range(count)
        ),
        traits.is_embedding_scaled,
        traits.has_logit_scale or bool(fields.text.get("final_logit_softcapping")),
    )


def attention(fields: ConfigFields, traits: Traits, window: int | None) -> AttentionSpec | None:
    """The attention of a layer with that window; None where the heads do not add up."""
    heads, hidden = fields.number("num_attention_heads"), fields.number("hidden_size")
    kv_heads = fields.number("num_key_value_heads", default=heads)
    head_dim = fields.number("head_dim", default=max(1, hidden // heads))
    if heads % kv_heads:
        fields.refuse("num_key_value_heads", f"{heads} heads cannot share {kv_heads} key-value heads evenly")
    if hidden % heads and fields.text.get("head_dim") is None:
        fields.refuse("head_dim", f"is not given, and hidden_size {hidden} is no multiple of {heads} heads")
    bias = fields.flag("attention_bias", default=traits.qkv_bias)
    qkv_bias = bias or fields.flag("qkv_bias", default=traits.qkv_bias)
    qk_norm = fields.flag("use_qk_norm", default=traits.qk_norm)
    if fields.problems:
        return None
    return AttentionSpec(
        heads,
        kv_heads,
        head_dim,
        window,
        qkv_bias,
        bias and traits.has_out_bias,
        qk_norm,
        traits.sinks,
        traits.is_q_scaled or _scales_by_position(fields),
        is_norm_wide=traits.is_norm_wide,
    )


def _scales_by_position(fields: ConfigFields) -> bool:
    """Whether queries are scaled by their position (Ministral 3, in the manner of Llama 4)."""
    rope = fields.text.get("rope_parameters") or fields.text.get("rope_scaling")
    return isinstance(rope, dict) and bool(rope.get("llama_4_scaling_beta"))


def read_windows(fields: ConfigFields, count: int) -> list[int | None]:
    """The window of each layer, None = full attention."""
    size = fields.number("sliding_window") if fields.text.get("sliding_window") is not None else None
    types = fields.text.get("layer_types")
    if types is not None:
        return listed_windows(fields, types, size, count)
    if size is None or not fields.flag("use_sliding_window", default=True):
        return [None] * count
    pattern = fields.number(fields.given("sliding_window_pattern", "_sliding_window_pattern"), default=2**30)
    first = fields.number("max_window_layers", default=0)
    return [size if index >= first and (index + 1) % pattern else None for index in range(count)]


def listed_windows(fields: ConfigFields, types: Any, size: int | None, count: int) -> list[int | None]:
    """The window of each layer by `layer_types`."""
    if not isinstance(types, list) or not types or not all(isinstance(each, str) for each in types):
        fields.refuse("layer_types", "must be a list of names")
    elif unknown := sorted(set(types) - {"sliding_attention", "full_attention"}):
        names = ", ".join(unknown)[:80]
        fields.refuse("layer_types", f"{names} layers are not modelled", code="unsupported_feature")
    elif len(types) != count and not fields.is_changed("num_hidden_layers"):
        fields.refuse("layer_types", f"lists {len(types)} layers, num_hidden_layers says {count}")
    elif size is None and "sliding_attention" in types:
        fields.refuse("layer_types", "lists sliding_attention, but sliding_window is not given")
    else:
        return [size if types[i % len(types)] == "sliding_attention" else None for i in range(count)]
    return [None] * count


def _ffn(fields: ConfigFields, architecture: str, traits: Traits, index: int) -> DenseFfn | MoeFfn:
    if architecture in DENSE:
        return DenseFfn(fields.number("intermediate_size"), bias=fields.flag("mlp_bias", default=False))
    skipped = fields.text.get("mlp_only_layers") or []
    if not isinstance(skipped, list) or not all(type(each) is int and each >= 0 for each in skipped):
        fields.refuse("mlp_only_layers", "must be a list of layer numbers")
        skipped = []
    if index in skipped or (index + 1) % fields.number("decoder_sparse_step", default=1):
        return DenseFfn(fields.number("intermediate_size"))
    return experts(fields, traits)


def experts(fields: ConfigFields, traits: Traits) -> MoeFfn:
    """The mixture of experts of a layer."""
    count = fields.number(fields.given("num_experts", "num_local_experts"))
    top_k = fields.number(fields.given("num_experts_per_tok", "experts_per_token"))
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    width = fields.number(fields.given("moe_intermediate_size", "intermediate_size"))
    return MoeFfn(count, top_k, width, 0, traits.expert_biases or traits.router_bias, traits.expert_biases)
