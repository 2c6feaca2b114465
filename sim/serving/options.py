"""What a server is started with, under the runtimes' own names, and which scheduler that gives.

In a scenario these stand beside the runtime's fields (`runtime: {name: vllm, set: {max_num_seqs: 64}}`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.errors import InputError, Problem
from sim.serving.llama_server import LlamaServer
from sim.serving.scheduler import Limits, Scheduler
from sim.serving.sglang import SglangScheduler
from sim.serving.static_batching import StaticScheduler
from sim.serving.tensorrt_llm import TensorrtLlmScheduler
from sim.serving.vllm import VllmScheduler
from sim.units import ps_from_seconds
from sim.yamlfile import closest

MOST = 2**31


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Everything that a scheduler and its pool need, besides the memory there is."""

    scheduler: type[Scheduler]
    max_sequences: int = 256
    batch_tokens: int = 2048
    ubatch_tokens: int = 2048
    block_tokens: int = 16
    max_model_tokens: int | None = None
    cells: int | None = None
    memory_fraction: float | None = None
    is_caching: bool = True
    is_async: bool | None = None
    has_unified_cache: bool = False
    wait_s: float = 0.0
    policy: str = "fcfs"
    step_tokens: int = 1
    accepted: float = 1.0
    """With drafts: tokens of a sequence in a step, and how many of them it gets on average."""
    max_waiting: int = MOST

    def limits(self, pool_tokens: int, model_tokens: int) -> Limits:
        """With the memory and the model there are."""
        longest = self.max_model_tokens or model_tokens
        tokens = min(pool_tokens, self.cells) if self.cells else pool_tokens
        return Limits(
            self.max_sequences,
            self.batch_tokens,
            tokens // self.block_tokens * self.block_tokens,
            self.block_tokens,
            longest,
            is_caching=self.is_caching,
            ubatch_tokens=self.ubatch_tokens,
            has_unified_cache=self.has_unified_cache,
            wait_ps=ps_from_seconds(self.wait_s),
            max_waiting=self.max_waiting,
            step_tokens=self.step_tokens,
            accepted=self.accepted,
            has_priorities=self.policy == "priority",
        )


@dataclass(frozen=True, slots=True)
class _Family:
    """A runtime's scheduler, its own names for what it is started with, and its defaults."""

    scheduler: type[Scheduler]
    names: Mapping[str, str]
    defaults: Mapping[str, Any] = field(default_factory=dict)


# Defaults: vllm/engine/arg_utils.py (max_num_seqs 256 on devices whose memory NVML does not tell), sglang
# server_args.py, tensorrt_llm/llmapi/llm_args.py, llama.cpp common/arg.cpp (4 slots, one cache for all, 2,048 a turn).
FAMILIES: dict[str, _Family] = {
    "vllm": _Family(
        VllmScheduler,
        {
            "max_num_seqs": "max_sequences",
            "max_num_batched_tokens": "batch_tokens",
            "max_model_len": "max_model_tokens",
            "block_size": "block_tokens",
            "gpu_memory_utilization": "memory_fraction",
            "prefix_caching": "is_caching",
            "async_scheduling": "is_async",
            "scheduling_policy": "policy",
        },
    ),
    "sglang": _Family(
        SglangScheduler,
        {
            "max_running_requests": "max_sequences",
            "chunked_prefill_size": "batch_tokens",
            "context_length": "max_model_tokens",
            "page_size": "block_tokens",
            "mem_fraction_static": "memory_fraction",
            "radix_cache": "is_caching",
            "overlap_schedule": "is_async",
        },
        {"block_tokens": 1},
    ),
    "tensorrt-llm": _Family(
        TensorrtLlmScheduler,
        {
            "max_batch_size": "max_sequences",
            "max_num_tokens": "batch_tokens",
            "max_seq_len": "max_model_tokens",
            "tokens_per_block": "block_tokens",
            "free_gpu_memory_fraction": "memory_fraction",
            "enable_block_reuse": "is_caching",
            "overlap_scheduler": "is_async",
        },
        {"max_sequences": 2048, "block_tokens": 32},
    ),
    "llama.cpp": _Family(
        LlamaServer,
        {
            "parallel": "max_sequences",
            "ctx_size": "cells",
            "batch_size": "batch_tokens",
            "kv_unified": "has_unified_cache",
            "cache_prompt": "is_caching",
        },
        {"max_sequences": 4, "batch_tokens": 2048, "block_tokens": 1, "has_unified_cache": True, "is_async": False},
    ),
}
STATIC = _Family(
    StaticScheduler,
    {"batch": "max_sequences", "wait_s": "wait_s", "max_model_len": "max_model_tokens"},
    {"max_sequences": 8, "is_caching": False},
)
QUEUE = {"max_queued_requests": "max_waiting"}
"""What every server may be started with, by SGLang's name for it; other runtimes leave it to a proxy in front."""
_KINDS: dict[str, type] = {"is_caching": bool, "is_async": bool, "has_unified_cache": bool}
_KINDS |= {"memory_fraction": float, "wait_s": float, "policy": str}
_POLICIES = ("fcfs", "priority")


OPTION_NAMES = frozenset(
    {"scheduler", *QUEUE, *STATIC.names, *(name for family in FAMILIES.values() for name in family.names)}
)
"""Everything that a server of any runtime may be started with."""


def server_options(family: str, ubatch_tokens: int, given: Mapping[str, Any]) -> ServerOptions:
    """The options of a server; `ubatch_tokens`: of the runtime, most tokens of one pass.

    `given`: the runtime's own names, and `scheduler: static` for static batching on its kernels.

    Raises:
        InputError: a runtime that nothing is known of, a value of the wrong kind or out of range; every problem.
    """
    said = dict(given)
    scheduler = said.pop("scheduler", None)
    if scheduler not in (None, "static"):
        message, hint = f"there is no scheduler {str(scheduler)[:40]!r}", "static, or leave it out: the runtime's own"
        raise InputError(Problem(message, "bad_argument", path="scheduler", hint=hint))
    found = STATIC if scheduler else FAMILIES.get(family)
    if found is None:
        hint = f"there is one for {', '.join(FAMILIES)}; or set scheduler: static"
        raise InputError(Problem(f"{family} has no scheduler here", "no_scheduler", path="runtime", hint=hint))
    values: dict[str, Any] = {"batch_tokens": ubatch_tokens, "ubatch_tokens": ubatch_tokens, **found.defaults}
    problems = []
    names = {**found.names, **QUEUE}
    for name, value in said.items():
        if name not in names:
            guess = closest(name, names)
            hint = f"did you mean {guess}?" if guess else f"there are {', '.join(names)}"
            problems.append(Problem("is no option of this server", "bad_argument", path=name, hint=hint))
            continue
        target = names[name]
        complaint = _complaint(value, _KINDS.get(target, int), target)
        if complaint:
            problems.append(Problem(complaint, "bad_argument", path=name))
        values[target] = value
    if problems:
        raise InputError(problems)
    return ServerOptions(found.scheduler, **values)


def _complaint(value: Any, kind: type, target: str) -> str | None:
    """What is wrong with a value."""
    if kind is bool:
        return None if isinstance(value, bool) else f"must be true or false, not {str(value)[:40]!r}"
    if kind is str:
        return None if value in _POLICIES else f"must be {' or '.join(_POLICIES)}, not {str(value)[:40]!r}"
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
        what = "a number" if kind is float else "a whole number"
        return f"must be {what}, not {str(value)[:40]!r}"
    if target == "memory_fraction":
        return None if 0 < value <= 1 else f"must be above 0 and at most 1, not {value}"
    least = 0 if kind is float else 1
    return None if least <= value <= MOST else f"must be from {least} to {MOST}, not {value}"
