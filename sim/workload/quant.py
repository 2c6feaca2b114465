"""Storage formats of weights, and recipes: which format each class of tensor gets, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.errors import InputError, Problem, SpecError
from sim.paths import files, find, shipped_data
from sim.workload.exclusions import named_classes
from sim.workload.gguf_model import gguf_formats
from sim.workload.layer_spec import AttentionSpec
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
PLAIN = frozenset({"bf16", "f16", "f32"})
"""Recipes that are a GGUF format as they stand."""
FALLBACKS = {"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}
"""What llama.cpp takes where a row is no multiple of the block (tensor_type_fallback in src/llama-quant.cpp)."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a number is stored; `bits_per_weight` includes scales.

    `unpack_instructions`: of a CUDA-core lane per weight, to bring it into the form that is multiplied; none on the
    `native` units, which take it as it is stored. `kernels`: the format whose kernels take it, where that is another.
    """

    name: str
    block_elements: int
    block_bytes: float
    unpack_instructions: float = 0.0
    native: tuple[str, ...] = ()
    kernels: str = ""

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
    kernels: str = Field("", description="format whose kernels take it too, e.g. one with another group size")


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
    grouped: dict[str, str] = Field(
        {}, description="classes with another format where 4 query heads or more share keys"
    )
    first: dict[str, dict[str, str]] = Field(
        {}, description="classes with another format in the first layers: an eighth, a 16th, 2, 4, or the inner 3/4"
    )


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
    grouped: tuple[tuple[str, Format], ...] = ()
    first: tuple[tuple[str, tuple[tuple[str, Format], ...]], ...] = ()
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
        for place, given in self.first if layer is not None else ():
            if PLACES[place](layer or 0, n_layers):
                found = next((fmt for name, fmt in given if name == tensor_class), found)
        if found.name in FALLBACKS and depth % found.block_elements:
            return formats()[FALLBACKS[found.name]]
        return found

    def signature(self, layer: int, n_layers: int) -> Hashable:
        """Layers with the same signature have the same formats."""
        has_more = bool(self.more_bits) and uses_more_bits(layer, n_layers)
        places = tuple(PLACES[place](layer, n_layers) for place, _ in self.first)
        return has_more, places, frozenset((name, fmt) for name, index, fmt in self.own if index == layer)

    def of_model(self, model: ModelSpec) -> QuantRecipe:
        """The recipe as llama.cpp applies it to the model: what depends on how many heads share keys is settled."""
        mixers = [layer.mixer for layer in model.layers if isinstance(layer.mixer, AttentionSpec)]
        shares = any(mixer.heads >= MANY_SHARE * mixer.kv_heads for mixer in mixers)
        if not self.grouped:
            return self
        if not (shares or any(layer.experts for layer in model.layers)):
            return replace(self, grouped=())
        names = {name for name, _ in self.grouped}
        kept = tuple(each for each in self.classes if each[0] not in names)
        return replace(self, classes=(*kept, *self.grouped), grouped=())


MANY_SHARE = 4
PLACES: dict[str, Callable[[int, int], bool]] = {
    "eighth": lambda layer, n_layers: layer < n_layers // 8,
    "16th": lambda layer, n_layers: layer < n_layers // 16,
    "2": lambda layer, n_layers: layer < 2,
    "4": lambda layer, n_layers: layer < 4,
    "inner": lambda layer, n_layers: n_layers // 8 <= layer < 7 * n_layers // 8,
}
"""Where a recipe's `first` holds (llama_tensor_get_type in src/llama-quant.cpp)."""


def uses_more_bits(layer: int, n_layers: int) -> bool:
    """llama.cpp's rule for the layers that get more bits: the first and last eighth, and every third between."""
    return layer < n_layers // 8 or layer >= 7 * n_layers // 8 or (layer - n_layers // 8) % 3 == 2


@cache
def formats() -> dict[str, Format]:
    """Every storage format, by name."""
    document = load_yaml(shipped_data() / "workloads" / "quants" / "formats.yaml")
    entries = validate_model(FormatFile, document).formats
    return {
        name: Format(name, entry.block, entry.bytes, entry.unpack, entry.native, entry.kernels)
        for name, entry in entries.items()
    }


@cache
def kernels_of(dtype: str) -> str:
    """The format whose kernels take weights of `dtype`: its own, unless it is a variant of another."""
    found = formats().get(dtype)
    return found.kernels or dtype if found else dtype


def load_quant(name: str | Path, search_dirs: Sequence[str | Path] = ()) -> QuantRecipe:
    """The recipe of that name (or path). A GGUF file is the recipe of its own mix: a format for every matrix.

    Raises:
        SpecError: its file is wrong. InputError: there is none.
    """
    words = str(name).lower().replace("-", "_")
    if words.startswith("ud_") and not words.endswith((".yaml", ".gguf")):
        message = f"{str(name)[:40]!r} is a mix that Unsloth makes for each model by itself, not a rule"
        hint = "give the file, --quant MODEL.gguf: its header says the format of every matrix"
        raise InputError(Problem(message, "unknown_quant", path="quant", hint=hint))
    path = find("quants", str(name), search_dirs)
    if path.suffix.lower() == ".gguf":
        own = frozenset(gguf_formats(path))
        return QuantRecipe(path.stem, f"the mix of {path.name}", formats()["f32"], (), (), (GGUF_FAMILY,), own=own)
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
    grouped = tuple((key, table[value]) for key, value in file.grouped.items())
    first = tuple((place, tuple((key, table[value]) for key, value in of.items())) for place, of in file.first.items())
    found = QuantRecipe(file.name, file.title, table[file.default], classes, more, file.runtimes, file.replaces)
    return replace(found, grouped=grouped, first=first)


_NOUNS = {TENSOR_CLASSES: "tensor class", frozenset(PLACES): "place"}


def _unknown_names(document: Document, file: RecipeFile) -> Iterator[Problem]:
    named: list[tuple[tuple[str, ...], str, frozenset[str]]] = [(("default",), file.default, frozenset(formats()))]
    groups: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("classes",), file.classes),
        (("more_bits",), file.more_bits),
        (("grouped",), file.grouped),
        *((("first", place), of) for place, of in file.first.items()),
    ]
    for at, group in groups:
        for key, value in group.items():
            named += [((*at, key), key, TENSOR_CLASSES), ((*at, key), value, frozenset(formats()))]
    named += [(("first", place), place, frozenset(PLACES)) for place in file.first]
    for at, name, known in named:
        if name not in known:
            guess = closest(name, sorted(known))
            hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(sorted(known))}"
            line, noun = document.line_of(at), _NOUNS.get(known, "format")
            yield Problem(f"unknown {noun} {name[:60]!r}", "unknown_name", document.file, line, ".".join(at), hint)


def resolve_quant(
    model: ModelSpec, name: str | Path | QuantRecipe | None, runtime: str, search_dirs: Sequence[str | Path] = ()
) -> QuantRecipe:
    """The recipe to run `model` with: what the checkpoint says, or `name` where that does not contradict it.

    Raises:
        InputError: `name` asks for a format that the checkpoint's own quantisation rules out, or another runtime's.
    """
    said = model.quantization.recipe if model.quantization else model.dtype
    chosen = said if name is None else name
    recipe = (chosen if isinstance(chosen, QuantRecipe) else load_quant(chosen, search_dirs)).of_model(model)
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
        return _converted(recipe, model, search_dirs)
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


def _converted(recipe: QuantRecipe, model: ModelSpec, search_dirs: Sequence[str | Path]) -> QuantRecipe:
    """The GGUF form of the recipe that the model's checkpoint is stored in.

    Raises:
        InputError: there is none.
    """
    for name, path in sorted(files("quants", search_dirs).items()):
        if name != "formats":
            candidate = load_quant(path, search_dirs)
            if candidate.replaces == recipe.name and GGUF_FAMILY in candidate.runtimes:
                return candidate
    if recipe.name in PLAIN:
        return recipe
    message = f"llama.cpp reads GGUF files, and there is no GGUF form of {recipe.name}"
    hint = "say what the checkpoint is converted to, e.g. --quant q8_0 or q4_k_m, or give the file, --quant MODEL.gguf"
    raise InputError(Problem(message, "quant_runtime", file=model.source_file, path="quant", hint=hint))


def weights_bytes(model: ModelSpec, recipe: QuantRecipe) -> int:
    """Bytes of all weights as the recipe stores them; an embedding that is the head too is stored as the head."""
    recipe = recipe.of_model(model)
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
