"""Gemma 3n: four residual streams, a low-rank projection beside attention, inputs of each layer's own, shared keys."""

from __future__ import annotations

from dataclasses import replace

from sim.workload.config_fields import ConfigFields
from sim.workload.family.gemma4 import per_layer_inputs
from sim.workload.family.transformer import Body, Traits, attention, read_windows
from sim.workload.layer_spec import DenseFfn, LayerSpec
from sim.workload.model import Tensor
from sim.workload.streams import StreamSpec

# Gemma3nTextConfig (transformers): what the published files may leave out.
TRAITS = Traits(
    qk_norm=True,
    defaults={
        "tie_word_embeddings": True,
        "altup_num_inputs": 4,
        "laurel_rank": 64,
        "hidden_size_per_layer_input": 256,
        "vocab_size_per_layer_input": 262144,
        "num_kv_shared_layers": 15,
        "final_logit_softcapping": 30.0,
    },
)


def read_gemma3n(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    fields.default(TRAITS.defaults)
    count, hidden = fields.number("num_hidden_layers"), fields.number("hidden_size")
    windows, shared, widths = read_windows(fields, count), fields.count("num_kv_shared_layers"), _widths(fields, count)
    if shared >= count:
        fields.refuse("num_kv_shared_layers", f"{shared} of {count} layers cannot share the keys of an earlier one")
    own, laurel = fields.number("hidden_size_per_layer_input"), fields.number("laurel_rank")
    streams = StreamSpec("altup", fields.number("altup_num_inputs"))
    kinds = {window: attention(fields, TRAITS, window) for window in set(windows)}
    extra = per_layer_inputs(fields, count, own)
    if fields.problems:
        return Body()
    layers = []
    for index, window in enumerate(windows):
        mixer, shares = kinds[window], index >= count - shared
        layers.append(
            LayerSpec(
                replace(mixer, v_norm=True, shares_kv=shares) if mixer else None,
                DenseFfn(widths[index]),
                post_norms=True,
                per_layer_input=own,
                streams=streams,
                laurel=laurel,
            )
        )
    outside = tuple(Tensor(name, None, size) for name, size in streams.outside(hidden))
    return Body(tuple(layers), True, bool(fields.text.get("final_logit_softcapping")), (*extra, *outside))


def _widths(fields: ConfigFields, count: int) -> list[int]:
    """Width of each layer's dense part: one number, or a list."""
    given = fields.text.get("intermediate_size")
    if not isinstance(given, list):
        return [fields.number("intermediate_size")] * count
    if not given or not all(type(each) is int and 1 <= each <= 2**24 for each in given):
        fields.refuse("intermediate_size", "must be a whole number from 1 up, or a list of them")
    elif len(given) < count and not fields.is_changed("num_hidden_layers"):
        fields.refuse("intermediate_size", f"lists {len(given)} layers, num_hidden_layers says {count}")
    else:
        return [given[index % len(given)] for index in range(count)]
    return [1] * count
