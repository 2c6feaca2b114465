"""GLM-4.5 and 4.6: grouped-query attention with DeepSeek's experts, dense layers first, a drafting layer."""

from __future__ import annotations

from sim.workload.config_fields import ConfigFields
from sim.workload.family.latent import dense_layers, drafting_layers, routed_experts
from sim.workload.family.transformer import Body, Traits, attention
from sim.workload.layer_spec import DenseFfn, LayerSpec

TRAITS = Traits(qkv_bias=True, has_out_bias=False)


def read_glm4_moe(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    count = fields.number("num_hidden_layers")
    mixer = attention(fields, TRAITS, None)
    is_dense = dense_layers(fields, count)
    dense, routed = DenseFfn(fields.number("intermediate_size")), routed_experts(fields)
    if fields.problems or mixer is None:
        return Body()
    layers = tuple(LayerSpec(mixer, dense if is_dense[index] else routed) for index in range(count))
    drafter = LayerSpec(mixer, routed)
    extra = drafting_layers(fields, drafter)
    return Body(layers, extra=extra, drafter=drafter if extra else None)
