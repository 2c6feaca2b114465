"""The ops of one transformer layer, as a runtime launches them.

`site` names the places of a layer; matrix work becomes Gemm, GroupedGemm and Attention ops, and every other place costs
the launches that the runtime's table lists for it (an empty list: fused into a neighbour).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sim.workload.layer_spec import AttentionSpec, DenseFfn, LayerSpec, MoeFfn
from sim.workload.mixer_spec import GatedDeltaSpec, KdaSpec, LatentSpec, Mamba2Spec, ShortConvSpec
from sim.workload.mixers import gated_delta, kda, latent, mamba2, short_conv
from sim.workload.op import Op
from sim.workload.op_builder import OpBuilder
from sim.workload.sparse_mixers import choose_keys, compressed, read_chosen
from sim.workload.sparse_spec import CompressedSpec

MIXERS: Mapping[type, tuple[Callable[[OpBuilder, Any, int], None], str]] = {
    GatedDeltaSpec: (gated_delta, "linear_out"),
    KdaSpec: (kda, "linear_out"),
    Mamba2Spec: (mamba2, "linear_out"),
    ShortConvSpec: (short_conv, "linear_out"),
    LatentSpec: (latent, "o"),
    CompressedSpec: (compressed, "o"),
}
"""What mixes tokens other than plain attention: its ops, and the site of its output projection."""


class LayerBuilder(OpBuilder):
    """Builds the ops of the layers of one pass."""

    def head_of_step(self) -> list[Op]:
        """Embedding look-up."""
        self.begin("in")
        elements = self.tokens * self.model.hidden_size
        self.launch("embed", elements)
        if self.model.is_embedding_scaled:
            self.launch("embed_scale", elements)
        self._outer_streams("stream_embed", self.tokens)
        own = sum(layer.per_layer_input for layer in self.model.layers)
        if own:
            self.gemm("per_layer_inputs", "per_layer", self.tokens, own, self.model.hidden_size, 0)
            self.launch("per_layer_inputs", self.tokens * own)
        return self.ops

    def layer(self, layer: LayerSpec, index: int, prefix: str, outputs: int | None = None) -> list[Op]:
        """One layer; `outputs`: only so many tokens go on after attention (the last layer of a prefill pass)."""
        self.begin(prefix)
        self.previous = self.previous or "in.embed"
        self._mix(layer, index)
        tokens = self.tokens
        if outputs is not None:
            tokens = outputs
            if outputs == 0:
                return self.ops
            self.launch("gather_last", 2 * outputs * self.model.hidden_size)
        self._project(layer, index, tokens)
        if layer.ffn is not None:
            self._feed_forward(layer, layer.ffn, index, tokens)
        return self.ops

    def tail_of_step(self) -> list[Op]:
        """Final norm, head and sampling, for the tokens whose output is wanted."""
        self.begin("out")
        outputs = self.tokens if self.runtime.logits == "all" else self.one.outputs
        if outputs:
            model = self.model
            self._outer_streams("stream_join", outputs)
            self.launch("final_norm", outputs * model.hidden_size, rows=outputs)
            self.gemm("head", "head", outputs, model.vocab_size, model.hidden_size, 0)
            if model.has_logit_cap:
                self.launch("logit_cap", outputs * model.vocab_size)
            self.launch("sample", outputs * model.vocab_size)
        return self.ops

    def _outer_streams(self, site: str, tokens: int) -> None:
        """The streams made of the embedding, and one of them again; hyper-connections begin with copies."""
        spec, hidden = self.model.layers[0].streams, self.model.hidden_size
        if spec is None:
            return
        if spec.kind == "altup":
            self.gemm(site, "stream", tokens, (spec.count - 1) * hidden, hidden, 0)
        elif site == "stream_join":
            self.gemm(site, "stream", tokens, spec.count, spec.count * hidden, 0)
        self.launch("stream_out", tokens * spec.count * hidden, rows=tokens)

    def _mix(self, layer: LayerSpec, index: int) -> None:
        """The mixer up to its output projection, which only works on the tokens that go on."""
        self._streams(layer, self.tokens, index)
        if layer.mixer is not None:
            self.launch("attn_norm", self.tokens * self.model.hidden_size, rows=self.tokens)
        if layer.laurel:
            self.gemm("laurel_in", "laurel", self.tokens, layer.laurel, self.model.hidden_size, index)
            self.gemm("laurel_out", "laurel", self.tokens, self.model.hidden_size, layer.laurel, index)
            self.launch("laurel_norm", self.tokens * self.model.hidden_size, rows=self.tokens)
        if isinstance(layer.mixer, AttentionSpec):
            self._attention(layer.mixer, index)
        elif layer.mixer is not None:
            MIXERS[type(layer.mixer)][0](self, layer.mixer, index)

    def _project(self, layer: LayerSpec, index: int, tokens: int) -> None:
        """The mixer's output projection, and back to the residual stream."""
        mixer, hidden = layer.mixer, self.model.hidden_size
        if mixer is None:
            return
        site = "o"
        if isinstance(mixer, AttentionSpec):
            if mixer.gate_heads:
                self.gemm("gate", "attn_gate", tokens, mixer.heads, hidden, index)
            if mixer.is_gated or mixer.gate_heads:
                self.launch("attn_gate", tokens * mixer.out_width)
        else:
            site = MIXERS[type(mixer)][1]
        self.gemm(site, "attn_o" if site == "o" else site, tokens, hidden, mixer.out_width, index)
        if isinstance(mixer, AttentionSpec) and mixer.out_bias:
            self.launch("attn_out_bias", tokens * hidden)
        self._join("attn", layer, tokens)

    def _join(self, part: str, layer: LayerSpec, tokens: int) -> None:
        """The output of a part back to the residual stream."""
        elements = tokens * self.model.hidden_size
        if layer.is_scaled:
            self.launch(f"{part}_scale", elements)
        if layer.streams and layer.streams.kind == "hyper":
            self.launch("stream_out", elements * layer.streams.count)
        elif layer.post_norms:
            self.launch(f"{part}_post_norm", elements, rows=tokens)
        else:
            self.launch(f"{part}_residual", elements)

    def _streams(self, layer: LayerSpec, tokens: int, index: int) -> None:
        """What a part, or with alternating updates a layer, takes of the residual streams."""
        if not (spec := layer.streams):
            return
        hidden = self.model.hidden_size
        depth = spec.count * hidden if spec.kind == "hyper" else hidden
        self.gemm("stream_weights", "stream", tokens, spec.columns, depth, index)
        self.launch("stream_in", tokens * spec.count * hidden, rows=tokens)

    def _attention(self, a: AttentionSpec, index: int) -> None:
        hidden, tokens = self.model.hidden_size, self.tokens
        if self.runtime.qkv == "fused":
            self.gemm("qkv", "attn_q", tokens, sum(width for _, width in a.projected), hidden, index)
        else:
            for name, width in a.projected:
                self.gemm(name, f"attn_{name}", tokens, width, hidden, index)
        if a.qkv_bias:
            for name, width in a.projected:
                self.launch(f"{name}_bias", tokens * width)
        self._positions(a)
        for _ in self.parts():
            if a.index:
                choose_keys(self, a.index, index)
                read_chosen(self, a.index, a.heads, a.kv_heads, a.head_dim, a.value_dim, is_latent=False)
            else:
                self._scores(a)
            if self.one.query == 1:
                self.launch("attn_reduce", self.one.sequences * a.out_width)

    def _positions(self, a: AttentionSpec) -> None:
        """Norms and rotary embedding of queries and keys, and the new keys and values into the cache."""
        tokens = self.tokens
        if a.qk_norm:
            self.launch("q_norm", tokens * a.q_width, rows=tokens * a.heads)
            if not a.shares_kv:
                self.launch("k_norm", tokens * a.kv_width, rows=tokens * a.kv_heads)
        if a.v_norm and not a.shares_kv:
            self.launch("v_norm", tokens * a.v_width, rows=tokens * a.kv_heads)
        self.launch("rope_q", tokens * a.q_width)
        if a.is_q_scaled:
            self.launch("q_scale", tokens * a.q_width)
        if not a.shares_kv:
            self.launch("rope_k", tokens * a.kv_width)
            self.launch("kv_store", tokens * (a.kv_width + a.v_width))

    def _scores(self, a: AttentionSpec) -> None:
        site = "attention_mixed" if self.model.has_mixed_heads else "attention"
        window, seen = self._window(a.window), self.one.context
        read = window if window is not None and window < seen else None
        self.attend(site, a.heads, a.kv_heads, a.head_dim, a.values, seen, window=read)

    def _window(self, window: int | None) -> int | None:
        """Keys that a windowed layer reads: its window, or the ring of window and ubatch that holds it.

        Decode of several sequences may read a ring up to the newest key (llama.cpp's flash_attn_mask_to_KV_max skips
        what is masked behind it), and all of it where the window wraps around its end.
        """
        one, runtime = self.one, self.runtime
        if window is None or runtime.window_cache == "window":
            return window
        ring = window + runtime.ubatch_tokens
        if runtime.window_cache == "ubatch" or one.query > 1 or one.sequences == 1 or one.context <= ring:
            return ring
        end, padding = one.context % ring, runtime.kv_padding_tokens
        return ring if end < window else min(ring, -(-end // padding) * padding)

    def _feed_forward(self, layer: LayerSpec, ffn: DenseFfn | MoeFfn, index: int, tokens: int) -> None:
        if layer.streams and layer.streams.kind == "hyper":
            self._streams(layer, tokens, index)
        self.launch("ffn_norm", tokens * self.model.hidden_size, rows=tokens)
        if isinstance(ffn, MoeFfn):
            self._moe(ffn, index, tokens)
        else:
            self._dense(ffn, index, tokens)
        if layer.beside is not None:
            self._beside(layer.beside, index, tokens)
        self._join("ffn", layer, tokens)
        if layer.streams and layer.streams.kind == "altup":
            self.gemm("stream_weights", "stream", tokens, layer.streams.columns, self.model.hidden_size, index)
            self.launch("stream_out", tokens * layer.streams.count * self.model.hidden_size, rows=tokens)
        if layer.per_layer_input:
            self._own_input(layer.per_layer_input, index, tokens)

    def _beside(self, ffn: MoeFfn, index: int, tokens: int) -> None:
        """Experts beside a dense part, on the same residual stream."""
        elements = tokens * self.model.hidden_size
        self.launch("dense_post_norm", elements, rows=tokens)
        self.launch("router_norm", elements, rows=tokens)
        self.launch("beside_norm", elements, rows=tokens)
        self._moe(ffn, index, tokens)
        self.launch("beside_post_norm", elements, rows=tokens)

    def _own_input(self, width: int, index: int, tokens: int) -> None:
        """The layer's own input of each token, through a gate and back to the residual stream."""
        hidden = self.model.hidden_size
        self.gemm("per_layer_gate", "per_layer", tokens, width, hidden, index)
        self.launch("per_layer_gate", tokens * width)
        self.gemm("per_layer_out", "per_layer", tokens, hidden, width, index)
        self.launch("per_layer_post_norm", tokens * hidden, rows=tokens)

    def _dense(self, ffn: DenseFfn, index: int, tokens: int) -> None:
        model = self.model
        if ffn.is_gated and self.runtime.gate_up == "fused":
            self.gemm("gate_up", "ffn_gate", tokens, 2 * ffn.intermediate, model.hidden_size, index)
        else:
            if ffn.is_gated:
                self.gemm("gate", "ffn_gate", tokens, ffn.intermediate, model.hidden_size, index)
            self.gemm("up", "ffn_up", tokens, ffn.intermediate, model.hidden_size, index)
        self.launch("activation", tokens * ffn.intermediate)
        self.gemm("down", "ffn_down", tokens, model.hidden_size, ffn.intermediate, index)

    def _moe(self, ffn: MoeFfn, index: int, tokens: int) -> None:
        one, model = self.one, self.model
        routed = tokens if self.runtime.routes_padding else min(tokens, one.sequences * one.query)
        rows, hidden, width = routed * ffn.top_k, model.hidden_size, ffn.intermediate
        self.gemm("router", "router", tokens, ffn.experts, hidden, index)
        if ffn.router_bias:
            self.launch("router_bias", tokens * ffn.experts)
        self.launch("router_topk", tokens * ffn.experts, rows=tokens)
        self.launch("moe_sort", rows)
        self.launch("moe_gather", rows * (ffn.latent or hidden))
        deep = ffn.latent or hidden
        if ffn.latent:
            self.gemm("latent_in", "expert_latent", tokens, deep, hidden, index)
        if not ffn.is_gated:
            self.grouped("moe_up", "expert_up", ffn, routed, width, deep, index, rows=rows)
        elif self.runtime.gate_up == "fused":
            self.grouped("moe_gate_up", "expert_gate", ffn, routed, 2 * width, deep, index, rows=rows)
        else:
            self.grouped("moe_gate", "expert_gate", ffn, routed, width, deep, index, rows=rows)
            self.grouped("moe_up", "expert_up", ffn, routed, width, deep, index, rows=rows)
        if ffn.expert_bias:
            self.launch("moe_gate_bias", rows * width)
            self.launch("moe_up_bias", rows * width)
        self.launch("moe_activation", rows * width)
        self.grouped("moe_down", "expert_down", ffn, routed, deep, width, index, rows=rows)
        if ffn.expert_bias:
            self.launch("moe_down_bias", rows * deep)
        self.launch("moe_weight", rows * deep)
        self.launch("moe_sum", rows * deep)
        if ffn.latent:
            self.gemm("latent_out", "expert_latent", tokens, hidden, deep, index)
        if ffn.shared_intermediate:
            self._shared_expert(ffn, index, tokens)

    def _shared_expert(self, ffn: MoeFfn, index: int, tokens: int) -> None:
        """The expert that every token has, behind the others."""
        hidden, width = self.model.hidden_size, ffn.shared_intermediate
        if ffn.is_gated and self.runtime.gate_up == "fused":
            self.gemm("shared_gate_up", "shared_gate", tokens, 2 * width, hidden, index)
        else:
            if ffn.is_gated:
                self.gemm("shared_gate_proj", "shared_gate", tokens, width, hidden, index)
            self.gemm("shared_up", "shared_up", tokens, width, hidden, index)
        self.launch("activation", tokens * width)
        self.gemm("shared_down", "shared_down", tokens, hidden, width, index)
        if ffn.shared_gate:
            self.gemm("shared_weight", "router", tokens, 1, hidden, index)
            self.launch("shared_gate", tokens * hidden)
        self.launch("shared_add", tokens * hidden)
