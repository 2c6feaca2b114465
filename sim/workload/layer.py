"""The ops of one transformer layer, as a runtime launches them.

`site` names the places of a layer; matrix work becomes Gemm, GroupedGemm and Attention ops, and every other place costs
the launches that the runtime's table lists for it (an empty list: fused into a neighbour).
"""

from __future__ import annotations

from typing import Any, Protocol

from sim.errors import Problem, WorkloadError
from sim.workload.model import DenseFfn, LayerSpec, ModelSpec, MoeFfn
from sim.workload.op import Attention, Elementwise, Gemm, GroupedGemm, Op
from sim.workload.quant import QuantRecipe
from sim.workload.runtime import RuntimeSpec

SITES = {
    "embed": "embedding rows to the residual stream (tokens x hidden)",
    "attn_norm": "norm before attention (tokens x hidden)",
    "q_bias": "bias of the query projection (tokens x query width)",
    "k_bias": "bias of the key projection (tokens x key width)",
    "v_bias": "bias of the value projection (tokens x key width)",
    "q_norm": "per-head norm of queries (tokens x query width)",
    "k_norm": "per-head norm of keys (tokens x key width)",
    "rope_q": "rotary embedding of queries (tokens x query width)",
    "rope_k": "rotary embedding of keys (tokens x key width)",
    "kv_store": "keys and values into the cache (tokens x 2 key widths)",
    "attn_reduce": "adds up the parts of split attention (batch x query width x parts)",
    "attn_out_bias": "bias of the output projection (tokens x hidden)",
    "attn_residual": "residual add after attention (tokens x hidden)",
    "ffn_norm": "norm before the feed-forward part (tokens x hidden)",
    "activation": "gate activation and product (tokens x intermediate)",
    "ffn_residual": "residual add after the feed-forward part (tokens x hidden)",
    "router_bias": "bias of the router (tokens x experts)",
    "router_topk": "softmax and choice of experts (tokens x experts)",
    "moe_sort": "rows sorted by expert (tokens x experts per token)",
    "moe_gather": "rows copied in expert order (tokens x experts per token x hidden)",
    "moe_gate_bias": "bias of the experts' gate (tokens x experts per token x intermediate)",
    "moe_up_bias": "bias of the experts' up projection (tokens x experts per token x intermediate)",
    "moe_activation": "activation in the experts (tokens x experts per token x intermediate)",
    "moe_down_bias": "bias of the experts' down projection (tokens x experts per token x hidden)",
    "moe_weight": "scaling by the router's weight (tokens x experts per token x hidden)",
    "moe_sum": "sum over a token's experts (tokens x experts per token x hidden)",
    "quantize": "activations into the kernel's format (rows x depth of the GEMM)",
    "gather_last": "rows of the tokens whose output is wanted (outputs x hidden)",
    "final_norm": "norm before the head (outputs x hidden)",
    "sample": "from logits to a token (outputs x vocabulary)",
}


class PassShape(Protocol):
    """What a layer needs to know of its pass."""

    @property
    def sequences(self) -> int:
        """Sequences in the pass."""
        ...

    @property
    def query(self) -> int:
        """New tokens per sequence."""
        ...

    @property
    def context(self) -> int:
        """Keys that the last of them sees."""
        ...

    @property
    def outputs(self) -> int:
        """Tokens whose output is wanted."""
        ...


class LayerBuilder:
    """Builds the ops of layers of one pass; ids are unique within the step through their prefix."""

    def __init__(
        self, model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, one: PassShape, kv_dtype: str
    ) -> None:
        self._model = model
        self._quant = quant
        self._runtime = runtime
        self._pass = one
        self._kv_dtype = kv_dtype
        self._ops: list[Op] = []
        self._previous = ""
        self._prefix = ""
        self._tokens = one.sequences * one.query

    def head_of_step(self) -> list[Op]:
        """Embedding look-up."""
        self._begin("in")
        self._launch("embed", self._tokens * self._model.hidden_size)
        return self._ops

    def layer(self, layer: LayerSpec, index: int, prefix: str, outputs: int | None = None) -> list[Op]:
        """One layer; `outputs`: only so many tokens go on after attention (the last layer of a prefill pass)."""
        self._begin(prefix)
        self._previous = self._previous or "in.embed"
        self._attention(layer, index)
        tokens = self._tokens
        if outputs is not None:
            tokens = outputs
            if outputs == 0:
                return self._ops
            self._launch("gather_last", 2 * outputs * self._model.hidden_size)
        self._output_projection(layer, index, tokens)
        if isinstance(layer.ffn, MoeFfn):
            self._moe(layer.ffn, index, tokens)
        else:
            self._dense(layer.ffn, index, tokens)
        return self._ops

    def tail_of_step(self) -> list[Op]:
        """Final norm, head and sampling, for the tokens whose output is wanted."""
        self._begin("out")
        outputs = self._tokens if self._runtime.logits == "all" else self._pass.outputs
        if outputs:
            model = self._model
            self._launch("final_norm", outputs * model.hidden_size, rows=outputs)
            self._gemm("head", "head", outputs, model.vocab_size, model.hidden_size, 0)
            self._launch("sample", outputs * model.vocab_size)
        return self._ops

    def _begin(self, prefix: str) -> None:
        self._ops = []
        self._prefix = prefix

    def _add(self, op: type[Op], site: str, after: tuple[str, ...] | None = None, **fields: Any) -> str:
        name = f"{self._prefix}.{site}"
        taken = sum(1 for other in self._ops if other.id == name or other.id.startswith(name + "~"))
        name = f"{name}~{taken + 1}" if taken else name
        if after is None:
            after = (self._previous,) if self._previous else ()
        self._ops.append(op(id=name, site=site, after=after, **fields))
        self._previous = name
        return name

    def _launch(self, site: str, elements: int, rows: int = 0, extra: tuple[str, ...] = ()) -> None:
        """The element-wise launches of a site, one op each."""
        for launch in self._runtime.launches(site, self._tokens):
            covered = max(1, round(elements * launch.share))
            after = (self._previous, *extra) if self._previous else extra
            self._add(
                Elementwise,
                site,
                after,
                elements=covered,
                read_bytes=round(covered * launch.read),
                write_bytes=round(covered * launch.write),
                flops_per_element=launch.flops,
                rows=(rows or self._tokens) if launch.is_row else 0,
                threads=launch.threads,
                row_cycles=launch.row_cycles,
                is_cold=launch.is_cold,
                dtype=self._runtime.activation_dtype,
            )

    def _gemm(self, site: str, tensor: str, m: int, n: int, k: int, index: int, *, is_gated: bool = False) -> None:
        dtype = self._quant.format_of(tensor, index, len(self._model.layers)).name
        kernel = self._runtime.kernels[self._choose("gemm", dtype, m, n, k, site)]
        if kernel.quantize_site:
            self._launch(kernel.quantize_site, m * k)
        act = self._runtime.activation_dtype
        self._add(
            Gemm, site, m=m, n=n, k=k, dtype=dtype, inputs=kernel.activation or act, outputs=act, is_gated=is_gated
        )

    def _grouped(
        self,
        site: str,
        tensor: str,
        ffn: MoeFfn,
        tokens: int,
        n: int,
        k: int,
        index: int,
        *,
        rows: int,
        is_gated: bool = False,
    ) -> None:
        dtype = self._quant.format_of(tensor, index, len(self._model.layers)).name
        kernel = self._runtime.kernels[self._choose("grouped_gemm", dtype, tokens, n, k, site)]
        if kernel.quantize_site:
            self._launch(kernel.quantize_site, rows * k)
        act = self._runtime.activation_dtype
        self._add(
            GroupedGemm,
            site,
            tokens=tokens,
            experts=ffn.experts,
            top_k=ffn.top_k,
            n=n,
            k=k,
            dtype=dtype,
            skew=self._model.expert_skew or 0.0,
            inputs=kernel.activation or act,
            outputs=act,
            is_gated=is_gated,
        )

    def _choose(self, kind: str, dtype: str, m: int, n: int, k: int, site: str) -> str:
        return choose_kernel(self._runtime, kind, dtype, site, m=m, n=n, k=k)

    def _attention(self, layer: LayerSpec, index: int) -> None:
        model, a, tokens, one = self._model, layer.attention, self._tokens, self._pass
        q_width, kv_width = a.heads * a.head_dim, a.kv_heads * a.head_dim
        self._launch("attn_norm", tokens * model.hidden_size, rows=tokens)
        if self._runtime.qkv == "fused":
            self._gemm("qkv", "attn_q", tokens, q_width + 2 * kv_width, model.hidden_size, index)
        else:
            for site, width in (("q", q_width), ("k", kv_width), ("v", kv_width)):
                self._gemm(site, f"attn_{site}", tokens, width, model.hidden_size, index)
        if a.qkv_bias:
            for site, width in (("q_bias", q_width), ("k_bias", kv_width), ("v_bias", kv_width)):
                self._launch(site, tokens * width)
        if a.qk_norm:
            self._launch("q_norm", tokens * q_width, rows=tokens * a.heads)
            self._launch("k_norm", tokens * kv_width, rows=tokens * a.kv_heads)
        self._launch("rope_q", tokens * q_width)
        self._launch("rope_k", tokens * kv_width)
        self._launch("kv_store", tokens * 2 * kv_width)
        context = one.context
        padding = self._runtime.kv_padding_tokens
        window = a.window
        if window is not None and self._runtime.window_cache == "ubatch":
            window += self._runtime.ubatch_tokens
        self._add(
            Attention,
            "attention",
            batch=one.sequences,
            heads=a.heads,
            kv_heads=a.kv_heads,
            head_dim=a.head_dim,
            query=one.query,
            context=max(one.query, -(-context // padding) * padding),
            window=window if window is not None and window < context else None,
            kv_dtype=self._kv_dtype,
            dtype=self._runtime.activation_dtype,
        )
        if one.query == 1:
            self._launch("attn_reduce", one.sequences * q_width)

    def _output_projection(self, layer: LayerSpec, index: int, tokens: int) -> None:
        model, a = self._model, layer.attention
        self._gemm("o", "attn_o", tokens, model.hidden_size, a.heads * a.head_dim, index)
        if a.out_bias:
            self._launch("attn_out_bias", tokens * model.hidden_size)
        self._launch("attn_residual", tokens * model.hidden_size)

    def _dense(self, ffn: DenseFfn, index: int, tokens: int) -> None:
        model = self._model
        self._launch("ffn_norm", tokens * model.hidden_size, rows=tokens)
        if ffn.is_gated and self._runtime.gate_up == "fused":
            self._gemm("gate_up", "ffn_gate", tokens, 2 * ffn.intermediate, model.hidden_size, index)
        else:
            if ffn.is_gated:
                self._gemm("gate", "ffn_gate", tokens, ffn.intermediate, model.hidden_size, index)
            self._gemm("up", "ffn_up", tokens, ffn.intermediate, model.hidden_size, index)
        self._launch("activation", tokens * ffn.intermediate)
        self._gemm("down", "ffn_down", tokens, model.hidden_size, ffn.intermediate, index)
        self._launch("ffn_residual", tokens * model.hidden_size)

    def _moe(self, ffn: MoeFfn, index: int, tokens: int) -> None:
        model, rows = self._model, tokens * ffn.top_k
        hidden, width = model.hidden_size, ffn.intermediate
        self._launch("ffn_norm", tokens * hidden, rows=tokens)
        self._gemm("router", "router", tokens, ffn.experts, hidden, index)
        if ffn.router_bias:
            self._launch("router_bias", tokens * ffn.experts)
        self._launch("router_topk", tokens * ffn.experts, rows=tokens)
        self._launch("moe_sort", rows)
        self._launch("moe_gather", rows * hidden)
        if self._runtime.gate_up == "fused":
            self._grouped("moe_gate_up", "expert_gate", ffn, tokens, 2 * width, hidden, index, rows=rows)
        else:
            self._grouped("moe_gate", "expert_gate", ffn, tokens, width, hidden, index, rows=rows)
            self._grouped("moe_up", "expert_up", ffn, tokens, width, hidden, index, rows=rows)
        if ffn.expert_bias:
            self._launch("moe_gate_bias", rows * width)
            self._launch("moe_up_bias", rows * width)
        self._launch("moe_activation", rows * width)
        self._grouped("moe_down", "expert_down", ffn, tokens, hidden, width, index, rows=rows)
        if ffn.expert_bias:
            self._launch("moe_down_bias", rows * hidden)
        self._launch("moe_weight", rows * hidden)
        self._launch("moe_sum", rows * hidden)
        if ffn.shared_intermediate:
            self._gemm("shared_up", "shared_up", tokens, 2 * ffn.shared_intermediate, hidden, index)
            self._launch("activation", tokens * ffn.shared_intermediate)
            self._gemm("shared_down", "shared_down", tokens, hidden, ffn.shared_intermediate, index)
        self._launch("ffn_residual", tokens * hidden)


def choose_kernel(runtime: RuntimeSpec, kind: str, dtype: str, site: str, **sizes: int) -> str:
    """Name of the first kernel of the runtime whose conditions hold.

    `sizes`: m, n, k, or query, batch, head_dim, gqa.

    Raises:
        WorkloadError: none does; names the formats that there are kernels for.
    """
    for name, rule in runtime.kernels.items():
        if (
            kind not in rule.ops
            or (rule.dtypes and dtype not in rule.dtypes)
            or (rule.sites and site not in rule.sites)
        ):
            continue
        if all(getattr(rule, size)[0] <= value <= getattr(rule, size)[1] for size, value in sizes.items()):
            return name
    formats = sorted({each for rule in runtime.kernels.values() if kind in rule.ops for each in rule.dtypes})
    wanted = ", ".join(f"{size} {value}" for size, value in sizes.items())
    message = f"{runtime.name}@{runtime.version} has no {kind} kernel for {dtype[:40]} ({wanted})"
    hint = f"it has some for {', '.join(formats)}" if formats and dtype not in formats else None
    raise WorkloadError(Problem(message, code="no_kernel", path=site or None, hint=hint))
