"""What the keys of `sparksim.serve/1` mean that a run's result does not have, for `sparksim show result`."""

from __future__ import annotations

_SPREAD = "mean, p50, p90, p95 and p99 over the completed requests after the warm-up"

SERVE_KEYS: dict[str, tuple[str, str]] = {
    "schema": ("", "sparksim.serve/1"),
    "traffic": ("", "the load, as the scenario and overrides say it"),
    "content": ("", "what requests are about: mixed_text (nothing in common), text, random_tokens; experts follow"),
    "seeds": ("", "one run for each; numbers are means over them, peaks the highest"),
    "requests": ("requests", "that came after the warm-up"),
    "completed": ("requests", "of them, with all their tokens"),
    "failed": ("requests", "of them, the others: refused, turned_away and timed_out"),
    "refused": ("requests", "longer than the server takes"),
    "turned_away": ("requests", "came when max_queued_requests were waiting"),
    "timed_out": ("requests", "given up by their clients"),
    "duration_s": ("s", "from the first counted arrival to the last counted token"),
    "request_rate": ("/s", "completed / duration_s"),
    "output_tok_s": ("tok/s", "tokens written / duration_s"),
    "total_tok_s": ("tok/s", "the same with the prompts' tokens"),
    "goodput": ("/s", "completed requests that kept every limit of slo.per_request / duration_s; null without limits"),
    "ttft_s": ("s", f"time to first token: {_SPREAD}"),
    "tpot_s": ("s", f"time per output token after the first: {_SPREAD}"),
    "itl_s": ("s", "times between tokens: mean and percentiles over all of them"),
    "e2e_s": ("s", f"time to the last token: {_SPREAD}"),
    "prompt_tokens": ("tokens", "of the completed requests"),
    "output_tokens": ("tokens", "of the completed requests"),
    "peak_running": ("requests", "most at once in the server's batch"),
    "peak_waiting": ("requests", "most at once before it"),
    "preemptions": ("", "requests that gave their blocks back and were computed again"),
    "cached_tokens": ("tokens", "of prompts that were found in the prefix cache"),
    "kv_peak_bytes": ("B", "most of the KV cache in use"),
    "kv_capacity_bytes": ("B", "the KV cache"),
    "steps": ("", "engine steps"),
    "utilization": ("share", "of the time in which a step was running"),
    "skipped_lines": ("", "bad lines of a trace that were left out, as asked"),
    "energy": ("J", "gpu_j, package_j, wall_j over duration_s, power_w, joules per output token and per request"),
    "cost": ("USD", "per million output tokens and all tokens, and the prices that it rests on with their sources"),
    "slo": ("", "is_held, each percentile with its limit and value, limits of each request"),
    "steps_simulated": ("", "engine steps that were simulated; all others lie between them"),
    "is_interrupted": ("", "whether it was stopped: numbers are of what was done by then"),
    "by_seed": ("", "the same numbers for each seed; only where there are several"),
}
