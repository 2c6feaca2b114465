"""The fields of an op as an op trace may give them: spellings, units, sane sizes, formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from math import isfinite
from typing import Any

from sim.errors import InputError
from sim.units import parse_quantity
from sim.workload.op import ALGORITHMS, OP_KINDS, AllReduce, Attention, GroupedGemm, Op, Scan
from sim.workload.quant import formats
from sim.yamlfile import closest

KIND_ALIASES = {"moe": "grouped_gemm", "norm": "elementwise", "quantize": "elementwise"}
FIELD_ALIASES: Mapping[str, Mapping[str, str]] = {
    "copy": {"size": "size_bytes", "from": "source", "to": "target"},
    "all_reduce": {"size": "size_bytes"},
    "host": {"duration": "duration_s"},
    "custom": {"read": "read_bytes", "write": "write_bytes"},
}
UNITS = {"size_bytes": "B", "duration_s": "s", "read_bytes": "B", "write_bytes": "B", "flops": "FLOP"}
FORMATS = frozenset({"dtype", "kv_dtype", "state_dtype", "inputs", "outputs"})
MAY_BE_ZERO = frozenset(
    {
        "flops",
        "read_bytes",
        "write_bytes",
        "duration_s",
        "skew",
        "power",
        "reads",
        "writes",
        "flops_per_element",
        "rows",
        "row_cycles",
        "trips",
        "walkers",
    }
)
LIMITS: Mapping[str, float] = {
    "m": 2**24,
    "n": 2**24,
    "k": 2**24,
    "tokens": 2**24,
    "experts": 2**16,
    "top_k": 2**10,
    "skew": 10,
    "power": 10,
    "batch": 2**20,
    "heads": 2**14,
    "kv_heads": 2**14,
    "head_dim": 2**14,
    "key_heads": 2**14,
    "key_dim": 2**14,
    "value_dim": 2**14,
    "query": 2**24,
    "context": 2**31,
    "window": 2**31,
    "ranks": 1024,
    "shared_by": 2**20,
    "elements": 2**40,
    "rows": 2**26,
    "threads": 1024,
    "row_cycles": 2**20,
    "trips": 2**10,
    "walkers": 2**20,
    "walk_steps": 2**20,
    "reads": 10**4,
    "writes": 10**4,
    "flops_per_element": 10**9,
    "ctas": 2**20,
    "size_bytes": 2**50,
    "read_bytes": 2**50,
    "write_bytes": 2**50,
    "flops": 1e21,
    "duration_s": 1e6,
}
"""The largest sane value of every number: beyond it lies a typing error, not a workload."""
MOST_ROWS = 2**24

MEANINGS: Mapping[str, tuple[str, str]] = {
    "id": ("", "name of the op, one of its kind in the trace"),
    "after": ("", "ids of the ops whose output it reads; it starts when they are done"),
    "site": ("", "place in the model that it comes from; runtimes choose kernels by it, plots group by it"),
    "m": ("rows", "rows of activations"),
    "n": ("columns", "columns of the weights"),
    "k": ("elements", "depth: what is summed over"),
    "dtype": ("format", "format of the weights; of element-wise arrays and queries: of each element"),
    "inputs": ("format", "format of the activations read"),
    "outputs": ("format", "format of the result written"),
    "is_gated": ("", "gate and up in one kernel: n counts both, n / 2 columns are written"),
    "tokens": ("tokens", "tokens that choose experts"),
    "experts": ("", "experts there are"),
    "top_k": ("", "experts that a token chooses"),
    "skew": ("", "how uneven the choice is: 0 uniform, 2.5 as measured for gpt-oss"),
    "power": ("", "exponent of a power law of the experts' rows, 0 = all equal; null = tokens choose by skew"),
    "batch": ("sequences", "sequences side by side"),
    "heads": ("", "query heads"),
    "kv_heads": ("", "key-value heads, shared evenly by the query heads"),
    "head_dim": ("elements", "size of a head"),
    "key_heads": ("", "heads with keys and queries of their own, shared evenly by the heads"),
    "key_dim": ("elements", "size of a key: rows of the state"),
    "value_dim": ("elements", "size of a value; of a state: its columns"),
    "is_latent": ("", "values are the first part of the keys: only keys are read"),
    "shared_by": ("sequences", "sequences in a row that read the same keys; 1 = each its own"),
    "is_delta": ("", "delta rule: the update takes out what the state already says of the key"),
    "has_channel_decay": ("", "each row of the state decays by a gate of its own, read with the keys (KDA)"),
    "state_dtype": ("format", "format of the recurrent state"),
    "query": ("tokens", "new positions of each sequence; 1 is decode"),
    "context": ("keys", "keys that the last query sees, its own included"),
    "window": ("keys", "sliding window; null = all keys"),
    "kv_dtype": ("format", "format of the KV cache"),
    "elements": ("elements", "elements worked on"),
    "reads": ("arrays", "arrays of that many elements read"),
    "writes": ("arrays", "arrays of that many elements written"),
    "read_bytes": ("B", "bytes read (element-wise: instead of reads)"),
    "write_bytes": ("B", "bytes written (element-wise: instead of writes)"),
    "flops_per_element": ("FLOP", "work on CUDA cores per element"),
    "rows": ("rows", "independent rows that are reduced (norm, softmax); 0 = no reduction"),
    "threads": ("threads", "of a CTA"),
    "row_cycles": ("cycles", "what a CTA waits besides its bytes and FLOPs; null = two reductions of a row"),
    "trips": ("", "reads of L2 that a CTA makes besides, each waiting for the one before"),
    "walkers": ("CTAs", "thread blocks that walk the rows in turn; 0 = one per row, or as many as there is work for"),
    "walk_steps": ("", "steps in which the walkers walk"),
    "is_cold": ("", "reads from memory, not what the op before wrote"),
    "is_strided": ("", "reads short pieces at a stride: one head of many"),
    "size_bytes": ("B", "bytes moved"),
    "ranks": ("machines", "equal machines that take part, two or more"),
    "algorithm": ("", "auto, one_shot, two_shot, ring or tree; auto = the fastest that the libraries have"),
    "source": ("", "component that they come from: cpu, gpu, nvme, nic, ..."),
    "target": ("", "component that they go to"),
    "duration_s": ("s", "how long the CPU works"),
    "flops": ("FLOP", "work altogether"),
    "ctas": ("CTAs", "thread blocks that share the work"),
    "unit": ("", "rate it works at: a key of the GPU's flop_per_clock_per_sm"),
    "component": ("", "component that runs it; null = the GPU"),
}
"""Unit and meaning of every field."""

Refuse = Callable[[str, str | None], None]
"""Takes what is wrong and, if there is one, what may have been meant."""


def fields_of(kind: str) -> dict[str, Field[Any]]:
    """The fields of an op of `kind` (its own name or an alias) by the name they have in the code."""
    return {field.name: field for field in fields(OP_KINDS[KIND_ALIASES.get(kind, kind)])}


def default_names() -> set[str]:
    """Every field name that `defaults:` may hold."""
    return {name for kind in OP_KINDS for name in (*fields_of(kind), *FIELD_ALIASES.get(kind, ()))}


def read_op(given: str, entry: Mapping[str, Any], defaults: Mapping[str, Any], refuse: Refuse) -> Op | None:
    """The op that an entry of a trace describes; None, and what is wrong told to `refuse`, when it is none."""
    kind = KIND_ALIASES.get(given, given)
    if kind not in OP_KINDS:
        refuse(f"unknown op {given[:60]!r}", closest(given, [*OP_KINDS, *KIND_ALIASES]))
        return None
    wrong: list[str] = []

    def note(message: str, guess: str | None = None) -> None:
        wrong.append(message)
        refuse(message, guess)

    known, names = fields_of(kind), FIELD_ALIASES.get(kind, {})
    merged = {key: value for key, value in defaults.items() if names.get(key, key) in known} | dict(entry)
    values: dict[str, Any] = {}
    misspelt: set[str | None] = set()
    for key, value in merged.items():
        field = names.get(key, key)
        if key in ("op", "step", "block"):
            continue
        if field not in known:
            guess = closest(key, [each for each in (*known, *names) if each not in merged])
            misspelt.add(names.get(guess or "", guess))
            note(f"unknown field {key[:60]!r} of {given}", guess)
        else:
            values[field] = _value(field, str(known[field].type), value, note)
    for field, spec in known.items():
        if field not in values and field not in misspelt and spec.default is MISSING:
            shown = next((alias for alias, name in names.items() if name == field), field)
            note(f"{given} needs {shown!r}")
    if wrong:
        return None
    op = OP_KINDS[kind](**values)
    message = _contradiction(op)
    if message:
        refuse(message, None)
    return None if message else op


def _contradiction(op: Op) -> str | None:
    """What is wrong with the fields together."""
    if isinstance(op, Attention):
        return _attention_contradiction(op)
    if isinstance(op, AllReduce):
        return _all_reduce_contradiction(op)
    if isinstance(op, Scan) and op.heads % op.key_heads:
        return f"{op.heads} heads cannot share {op.key_heads} key heads evenly"
    if isinstance(op, GroupedGemm) and op.top_k > op.experts:
        return f"a token cannot choose {op.top_k} of {op.experts} experts"
    if isinstance(op, GroupedGemm) and op.tokens * op.top_k > MOST_ROWS:
        return f"tokens x top_k is {op.tokens * op.top_k:,} rows; at most {MOST_ROWS:,} are simulated"
    return None


def _all_reduce_contradiction(op: AllReduce) -> str | None:
    if op.ranks < 2:
        return "ranks: one machine has nobody to sum with; 2 or more"
    if op.algorithm not in ALGORITHMS:
        return f"unknown algorithm {op.algorithm[:40]!r}; there are: {', '.join(ALGORITHMS)}"
    return None


def _attention_contradiction(op: Attention) -> str | None:
    if op.heads % op.kv_heads:
        return f"{op.heads} heads cannot share {op.kv_heads} key-value heads evenly"
    if op.query > op.context:
        return f"context {op.context} counts all keys that the last of {op.query} queries sees, its own included"
    if op.is_latent and op.values > op.head_dim:
        return f"values of {op.values} cannot be the first part of keys of {op.head_dim}"
    if op.shared_by > 1 and op.query > 1:
        return "sequences share keys only where each has one query"
    return None


def _value(field: str, kind: str, value: Any, note: Callable[..., None]) -> Any:
    if field == "after":
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            return tuple(value)
        note("after must be a list of ids")
        return ()
    if value is None and "None" in kind:
        return None
    if field in FORMATS:
        if value not in formats() if isinstance(value, str) else True:
            note(f"{field}: unknown format {_shown(value)}", closest(str(value), formats()))
        return value
    for start, cls, wanted in (("str", str, "text"), ("bool", bool, "true or false")):
        if kind.startswith(start):
            if not isinstance(value, cls):
                note(f"{field} must be {wanted}, not {_shown(value)}")
            return value
    return _number(field, kind, value, note)


def _number(field: str, kind: str, value: Any, note: Callable[..., None]) -> Any:
    is_whole = kind.startswith("int")
    if isinstance(value, str) and field in UNITS:
        try:
            value = parse_quantity(value, UNITS[field])
        except InputError as error:
            note(f"{field}: {error.problems[0].message}")
            return 1
        value = round(value) if is_whole else value
    most, least = LIMITS[field], 0 if field in MAY_BE_ZERO or not is_whole else 1
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        note(f"{field} must be a number, not {_shown(value)}")
    elif is_whole and not isinstance(value, int):
        note(f"{field} must be a whole number, not {value}")
    elif not least <= value <= most:
        note(f"{field} must be from {least} to {_plain(most)}, not {_plain(value)}")
    return value


def _plain(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _shown(value: Any) -> str:
    return repr(value)[:60]
