"""Hugging Face `config.json` (or a card in its words) -> `ModelSpec`; what cannot be modelled is named and refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from sim.errors import InputError, ModelError, Problem
from sim.paths import find
from sim.workload.architecture import (
    DENSE,
    EXPERT_KEYS,
    HARMLESS,
    KNOWN,
    MODELLED,
    MOE,
    MOST_PARAMETERS,
    PER_LAYER,
    REASONS,
    STRUCTURAL,
    WITHOUT_VISION,
)
from sim.workload.checkpoint import checkpoint_quantization
from sim.workload.config_fields import ConfigFields
from sim.workload.family.readers import keys_of, reader_of
from sim.workload.gguf_model import FORMATS_KEY, gguf_config
from sim.workload.model import ModelSpec, Quantization
from sim.yamlfile import Document, closest, load_file

DTYPES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
CARD_KEYS = frozenset({"title", "source", "parameters", "expert_skew"})
CONTENTS = ("text", "random_tokens", "mixed_text")
"""What a batch is made of: texts that are alike, the random tokens of llama-bench, which crowd the same experts, or
requests that have nothing to do with each other, as users send them to a server."""
TYPICAL_SKEW = {"text": 1.4, "random_tokens": 2.1, "mixed_text": 0.7}
"""Where no card says one: the middle of those measured (text: Qwen3 0.6, Qwen3.6 1.4, gpt-oss 2.3 and 2.8). mixed_text:
one number for Gemma 4, gpt-oss-20b, Nemotron 3 Nano and Qwen3.6 in three formats: steps of 25 sequences in
django-arena's servers within 3.5 % in the mean, which with 1.4 would be 10 to 29 % too fast."""
_OF_CARDS = CONTENTS[:2]
"""Those that a card must give where it gives them one by one."""
_TYPO = 0.85


def load_model(
    ref: str | Path,
    *,
    search_dirs: Sequence[str | Path] = (),
    overrides: Mapping[str, str] | None = None,
    content: str = "text",
) -> ModelSpec:
    """The model that a name (card, Hugging Face id) or a path (config.json, its folder, a card) stands for.

    `overrides`: keys of the configuration, set before it is read; "x2" multiplies. `content`: one of `CONTENTS`, the
    class of the prompts, whose routing skew is taken where the card gives one for each.

    Raises:
        ModelError: unreadable, contradictory or not modelled; every problem with its line.
        InputError: no model of that name.
    """
    if content not in CONTENTS:
        hint = f"one of {', '.join(CONTENTS)}"
        raise InputError(
            [Problem(f"unknown content '{content[:40]}'", "bad_override", path="workload.content", hint=hint)]
        )
    path = find("models", str(ref), search_dirs)
    if path.is_dir():
        path = path / "config.json"
        if not path.is_file():
            raise ModelError(Problem("this folder has no config.json", code="no_config", file=str(path.parent)))
    document = _document(path)
    name = path.resolve().parent.name if path.name == "config.json" else re.sub(r"(_config)?\.\w+$", "", path.name)
    return _Importer(ConfigFields(document, overrides or {}), path, name, content).model()


def _document(path: Path) -> Document:
    if path.suffix.lower() == ".gguf":
        return Document(gguf_config(path), str(path), lambda: 0)
    try:
        document = load_file(path, has_words=True)  # time_step_limit of Mamba2: [0.0, Infinity]
    except InputError as error:
        raise ModelError(error.problems) from None
    data = document.data
    if not isinstance(data, dict):
        message = "a model configuration is a mapping of names to values"
        raise ModelError(Problem(message, code="not_a_config", file=str(path), line=1))
    if "quantization" in data and "architectures" not in data and "hidden_size" not in data:
        message, hint = "this is a quantiser's file, not a model configuration", "give the config.json beside it"
        raise ModelError(Problem(message, code="quantiser_file", file=str(path), line=1, hint=hint))
    return document


class _Importer:
    """Reads one configuration; collects every problem before it raises."""

    def __init__(self, fields: ConfigFields, path: Path, name: str, content: str) -> None:
        self._fields = fields
        self._path = path
        self._name = name
        self._content = content

    def model(self) -> ModelSpec:
        """The model, or every reason why not."""
        fields = self._fields
        architecture = self._architecture()
        fields.check(PER_LAYER.get(architecture, ()))
        self._check_keys(architecture)
        card = self._card()
        body = reader_of(architecture)(fields, architecture)
        hidden, vocab = fields.number("hidden_size"), fields.number("vocab_size")
        dtype = self._dtype()
        quantization = self._quantization()
        fields.raise_problems()
        digest = hashlib.sha256(json.dumps(fields.whole, sort_keys=True, default=str).encode()).hexdigest()[:16]
        model = ModelSpec(
            self._name,
            str(card.get("title", self._name)),
            architecture,
            hidden,
            vocab,
            body.layers,
            fields.flag("tie_word_embeddings", default=False),
            dtype,
            quantization,
            fields.number("max_position_embeddings", default=131072),
            self._skew(card.get("expert_skew")),
            str(self._path),
            digest,
            ("the vision tower is not modelled: text only",) if architecture in WITHOUT_VISION else (),
            body.is_embedding_scaled,
            body.has_logit_cap,
            body.drafter,
            body.extra,
        )
        self._check_parameters(model, card.get("parameters"))
        return model

    def _quantization(self) -> Quantization | None:
        """What the files say of the formats of the weights."""
        fields = self._fields
        if FORMATS_KEY in fields.whole:
            return Quantization("gguf", "the file's tensors", tensors=tuple(fields.whole[FORMATS_KEY]))
        return checkpoint_quantization(fields.whole, fields.text, self._path, self._name, fields.problems)

    def _architecture(self) -> str:
        fields = self._fields
        given = fields.whole.get("architectures", fields.text.get("architectures"))
        if not isinstance(given, list) or not given or not isinstance(given[0], str):
            fields.refuse("architectures", "must list the architecture, e.g. [LlamaForCausalLM]")
            fields.raise_problems()
        name = str(given[0])  # type: ignore[index]
        if name not in MODELLED:
            why = next((why for start, why in REASONS.items() if name.startswith(start)), "it is not described yet")
            hint = f"modelled: {', '.join(sorted(MODELLED))}"
            message = f"{name[:80]} is not modelled: {why}"
            fields.refuse("architectures", message, code="unsupported_architecture", hint=hint)
            fields.raise_problems()
        return name

    def _check_keys(self, architecture: str) -> None:
        """Every key is read, known to change nothing, or refused where it may say something about the layers."""
        for key, value in self._fields.text.items():
            if key in HARMLESS or value in (None, False, [], {}) or (value == 0 and not isinstance(value, float)):
                continue
            if key in EXPERT_KEYS and architecture in DENSE and not (key == "decoder_sparse_step" and value == 1):
                self._fields.refuse(key, f"{architecture} has no experts", code="unsupported_feature")
            elif key == "mlp_bias" and architecture in MOE:
                self._fields.refuse(key, f"{architecture} has no such bias", code="unsupported_feature")
            elif key in KNOWN or key in keys_of(architecture):
                continue
            elif STRUCTURAL.search(key) and not key.startswith(("rope_", "attention_dropout")):
                self._fields.refuse(key, f"is not modelled ({str(value)[:40]})", code="unsupported_feature")
            elif (guess := closest(key, sorted(KNOWN), _TYPO)) and guess not in self._fields.text:
                self._fields.refuse(key, f"unknown field '{key[:60]}'; did you mean '{guess}'?", code="unknown_field")

    def _card(self) -> dict[str, Any]:
        """What a card of ours says besides the configuration."""
        fields = self._fields
        card = fields.whole.get("sparksim", {})
        if not isinstance(card, dict):
            fields.refuse("sparksim", "must be a mapping: title, source, parameters, expert_skew")
            return {}
        for key in sorted(set(card) - CARD_KEYS):
            guess = closest(key, CARD_KEYS)
            mended = f"did you mean '{guess}'?" if guess else f"fields: {', '.join(sorted(CARD_KEYS))}"
            fields.refuse("sparksim", f"unknown field '{key[:60]}'", code="unknown_field", hint=mended)
        parameters = card.get("parameters")
        if parameters is not None and (isinstance(parameters, bool) or not isinstance(parameters, int)):
            fields.refuse("sparksim", f"parameters must be a whole number, not {str(parameters)[:40]!r}")
        return card

    def _skew(self, said: Any) -> float | None:
        """The routing skew for this content: one number for every content, or one for each."""
        of_each = said if isinstance(said, dict) else dict.fromkeys(_OF_CARDS, said)
        if not set(_OF_CARDS) <= set(of_each) <= set(CONTENTS):
            self._fields.refuse("sparksim", f"expert_skew must be a number, or one for each of {', '.join(CONTENTS)}")
            return None
        for skew in of_each.values():
            if skew is not None and not (_is_number(skew) and 0 <= skew <= 10):
                self._fields.refuse("sparksim", f"expert_skew must be a number from 0 to 10, not {str(skew)[:40]!r}")
                return None
        skew = of_each.get(self._content)
        if skew is not None:
            return float(skew)
        typical = TYPICAL_SKEW[self._content]
        of_text = of_each["text"]
        # Requests that have nothing in common are no more alike than those that have.
        return typical if of_text is None or self._content != "mixed_text" else min(typical, float(of_text))

    def _check_parameters(self, model: ModelSpec, said: int | None) -> None:
        """The dimensions against what the card says, and against what is sane."""
        fields, count = self._fields, model.parameter_count()
        if count > MOST_PARAMETERS:
            message = f"these sizes make {count:.2e} parameters; at most {MOST_PARAMETERS:.0e} are taken"
            fields.refuse("hidden_size", message, code="too_large")
        if said is not None and said != count and not any(map(fields.is_changed, fields.text)):
            fields.refuse("sparksim", f"says {said:,} parameters, but the dimensions make {count:,}")
        fields.raise_problems()

    def _dtype(self) -> str:
        fields = self._fields
        key = next((key for key in ("torch_dtype", "dtype") if fields.text.get(key) is not None), "torch_dtype")
        value = fields.text.get(key, "bfloat16")
        if not isinstance(value, str) or value not in DTYPES:
            fields.refuse(key, f"must be one of {', '.join(DTYPES)}, not {str(value)[:40]!r}")
            return "bf16"
        return DTYPES[value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
