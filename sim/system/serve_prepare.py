"""A scenario of kind serve with everything that it names loaded, checked, and its memory counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem, gather
from sim.hwspec import HardwareSpec
from sim.result.memory import MemoryUse
from sim.serving.options import OPTION_NAMES, ServerOptions, server_options
from sim.serving.trace_file import open_trace
from sim.serving.traffic import Trace
from sim.serving.typical import typical_lengths
from sim.system.arguments import Changes, split_overrides
from sim.system.generation import check_generation
from sim.system.memory_account import MemoryAccount, budget_of
from sim.system.memory_check import memory_use
from sim.system.plugins import load_hardware
from sim.system.prediction import drafts_of
from sim.system.recipes import kv_format
from sim.system.scenario import find_file
from sim.system.serve_file import ServeFile, read_serve, split_load
from sim.workload.hf_config import load_model
from sim.workload.lower import Request
from sim.workload.model import ModelSpec
from sim.workload.quant import QuantRecipe, formats, resolve_quant
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_file import LoadedRuntime, load_runtime
from sim.workload.speculate import SETTINGS, Speculation, with_head
from sim.yamlfile import resolve_scalar

TEXT, MIXED = "text", "mixed_text"
"""What the tokens of one prompt are to each other, and what requests are, unless workload.content is set."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The pool of KV blocks that memory leaves."""

    blocks: int
    block_bytes: float


@dataclass(frozen=True, slots=True)
class PreparedServe:
    """What serving needs: the scenario, the machine, the model, the runtime, and what the server is started with."""

    scenario: ServeFile
    folder: Path
    hardware: HardwareSpec
    model: ModelSpec
    quant: QuantRecipe
    loaded: LoadedRuntime
    kv_dtype: str
    options: ServerOptions
    changes: Changes
    cache: str | Path | None
    prompt_skew: float | None = None
    """How uneven the experts are that the tokens of one prompt choose, which are of one text."""
    guess: Speculation | None = None
    """Drafts that the server verifies, of its own layer (`model` has it), a head or another model."""

    @property
    def content(self) -> str:
        """What requests are about: nothing in common, unless it is set."""
        return self.changes.workload.get("content", MIXED)

    @property
    def runtime(self) -> RuntimeSpec:
        """The runtime as the server is started: its share of memory, tokens of a pass, asynchronous or not."""
        spec, options = self.loaded.spec, self.options
        update: dict[str, Any] = {}
        if options.memory_fraction:
            update["memory"] = spec.memory.model_copy(update={"fraction": options.memory_fraction})
        if spec.family != "llama.cpp":
            update["ubatch_tokens"] = options.batch_tokens
        if options.is_async is not None:
            update["is_async"] = options.is_async
        return spec.model_copy(update=update)

    def memory(self) -> tuple[MemoryUse, Pool]:
        """What the server takes with one request of typical length in it, and the pool of KV blocks.

        Keys of windowed layers and recurrent states do not grow with a sequence: a block's bytes are those of a
        sequence of typical length, shared out over its tokens.
        """
        runtime, options = self.runtime, self.options
        kv = formats()[self.kv_dtype]
        guess = self.guess
        draft = (guess.draft, guess.quant or self.quant) if guess is not None and guess.draft is not None else None
        account = MemoryAccount(budget_of(self.hardware, runtime.memory), self.model, self.quant, runtime, kv, draft)
        prompt, output = typical_lengths(self.scenario.traffic, self.folder)
        one = Request(1, prompt, 0, output, guess)
        # A server makes room at its start for its widest pass, however short the prompts are.
        wide = replace(one, prompt=max(prompt, runtime.ubatch_tokens))
        use = memory_use(account, one, list)
        activations, room = account.activations(wide), account.room(wide)
        needed = use.needed_bytes - use.activation_bytes + activations
        per_token = account.sequence(prompt + output) / (prompt + output)
        tokens = max(0, int(room / per_token))
        if options.cells:
            tokens = min(tokens, options.cells)
        fits = use.refusal is None and room >= use.kv_cache_bytes
        found = replace(
            use, needed_bytes=needed, activation_bytes=activations, fits=fits, would_fit=None,
            peak_bytes=use.peak_bytes - use.activation_bytes + activations, claimed_bytes=account.claimed(wide),
            short_bytes=0 if fits else max(0, use.kv_cache_bytes - room), more_tokens=0, is_model_limit=False,
            more_sequences=max(0, tokens // (prompt + output) - 1), is_marginal=False,
        )  # fmt: skip
        return found, Pool(tokens // options.block_tokens, per_token * options.block_tokens)


def open_serve(
    file: str | Path,
    set: Mapping[str, object] | Iterable[str] = (),
    search_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    parts: Mapping[str, str] | None = None,
) -> PreparedServe:
    """Find, load and check a scenario of kind serve; overrides of its load, its machine and its server on top.

    `parts`: fields of the scenario itself that are other than in the file, by path (`model`, `system.hardware`).

    Raises:
        InputError: something given cannot be used; every problem.
    """
    path = find_file(file, search_dirs)
    changes = split_overrides(set)
    changes.check()
    of_load, others = split_load(changes.given)
    scenario = read_serve(path, search_dirs, {**(parts or {}), **of_load})
    return prepare_serve(scenario, path.parent, others, search_dirs, cache, of_load)


def prepare_serve(
    scenario: ServeFile,
    folder: Path,
    set: Mapping[str, object] | Sequence[str],
    search_dirs: Sequence[str | Path],
    cache: str | Path | None,
    of_load: Mapping[str, str] | None = None,
) -> PreparedServe:
    """Load and check everything that a scenario of kind serve names; `set` are overrides on top of it.

    `folder`: where its ./ files are. `of_load`: what of its load was changed already, for the result.

    Raises:
        InputError: every problem.
    """
    part = scenario.runtime
    said: dict[str, object] = dict(scenario.system.set)
    said |= {f"runtime.{name}": value for name, value in part.set.items()}
    changes = split_overrides(said).with_later(split_overrides(set))
    changes.given |= of_load or {}
    own = {name: resolve_scalar(text) for name, text in changes.runtime.items() if name in OPTION_NAMES}
    fields = {name: text for name, text in changes.runtime.items() if name not in OPTION_NAMES}
    name = f"{part.name}@{part.version}" if part.version else part.name
    load = partial(load_model, scenario.model, search_dirs=search_dirs, overrides=changes.model)
    _, hardware, model, of_a_prompt, loaded, _ = gather(
        changes.check,
        lambda: load_hardware(scenario.system.hardware, changes.hardware, search_dirs),
        lambda: load(content=_content(changes)),
        lambda: load(content=changes.workload.get("content", TEXT)),
        lambda: load_runtime(name, overrides=fields, search_dirs=search_dirs),
        lambda: _check_trace(scenario, folder),
    )
    spec = loaded.spec
    check_generation(hardware, spec, search_dirs)
    quant, kv_dtype, options = gather(
        lambda: resolve_quant(model, scenario.quant, spec.family, search_dirs),
        lambda: kv_format(scenario.kv_dtype or spec.kv_dtype, spec),
        lambda: server_options(spec.family, spec.ubatch_tokens, own),
    )
    guess = drafts_of(changes.workload, model, quant, spec, search_dirs)
    if guess is not None:
        model = with_head(model, guess.method)
        options = replace(options, step_tokens=guess.drafts + 1, accepted=guess.accepted)
    return PreparedServe(
        scenario, folder, hardware, model, quant, loaded, kv_dtype, options, changes, cache, of_a_prompt.expert_skew,
        guess,
    )  # fmt: skip


def _content(changes: Changes) -> str:
    """What requests are about: nothing in common, unless it is set.

    Raises:
        InputError: something else of the workload is set.
    """
    known = ("content", *SETTINGS)
    other = [name for name in changes.workload if name not in known]
    if other:
        hint = f"of the workload a server is told {', '.join(known)}"
        raise InputError(
            [Problem("is not set of a server", "bad_override", path=f"workload.{k}", hint=hint) for k in other]
        )
    return changes.workload.get("content", MIXED)


def _check_trace(scenario: ServeFile, folder: Path) -> None:
    """A trace is read through once, so that bad lines are told before anything is simulated.

    Raises:
        WorkloadError: bad lines, or no request at all.
    """
    arrivals = scenario.traffic.arrivals
    if not isinstance(arrivals, Trace):
        return
    is_timed = True
    for one in open_trace(folder / arrivals.file, arrivals.format, is_lenient=arrivals.skip_bad_lines):
        is_timed = one.at_s is not None
    if not is_timed and arrivals.rate is None:
        message, hint = "does not say when its requests came", "give arrivals a rate: they come at random then"
        raise InputError(Problem(message, "no_times", arrivals.file, path="traffic.arrivals", hint=hint))
    if is_timed and arrivals.rate is not None:
        message, hint = "says itself when its requests came: rate is not used", "speed lets them come faster"
        raise InputError(Problem(message, "bad_argument", arrivals.file, path="traffic.arrivals.rate", hint=hint))
