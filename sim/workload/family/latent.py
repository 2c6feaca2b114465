"""DeepSeek V3 and R1, Kimi K2: multi-head latent attention, dense layers first, then experts with a shared one.

The drafting layers (`num_nextn_predict_layers`) are counted, not run: a layer, a joining projection and three norms,
and in DeepSeek's checkpoints a second copy of embedding and head, which is not.
"""

from __future__ import annotations

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body
from sim.workload.layer_spec import DenseFfn, LayerSpec, MoeFfn
from sim.workload.mixer_spec import LatentSpec
from sim.workload.model import Tensor


def read_latent(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    count = fields.number("num_hidden_layers")
    mixer = LatentSpec(
        fields.number("num_attention_heads"),
        fields.number("q_lora_rank") if fields.text.get("q_lora_rank") is not None else 0,
        fields.number("kv_lora_rank"),
        fields.number("qk_nope_head_dim"),
        fields.number("qk_rope_head_dim"),
        fields.number("v_head_dim"),
    )
    first = fields.number("first_k_dense_replace") if fields.text.get("first_k_dense_replace") else 0
    every = fields.number("moe_layer_freq", default=1)
    dense, routed = DenseFfn(fields.number("intermediate_size")), routed_experts(fields)
    if fields.problems:
        return Body()
    has_experts = [index >= first and index % every == 0 for index in range(count)]
    layers = tuple(LayerSpec(mixer, routed if each else dense) for each in has_experts)
    extra = drafting_layers(fields, LayerSpec(mixer, routed))
    return Body(layers, extra=extra, drafter=LayerSpec(mixer, routed) if extra else None)


def routed_experts(fields: ConfigFields) -> MoeFfn:
    """Experts with shared ones, in DeepSeek's keys."""
    count, top_k = fields.number("n_routed_experts"), fields.number("num_experts_per_tok")
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    width = fields.number("moe_intermediate_size")
    n_shared = fields.number("n_shared_experts") if fields.text.get("n_shared_experts") else 0
    return MoeFfn(count, top_k, width, n_shared * width, router_bias=True)


def drafting_layers(fields: ConfigFields, layer: LayerSpec) -> tuple[Tensor, ...]:
    """Parameters of the drafting layers: a layer, a joining projection and three norms each."""
    count = fields.number("num_nextn_predict_layers") if fields.text.get("num_nextn_predict_layers") else 0
    if not count:
        return ()
    hidden = fields.number("hidden_size")
    one = sum(size for _, size in layer.sizes(hidden)) + 2 * hidden * hidden + 3 * hidden
    return (Tensor("mtp", None, count * one),)
