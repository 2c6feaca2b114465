"""Storage formats of weights, and recipes: which format each class of tensor gets, layer by layer."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.errors import InputError, Problem, SpecError
from sim.paths import available, find, shipped_data
from sim.workload.exclusions import named_classes
from sim.workload.model import ModelSpec
from sim.yamlfile import Document, closest, load_yaml, validate_model

TENSOR_CLASSES = frozenset(
    [
        "embedding",
        "head",
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_o",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
        "expert_gate",
        "expert_up",
        "expert_down",
        "shared_gate",
        "shared_up",
        "shared_down",
        "router",
        "linear_in",
        "linear_out",
        "linear_conv",
        "attn_q_a",
        "attn_q_b",
        "attn_kv_a",
        "attn_kv_b",
        "attn_o_a",
        "attn_gate",
        "attn_index",
        "attn_index_q",
        "attn_compress",
        "linear_gate",
        "laurel",
        "stream",
        "expert_latent",
        "per_layer",
        "per_layer_embedding",
        "mtp",
        "norm",
        "bias",
    ]
)
OUTSIDE_LAYERS = frozenset({"embedding", "head"})
GGUF_FAMILY = "llama.cpp"
FALLBACKS = {"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}
"""What llama.cpp takes where a row is no multiple of the block (tensor_type_fallback in src/llama-quant.cpp)."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a number is stored; `bits_per_weight` includes scales.

    `unpack_instructions`: of a CUDA-core lane per weight, to bring it into the form that is multiplied; none on the
    `native` units, which take it as it is stored.
    """

    name: str
    block_elements: int
    block_bytes: float
    unpack_instructions: float = 0.0
    native: tuple[str, ...] = ()

    @property
    def bits_per_weight(self) -> float:
        """Bits per element, scales included."""
        return 8.0 * self.block_bytes / self.block_elements


class _FormatEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    block: int = Field(gt=0)
    bytes: float = Field(gt=0)
    unpack: float = Field(0.0, ge=0, le=100, description="instructions per weight that unpacking takes on CUDA cores")
    native: tuple[str, ...] = Field((), description="units that take it as it is stored")


class FormatFile(BaseModel):
    """The file of storage formats."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.formats/1"] = Field(alias="schema")
    source: str
    formats: dict[str, _FormatEntry]


class RecipeFile(BaseModel):
    """A recipe as its file says it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.quant/1"] = Field(alias="schema")
    name: str
    title: str
    source: str
    aliases: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = Field((), description="only these runtimes read it; empty = any")
    replaces: str | None = Field(None, description="recipe of the checkpoint that this one is the converted form of")
    default: str
    classes: dict[str, str] = {}
    more_bits: dict[str, str] = Field({}, description="classes with another format on llama.cpp's use_more_bits layers")


@dataclass(frozen=True, slots=True)
class QuantRecipe:
    """A format per tensor class and layer."""

    name: str
    title: str
    default: Format
    classes: tuple[tuple[str, Format], ...]
    more_bits: tuple[tuple[str, Format], ...]
    runtimes: tuple[str, ...] = ()
    replaces: str | None = None
    own: frozenset[tuple[str, int | None, str]] = frozenset()
    """(tensor class, layer, format) that this checkpoint stores otherwise: left out of its quantisation, or mixed."""

    def format_of(self, tensor_class: str, layer: int | None, n_layers: int, depth: int = 0) -> Format:
        """The format of `tensor_class` in layer `layer` of `n_layers` (None: outside the layers).

        `depth`: length of its rows (0: not looked at). GGUF's formats of 256 weights to a block give way to one of 32
        where a row is no multiple of it.
        """
        if self.own:
            at = None if tensor_class in OUTSIDE_LAYERS else layer
            own = next((fmt for name, index, fmt in self.own if name == tensor_class and index == at), None)
            if own:
                return formats()[own]
        found = next((fmt for name, fmt in self.classes if name == tensor_class), self.default)
        if layer is not None and self.more_bits and uses_more_bits(layer, n_layers):
            found = next((fmt for name, fmt in self.more_bits if name == tensor_class), found)
        if found.name in FALLBACKS and depth % found.block_elements:
            return formats()[FALLBACKS[found.name]]
        return found

    def signature(self, layer: int, n_layers: int) -> Hashable:
        """Layers with the same signature have the same formats."""
        has_more = bool(self.more_bits) and uses_more_bits(layer, n_layers)
        return has_more, frozenset((name, fmt) for name, index, fmt in self.own if index == layer)


def uses_more_bits(layer: int, n_layers: int) -> bool:
    """llama.cpp's rule for the layers that get more bits: the first and last eighth, and every third between."""
    return layer < n_layers // 8 or layer >= 7 * n_layers // 8 or (layer - n_layers // 8) % 3 == 2


@cache
def formats() -> dict[str, Format]:
    """Every storage format, by name."""
    document = load_yaml(shipped_data() / "workloads" / "quants" / "formats.yaml")
    entries = validate_model(FormatFile, document).formats
    return {name: Format(name, entry.block, entry.bytes, entry.unpack, entry.native) for name, entry in entries.items()}


def load_quant(name: str | Path, search_dirs: Sequence[str | Path] = ()) -> QuantRecipe:
    """The recipe of that name (or path).

    Raises:
        SpecError: its file is wrong. InputError: there is none.
    """
    path = find("quants", str(name), search_dirs)
    try:
        stat = path.stat()
        stamp = stat.st_mtime_ns, stat.st_size
    except (OSError, ValueError):
        stamp = None
    return _load_quant(path, stamp)


@lru_cache(maxsize=64)
def _load_quant(path: Path, _stamp: tuple[int, int] | None) -> QuantRecipe:
    document = load_yaml(path)
    file = validate_model(RecipeFile, document)
    if problems := list(_unknown_names(document, file)):
        raise SpecError(problems)
    table = formats()
    classes = tuple((key, table[value]) for key, value in file.classes.items())
    more = tuple((key, table[value]) for key, value in file.more_bits.items())
    return QuantRecipe(file.name, file.title, table[file.default], classes, more, file.runtimes, file.replaces)


def _unknown_names(document: Document, file: RecipeFile) -> Iterator[Problem]:
    named: list[tuple[tuple[str, ...], str, frozenset[str]]] = [(("default",), file.default, frozenset(formats()))]
    for group in ("classes", "more_bits"):
        for key, value in getattr(file, group).items():
            named += [((group, key), key, TENSOR_CLASSES), ((group, key), value, frozenset(formats()))]
    for place, name, known in named:
        if name not in known:
            guess = closest(name, sorted(known))
            hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(sorted(known))}"
            line, noun = document.line_of(place), "tensor class" if known is TENSOR_CLASSES else "format"
            yield Problem(f"unknown {noun} {name[:60]!r}", "unknown_name", document.file, line, ".".join(place), hint)


def resolve_quant(
    model: ModelSpec, name: str | Path | QuantRecipe | None, runtime: str, search_dirs: Sequence[str | Path] = ()
) -> QuantRecipe:
    """The recipe to run `model` with: what the checkpoint says, or `name` where that does not contradict it.

    Raises:
        InputError: `name` asks for a format that the checkpoint's own quantisation rules out, or another runtime's.
    """
    said = model.quantization.recipe if model.quantization else model.dtype
    chosen = said if name is None else name
    recipe = chosen if isinstance(chosen, QuantRecipe) else load_quant(chosen, search_dirs)
    if recipe.runtimes and runtime not in recipe.runtimes:
        raise InputError(
            Problem(
                f"{recipe.name} is a format of {', '.join(recipe.runtimes)}, not of {runtime}",
                code="quant_runtime",
                path="quant",
            )
        )
    if model.quantization and said not in {recipe.name, recipe.replaces} and not recipe.runtimes:
        problem = Problem(
            f"{model.name} is already quantised to {said} ({model.quantization.source}); it cannot be {recipe.name}",
            code="quant_contradiction",
            path="quant",
            hint="leave --quant out, or take another checkpoint",
        )
        raise InputError(problem)
    if runtime == GGUF_FAMILY and not recipe.runtimes:
        return _converted(recipe, search_dirs)
    return _with_exclusions(recipe, model) if recipe.name == said else recipe


def _with_exclusions(recipe: QuantRecipe, model: ModelSpec) -> QuantRecipe:
    """The recipe with what the checkpoint says of single modules: left out and so in its plain dtype, or mixed."""
    said = model.quantization
    if not said or not (said.excluded or said.modules or said.tensors):
        return recipe
    own: set[tuple[str, int | None, str]] = set(said.tensors)
    for fmt, modules in ((model.dtype, said.excluded), *said.modules):
        own |= {(*place, fmt) for place in named_classes(modules, model.layers, model.hidden_size)}
        if said.modules and "lm_head" in modules:
            own.add(("head", None, fmt))
    return replace(recipe, own=frozenset(own))


def _converted(recipe: QuantRecipe, search_dirs: Sequence[str | Path]) -> QuantRecipe:
    """The GGUF form of a checkpoint's recipe, where there is one."""
    for name in available("quants", search_dirs):
        if name != "formats":
            candidate = load_quant(name, search_dirs)
            if candidate.replaces == recipe.name and GGUF_FAMILY in candidate.runtimes:
                return candidate
    return recipe


def weights_bytes(model: ModelSpec, recipe: QuantRecipe) -> int:
    """Bytes of all weights as the recipe stores them; an embedding that is the head too is stored as the head."""
    n_layers = len(model.layers)
    kinds: dict[Hashable, int] = {}
    kind_of = [kinds.setdefault((each, recipe.signature(i, n_layers)), i) for i, each in enumerate(model.layers)]

    @cache
    def bits(name: str, layer: int | None) -> float:
        stored = "head" if model.is_tied and name == "embedding" else name
        return recipe.format_of(stored, layer, n_layers, model.depth_of(name, layer)).bits_per_weight

    inventory = model.tensor_inventory()
    return round(
        sum(t.elements * bits(t.tensor_class, None if t.layer is None else kind_of[t.layer]) for t in inventory) / 8
    )
