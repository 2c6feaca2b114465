"""Hugging Face `config.json` (or a card in its words) -> `ModelSpec`; what cannot be modelled is named and refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.errors import ModelError, Problem
from sim.paths import find, is_path
from sim.workload.checkpoint import checkpoint_quantization
from sim.workload.model import AttentionSpec, DenseFfn, LayerSpec, ModelSpec, MoeFfn
from sim.yamlfile import Document, closest, load_file

DENSE = frozenset(
    {
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "Qwen3VLForConditionalGeneration",
    }
)
MOE = frozenset(
    {"MixtralForCausalLM", "Qwen3MoeForCausalLM", "GptOssForCausalLM", "Qwen3VLMoeForConditionalGeneration"}
)
WITHOUT_VISION = frozenset({"Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration"})
REASONS = {
    "Deepseek": "multi-head latent attention",
    "Kimi": "multi-head latent attention",
    "Llama4": "chunked attention and interleaved experts",
    "NemotronH": "Mamba2 layers",
    "Nemotron": "layers of unequal shape",
    "DeciLM": "layers of unequal shape",
    "Gemma": "mixed head sizes and shared keys",
    "Qwen3_5": "gated delta net layers",
    "Qwen3Next": "gated delta net layers",
}
KNOWN = frozenset(
    [
        "architectures",
        "attention_bias",
        "head_dim",
        "hidden_size",
        "intermediate_size",
        "layer_types",
        "max_position_embeddings",
        "max_window_layers",
        "model_type",
        "moe_intermediate_size",
        "num_attention_heads",
        "num_experts",
        "num_experts_per_tok",
        "num_hidden_layers",
        "num_key_value_heads",
        "num_local_experts",
        "quantization_config",
        "sliding_window",
        "tie_word_embeddings",
        "torch_dtype",
        "dtype",
        "use_sliding_window",
        "vocab_size",
        "text_config",
        "mlp_only_layers",
        "decoder_sparse_step",
        "experts_per_token",
        "mlp_bias",
        "sparksim",
        "aliases",
    ]
)
HARMLESS = frozenset(
    [
        "swiglu_limit",
        "router_aux_loss_coef",
        "output_router_logits",
        "initial_context_length",
        "hidden_act",
        "norm_topk_prob",
        "hidden_dropout",
        "router_jitter_noise",
        "vision_config",
        "image_token_id",
        "video_token_id",
        "vision_start_token_id",
        "vision_end_token_id",
    ]
)
STRUCTURAL = re.compile(r"expert|head|rank|latent|conv|ssm|moe|window|intermediate|mamba|linear_")
LIMITS = {
    "num_hidden_layers": 2048,
    "hidden_size": 2**20,
    "vocab_size": 2**24,
    "num_attention_heads": 2**14,
    "num_key_value_heads": 2**14,
    "head_dim": 2**14,
    "intermediate_size": 2**24,
    "moe_intermediate_size": 2**24,
    "num_experts": 2**16,
    "num_local_experts": 2**16,
    "num_experts_per_tok": 2**16,
    "experts_per_token": 2**16,
    "sliding_window": 2**31,
    "max_position_embeddings": 2**31,
    "decoder_sparse_step": 2**16,
    "max_window_layers": 2**16,
}


def load_model(
    ref: str | Path, *, search_dirs: Sequence[str | Path] = (), overrides: Mapping[str, str] | None = None
) -> ModelSpec:
    """The model that a name (card, Hugging Face id) or a path (config.json, its folder, a card) stands for.

    `overrides`: keys of the configuration, set before it is read.

    Raises:
        ModelError: unreadable, contradictory or not modelled; every problem with its line.
        InputError: no model of that name.
    """
    path = find("models", str(ref), search_dirs)
    if path.is_dir():
        path = path / "config.json"
        if not path.is_file():
            raise ModelError(Problem("this folder has no config.json", code="no_config", file=str(path.parent)))
    document = _document(path)
    config = dict(document.data)
    _override(config, overrides or {}, str(path))
    name = path.parent.name if path.name == "config.json" else re.sub(r"(_config)?\.\w+$", "", path.name)
    return _Importer(document, config, path, name, is_file=is_path(str(ref)), changes=overrides or {}).model()


def _document(path: Path) -> Document:
    try:
        document = load_file(path)
    except ModelError:
        raise
    except Exception as error:
        problems = getattr(error, "problems", None)
        if problems is None:
            raise
        raise ModelError(problems) from None
    if not isinstance(document.data, dict):
        raise ModelError(
            Problem(
                "a model configuration is a mapping of names to values", code="not_a_config", file=str(path), line=1
            )
        )
    if "producer" in document.data and "quantization" in document.data:
        raise ModelError(
            Problem(
                "this is a quantiser's file, not a model configuration",
                code="quantiser_file",
                file=str(path),
                line=1,
                hint="give the config.json beside it",
            )
        )
    return document


def _override(config: dict[str, Any], overrides: Mapping[str, str], file: str) -> None:
    problems = []
    for key, text in overrides.items():
        if key not in config and key not in KNOWN:
            guess = closest(key, sorted(KNOWN))
            hint = f"did you mean 'model.{guess}'?" if guess else None
            problems.append(
                Problem(f"unknown model field {key!r}", code="unknown_field", path=f"model.{key}", hint=hint)
            )
            continue
        try:
            config[key] = json.loads(text)
        except ValueError:
            config[key] = text
    if problems:
        raise ModelError(problems)


class _Importer:
    """Reads one configuration; collects every problem before it raises."""

    def __init__(
        self,
        document: Document,
        config: dict[str, Any],
        path: Path,
        name: str,
        *,
        is_file: bool,
        changes: Mapping[str, str],
    ) -> None:
        self._document = document
        self._whole = config
        self._path = path
        self._name = name
        self._is_file = is_file
        self._changes = changes
        self._problems: list[Problem] = []
        text = config.get("text_config")
        self._prefix: tuple[str, ...] = ("text_config",) if isinstance(text, dict) else ()
        self._config: dict[str, Any] = {**config, **text} if isinstance(text, dict) else config

    def model(self) -> ModelSpec:
        """The model, or every reason why not."""
        architecture = self._architecture()
        self._check_keys()
        layers = self._layers(architecture)
        hidden, vocab = self._number("hidden_size"), self._number("vocab_size")
        context = self._number("max_position_embeddings", default=131072)
        tied = self._flag("tie_word_embeddings", default=False)
        extra = self._whole.get("sparksim")
        card: dict[str, Any] = extra if isinstance(extra, dict) else {}
        quantization = checkpoint_quantization(self._whole, self._config, self._path, self._problems)
        skew = card.get("expert_skew")
        if skew is not None and (isinstance(skew, bool) or not isinstance(skew, int | float) or not 0 <= skew <= 10):
            self._refuse("sparksim", f"expert_skew must be a number from 0 to 10, not {skew!r}")
        dtype = self._dtype()
        self._raise()
        digest = hashlib.sha256(json.dumps(self._whole, sort_keys=True, default=str).encode()).hexdigest()[:16]
        notes = ("the vision tower is not modelled: text only",) if architecture in WITHOUT_VISION else ()
        return ModelSpec(
            self._name,
            str(card.get("title", self._name)),
            architecture,
            hidden,
            vocab,
            tuple(layers),
            tied,
            dtype,
            quantization,
            context,
            float(skew) if skew is not None else None,
            str(self._path.name),
            digest,
            notes,
        )

    def _refuse(self, key: str, message: str, *, code: str = "bad_config", hint: str | None = None) -> None:
        place = (*self._prefix, key) if self._prefix and key in self._whole.get(self._prefix[0], {}) else (key,)
        line = self._document.line_of(place)
        self._problems.append(
            Problem(message, code=code, file=str(self._path), line=line, path=".".join(place), hint=hint)
        )

    def _raise(self) -> None:
        if self._problems:
            raise ModelError(self._problems)

    def _architecture(self) -> str:
        given = self._whole.get("architectures", self._config.get("architectures"))
        if not isinstance(given, list) or not given or not isinstance(given[0], str):
            self._refuse("architectures", "must list the architecture, e.g. [LlamaForCausalLM]")
            self._raise()
        name = str(given[0])  # type: ignore[index]
        if name not in DENSE | MOE:
            reason = next(
                (why for start, why in REASONS.items() if name.startswith(start)),
                "an architecture that is not described yet",
            )
            hint = f"modelled: {', '.join(sorted(DENSE | MOE))}"
            self._refuse(
                "architectures", f"{name} is not modelled: {reason}", code="unsupported_architecture", hint=hint
            )
            self._raise()
        return name

    def _check_keys(self) -> None:
        for key, value in self._config.items():
            if key in KNOWN or key in HARMLESS or value in (None, False, [], {}) or not isinstance(key, str):
                continue
            if STRUCTURAL.search(key) and not key.startswith(("rope_", "attention_dropout")):
                self._refuse(key, f"{key} = {str(value)[:40]} is not modelled", code="unsupported_feature")

    def _number(self, key: str, *, default: int | None = None) -> int:
        value = self._config.get(key)
        if value is None and default is not None:
            return default
        limit = LIMITS.get(key, 2**31)
        if value is None:
            self._refuse(key, "is missing", code="missing_field")
        elif isinstance(value, bool) or not isinstance(value, int):
            self._refuse(key, f"must be a whole number, not {str(value)[:40]!r}")
        elif not 1 <= value <= limit:
            self._refuse(key, f"must be from 1 to {limit}, not {value}")
        else:
            return value
        return 1

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._config.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._refuse(key, f"must be true or false, not {str(value)[:40]!r}")
            return default
        return value

    def _dtype(self) -> str:
        value = (
            self._config.get("torch_dtype", self._config.get("dtype")) or self._whole.get("torch_dtype") or "bfloat16"
        )
        names = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
        if value not in names:
            self._refuse("torch_dtype", f"must be one of {', '.join(names)}, not {str(value)[:40]!r}")
        return names.get(str(value), "bf16")

    def _layers(self, architecture: str) -> list[LayerSpec]:
        count = self._number("num_hidden_layers")
        heads = self._number("num_attention_heads")
        kv_heads = self._number("num_key_value_heads", default=heads)
        head_dim = self._number("head_dim", default=max(1, self._number("hidden_size") // heads))
        if heads % kv_heads:
            self._refuse("num_key_value_heads", f"{heads} heads cannot share {kv_heads} key-value heads evenly")
        is_qwen2, is_oss = architecture.startswith("Qwen2"), architecture.startswith("GptOss")
        bias = self._flag("attention_bias", default=is_qwen2)
        windows = self._windows(count)
        if self._problems:
            return []
        attentions = {
            window: AttentionSpec(
                heads,
                kv_heads,
                head_dim,
                window,
                bias or is_qwen2,
                bias and not is_qwen2,
                architecture.startswith("Qwen3"),
                is_oss,
            )
            for window in set(windows)
        }
        return [
            LayerSpec(attentions[windows[index]], self._ffn(architecture, index))
            for index in range(count)
            if not self._problems
        ]

    def _windows(self, count: int) -> list[int | None]:
        """The window of each layer, None = full attention."""
        size = self._config.get("sliding_window")
        types = self._config.get("layer_types")
        if size is not None:
            size = self._number("sliding_window")
        if types is not None:
            known = {"sliding_attention", "full_attention"}
            if not isinstance(types, list) or not all(isinstance(t, str) for t in types):
                self._refuse("layer_types", "must be a list of names")
                return [None] * count
            if unknown := sorted({t for t in types if t not in known}):
                self._refuse("layer_types", f"{', '.join(unknown)} layers are not modelled", code="unsupported_feature")
            elif len(types) != count and "num_hidden_layers" not in self._changes:
                self._refuse("layer_types", f"lists {len(types)} layers, num_hidden_layers says {count}")
            if not types or self._problems:
                return [None] * count
            return [size if types[i % len(types)] == "sliding_attention" else None for i in range(count)]
        is_used = self._flag("use_sliding_window", default=size is not None)
        if size is None or not is_used:
            return [None] * count
        first = self._number("max_window_layers", default=1) if "max_window_layers" in self._config else 0
        return [size if index >= first else None for index in range(count)]

    def _ffn(self, architecture: str, index: int) -> DenseFfn | MoeFfn:
        if architecture in DENSE:
            return DenseFfn(self._number("intermediate_size"), bias=self._flag("mlp_bias", default=False))
        skipped = self._config.get("mlp_only_layers") or []
        if not isinstance(skipped, list):
            self._refuse("mlp_only_layers", "must be a list of layer numbers")
            skipped = []
        if index in skipped or (index + 1) % self._number("decoder_sparse_step", default=1):
            return DenseFfn(self._number("intermediate_size"))
        experts = self._number("num_experts" if "num_experts" in self._config else "num_local_experts")
        top_k = self._number("num_experts_per_tok" if "num_experts_per_tok" in self._config else "experts_per_token")
        if top_k > experts:
            self._refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {experts} experts")
        width = self._number(
            "moe_intermediate_size" if "moe_intermediate_size" in self._config else "intermediate_size"
        )
        is_oss = architecture.startswith("GptOss")
        return MoeFfn(experts, top_k, width, 0, is_oss, is_oss)
