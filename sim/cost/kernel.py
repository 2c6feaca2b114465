"""Op + runtime + formats -> kernel: the one door of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil

from sim.cost.attention import decode_kernel, kv_bytes, prefill_kernel
from sim.cost.elementwise import custom_kernel, streaming_kernel
from sim.cost.gemm import Formats, gemm_kernel, grouped_kernel
from sim.cost.program import Kernel
from sim.cost.scan import input_bytes, scan_kernel, state_bytes
from sim.errors import Problem, WorkloadError
from sim.workload.op import Attention, Custom, Elementwise, Gemm, GroupedGemm, Op, Scan
from sim.workload.op_builder import choose_kernel
from sim.workload.popularity import route
from sim.workload.quant import Format
from sim.workload.runtime import KernelRule, RuntimeSpec

BLOCK_KEYS = 128
"""Keys of a CTA when TensorRT-LLM asks whether XQA would fill the GPU (kMinHistoryTokensPerBlock)."""
MOST_CTAS = 2**26
"""Simulating more in one kernel would take gigabytes; the largest kernels of real models have some 10^6."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of an op by role: activations in and out, and what streams from memory (weights, KV, cold rows).

    `is_read_at_once`: the first wave of tiles reads all activations, as of a GEMM whose tiles share them.
    """

    input_bytes: float
    stream_bytes: float
    output_bytes: float
    is_read_at_once: bool = False


class Lowering:
    """Lowers ops with one runtime's kernels; `slots_of` gives the CTAs that the GPU holds at once of a kernel."""

    def __init__(
        self,
        runtime: RuntimeSpec,
        formats: Mapping[str, Format],
        sms: int,
        estimate: Callable[[Kernel], float] | None = None,
    ) -> None:
        self.runtime = runtime.on(sms)
        self._estimate = estimate
        self._variants: dict[str, list[tuple[KernelRule, int | None]]] = {}
        self.formats = formats
        self._bytes_per_element = {name: fmt.bits_per_weight / 8 for name, fmt in formats.items()}
        self.sms = sms

    def rule(self, op: Op) -> tuple[str, KernelRule]:
        """The kernel that the runtime picks for `op`.

        Raises:
            WorkloadError: the runtime has no kernel for this op, format and shape.
        """
        dtype = op.kv_dtype if isinstance(op, Attention) else getattr(op, "dtype", "")
        try:
            name = choose_kernel(self.runtime, op.kind, dtype, op.site, **_sizes(op, self.sms))
        except WorkloadError as error:
            raise WorkloadError([replace(problem, path=op.id) for problem in error.problems]) from None
        return name, self.runtime.kernels[name]

    def kernel(self, op: Op, *, inputs_resident: float = 0.0) -> Kernel:
        """The CTA programs of `op`; `inputs_resident`: the share of the activations it reads that is in L2.

        Raises:
            WorkloadError: there is no kernel for it, or it makes more CTAs than are simulated.
        """
        kernel = self._kernel(op, inputs_resident=inputs_resident)
        if kernel.tiles > MOST_CTAS:
            message = f"{kernel.name} makes {kernel.tiles:,} CTAs; at most {MOST_CTAS:,} are simulated"
            raise WorkloadError(Problem(message, code="too_large", path=op.id))
        return kernel

    def _kernel(self, op: Op, *, inputs_resident: float) -> Kernel:
        if isinstance(op, Elementwise):
            bits = self._format(op.dtype).bits_per_weight
            return streaming_kernel(op, op.site or op.kind, bits, inputs_resident=inputs_resident)
        if isinstance(op, Custom):
            return custom_kernel(op, op.site or op.kind, inputs_resident=inputs_resident)
        name, rule = self.rule(op)
        if isinstance(op, Gemm):
            return self._gemm(op, name, rule, inputs_resident=inputs_resident)
        if isinstance(op, GroupedGemm):
            return self._grouped(op, name, rule, inputs_resident=inputs_resident)
        return self._sequence_kernel(op, name, rule, inputs_resident=inputs_resident)

    def _sequence_kernel(self, op: Op, name: str, rule: KernelRule, *, inputs_resident: float) -> Kernel:
        """Kernels in which tokens see each other."""
        if isinstance(op, Scan):
            state, act = self._format(op.state_dtype), self._format(op.dtype)
            return scan_kernel(op, name, rule, state, act, inputs_resident=inputs_resident)
        if not isinstance(op, Attention):
            raise WorkloadError(Problem(f"op {op.id!r} ({op.kind}) is not a kernel", code="no_kernel"))
        kv, act = self._format(op.kv_dtype), self._format(op.dtype)
        build = decode_kernel if op.query == 1 else prefill_kernel
        return build(op, name, rule, kv, act, self.sms, inputs_resident=inputs_resident)

    def _gemm(self, op: Gemm, name: str, rule: KernelRule, *, inputs_resident: float) -> Kernel:
        """The rule's kernel; of several variants the one that the estimate finds fastest, the first of equals."""
        if name not in self._variants:
            self._variants[name] = expanded(rule)
        found = self._formats(op, rule)
        kernels = [
            gemm_kernel(op, name, one, found, self.sms, inputs_resident=inputs_resident, split=split)
            for one, split in self._variants[name]
            if split in (None, 1) or op.k >= rule.split_from_k
        ]
        if len(kernels) == 1 or self._estimate is None:
            return kernels[0]
        return min(kernels, key=self._estimate)

    def _grouped(self, op: GroupedGemm, name: str, rule: KernelRule, *, inputs_resident: float) -> Kernel:
        """The rule's kernel; of several variants the one that the estimate finds fastest."""
        if name not in self._variants:
            self._variants[name] = expanded(rule)
        found = self._formats(op, rule)
        kernels = [
            grouped_kernel(op, name, one, found, self.sms, inputs_resident=inputs_resident)
            for one, _ in self._variants[name]
        ]
        return kernels[0] if len(kernels) == 1 or self._estimate is None else min(kernels, key=self._estimate)

    def traffic(self, op: Op) -> Traffic:
        """Bytes by role, for what stays in L2 from op to op."""
        bits = self._bytes_per_element
        if isinstance(op, Elementwise):
            read = op.read_bytes if op.read_bytes is not None else op.elements * op.reads * bits[op.dtype]
            write = op.write_bytes if op.write_bytes is not None else op.elements * op.writes * bits[op.dtype]
            return Traffic(0.0, read, write) if op.is_cold else Traffic(read, 0.0, write)
        if isinstance(op, Gemm):
            width = op.n / 2 if op.is_gated else op.n
            weights, outputs = op.n * op.k * bits[op.dtype], op.m * width * bits[op.outputs]
            return Traffic(op.m * op.k * bits[op.inputs], weights, outputs, is_read_at_once=True)
        if isinstance(op, GroupedGemm):
            rows, width = op.tokens * op.top_k, op.n / 2 if op.is_gated else op.n
            active = route(op.tokens, op.experts, op.top_k, op.skew, 128, op.power).active
            return Traffic(
                rows * op.k * bits[op.inputs], active * op.n * op.k * bits[op.dtype], rows * width * bits[op.outputs]
            )
        if isinstance(op, Attention | Scan):
            return self._sequence_traffic(op)
        if isinstance(op, Custom):
            return Traffic(op.read_bytes, 0.0, op.write_bytes)
        return Traffic(0.0, 0.0, 0.0)

    def _sequence_traffic(self, op: Attention | Scan) -> Traffic:
        bits = self._bytes_per_element
        if isinstance(op, Scan):
            once = state_bytes(op, self.formats[op.state_dtype])
            made = op.batch * op.query * op.heads * op.value_dim * bits[op.dtype]
            return Traffic(input_bytes(op, self.formats[op.dtype]), once, made + once)
        queries = op.batch * op.query * op.heads * op.head_dim * bits[op.dtype]
        return Traffic(queries, kv_bytes(op, self.formats[op.kv_dtype]), queries * op.values / op.head_dim)

    def _format(self, name: str) -> Format:
        try:
            return self.formats[name]
        except KeyError:
            problem = Problem(
                f"unknown format {name!r}", code="unknown_format", hint="`sparksim list quants` names them"
            )
            raise WorkloadError(problem) from None

    def _formats(self, op: Gemm | GroupedGemm, rule: KernelRule) -> Formats:
        return Formats(self._format(op.dtype), self._format(rule.activation or op.inputs), self._format(op.outputs))


def expanded(rule: KernelRule) -> list[tuple[KernelRule, int | None]]:
    """A rule with one tile each for every variant and K-split that the library tries; the rule itself without any."""
    if not rule.variants:
        return [(rule, None)]
    found: list[tuple[KernelRule, int | None]] = []
    for one in rule.variants:
        given = {
            "tile_k": one.k,
            "stages": one.stages,
            "ctas_per_sm": one.ctas_per_sm,
            "threads": one.threads,
            "step_cycles": one.step_cycles,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        plain = rule.model_copy(update={"variants": (), "tile_m": (one.m,), "tile_n": one.n, **changes})
        found += [(plain, split) for split in one.splits]
    return found


def _sizes(op: Op, sms: int) -> dict[str, int]:
    """What a runtime looks at when it chooses a kernel."""
    if isinstance(op, Gemm):
        return {"m": op.m, "n": op.n, "k": op.k}
    if isinstance(op, GroupedGemm):
        return {"m": op.tokens, "n": op.n, "k": op.k, "tokens_per_expert": ceil(op.tokens / op.experts)}
    if isinstance(op, Attention):
        return {
            "query": op.query,
            "batch": op.batch,
            "head_dim": op.head_dim,
            "gqa": op.heads // op.kv_heads,
            "window": op.window or 0,
            "filled": 100 * op.batch * op.kv_heads * max(1, op.context // BLOCK_KEYS) // sms,
        }
    if isinstance(op, Scan):
        return {"query": op.query, "batch": op.batch, "head_dim": op.key_dim}
    return {}
