"""Ops one behind the other, each with the runtime's kernel and the launches of its place."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, Protocol

from sim.errors import Problem, WorkloadError
from sim.workload.layer_spec import MoeFfn
from sim.workload.model import ModelSpec
from sim.workload.op import Attention, Elementwise, Gemm, GroupedGemm, Op
from sim.workload.quant import QuantRecipe, kernels_of
from sim.workload.runtime import RuntimeSpec


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

    @property
    def padded(self) -> int:
        """Tokens that kernels work on, the padding of a captured graph included; 0: there is none."""
        ...


class OpBuilder:
    """Adds ops one behind the other; ids are unique within the step through their prefix."""

    def __init__(
        self, model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, one: PassShape, kv_dtype: str
    ) -> None:
        self.model = model
        self._quant = quant
        self.runtime = runtime
        self.one = one
        self.kv_dtype = kv_dtype
        self.ops: list[Op] = []
        self.previous = ""
        self._prefix = ""
        self.tokens = max(one.padded, one.sequences * one.query)

    def parts(self) -> Iterator[None]:
        """Once for each kind of sequence in the pass, for what looks at contexts: `one` and `tokens` are that kind's.

        All sequences of a plain pass are alike, so this is once; see `mixed_step.MixedBuilder`.
        """
        yield

    def begin(self, prefix: str) -> None:
        """Start an empty list of ops whose ids begin with `prefix`."""
        self.ops = []
        self._prefix = prefix

    def add(self, op: type[Op], site: str, after: tuple[str, ...] | None = None, **fields: Any) -> str:
        """One op behind the last one, or `after` others; its id."""
        name = f"{self._prefix}.{site}"
        taken = sum(1 for other in self.ops if other.id == name or other.id.startswith(name + "~"))
        name = f"{name}~{taken + 1}" if taken else name
        if after is None:
            after = (self.previous,) if self.previous else ()
        self.ops.append(op(id=name, site=site, after=after, **fields))
        self.previous = name
        return name

    def launch(self, site: str, elements: int, rows: int = 0, extra: tuple[str, ...] = ()) -> None:
        """The element-wise launches of a site, one op each."""
        for launch in self.runtime.launches(site, self.tokens):
            after = (self.previous, *extra) if self.previous else extra
            fields = launch.fields(elements, rows or self.tokens)
            self.add(Elementwise, site, after, dtype=self.runtime.activation_dtype, **fields)

    def attend(
        self,
        site: str,
        heads: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None,
        keys: int,
        kv_dtype: str | None = None,
        **fields: Any,
    ) -> None:
        """Attention of the pass over `keys` of every sequence, padded as the runtime's cache is."""
        one, padding = self.one, self.runtime.kv_padding_tokens
        self.add(
            Attention,
            site,
            batch=one.sequences,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            value_dim=value_dim,
            query=one.query,
            context=max(one.query, ceil(keys / padding) * padding),
            kv_dtype=kv_dtype or self.kv_dtype,
            dtype=self.runtime.activation_dtype,
            **fields,
        )

    def gemm(self, site: str, tensor: str, m: int, n: int, k: int, index: int, *, is_gated: bool = False) -> None:
        """A product with the weights of a tensor class, and what its kernel wants launched before it."""
        dtype = self._quant.format_of(tensor, index, len(self.model.layers), k).name
        kernel = self.runtime.kernels[self._choose("gemm", dtype, m, n, k, site)]
        if kernel.quantize_site:
            self.launch(kernel.quantize_site, m * k)
        act = self.runtime.activation_dtype
        made = self.add(
            Gemm, site, m=m, n=n, k=k, dtype=dtype, inputs=kernel.activation or act, outputs=act, is_gated=is_gated
        )
        if kernel.reduce_site:
            self.launch(kernel.reduce_site, min(m * n, kernel.reduce_limit))
            self.previous = made  # what follows reads all of the product, not what was added up of it

    def grouped(
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
        """The same for the experts' weights; `rows`: activations to bring into the kernel's format."""
        dtype = self._quant.format_of(tensor, index, len(self.model.layers), k).name
        each = ceil(tokens / ffn.experts)
        kernel = self.runtime.kernels[self._choose("grouped_gemm", dtype, tokens, n, k, site, tokens_per_expert=each)]
        if kernel.quantize_site:
            self.launch(kernel.quantize_site, rows * k)
        act = self.runtime.activation_dtype
        self.add(
            GroupedGemm,
            site,
            tokens=tokens,
            experts=ffn.experts,
            top_k=ffn.top_k,
            n=n,
            k=k,
            dtype=dtype,
            skew=self.model.expert_skew or 0.0,
            inputs=kernel.activation or act,
            outputs=act,
            is_gated=is_gated,
        )

    def _choose(self, kind: str, dtype: str, m: int, n: int, k: int, site: str, **more: int) -> str:
        return choose_kernel(self.runtime, kind, dtype, site, m=m, n=n, k=k, **more)


def choose_kernel(runtime: RuntimeSpec, kind: str, dtype: str, site: str, **sizes: int) -> str:
    """Name of the first kernel of the runtime whose conditions hold.

    `sizes`: m, n, k (grouped: tokens_per_expert too), or query, batch, head_dim, gqa.

    Raises:
        WorkloadError: none does; names the formats that there are kernels for.
    """
    dtype = kernels_of(dtype)
    for name, rule in runtime.kernels.items():
        if (
            kind not in rule.ops
            or (rule.dtypes and dtype not in rule.dtypes)
            or (rule.sites and site not in rule.sites)
            or (rule.backends and runtime.backend(kind) not in rule.backends)
        ):
            continue
        if all(getattr(rule, size)[0] <= value <= getattr(rule, size)[1] for size, value in sizes.items()):
            return name
    formats = sorted({each for rule in runtime.kernels.values() if kind in rule.ops for each in rule.dtypes})
    wanted = ", ".join(f"{size} {value}" for size, value in sizes.items())
    message = f"{runtime.name}@{runtime.version} has no {kind} kernel for {dtype[:40]} ({wanted})"
    hint = f"it has some for {', '.join(formats)}" if formats and dtype not in formats else None
    raise WorkloadError(Problem(message, code="no_kernel", path=site or None, hint=hint))
