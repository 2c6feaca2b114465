"""The keys of one model configuration: read with their type and a sane size, every problem kept with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from sim.errors import ModelError, Problem
from sim.workload.architecture import FLAGS, KNOWN, LIMITS
from sim.yamlfile import Document, closest

MAY_BE_ZERO = frozenset({"max_window_layers"})
MAY_BE_NONE = frozenset({"num_experts", "num_local_experts", "num_experts_per_tok"})
"""Numbers that dense models of a family with experts give as 0; where there must be experts, readers refuse that."""
_FACTOR = re.compile(r"x\s*([0-9]+(?:\.[0-9]+)?)", re.ASCII)


class ConfigFields:
    """A configuration with the overrides applied; `whole` as in the file, `text` with a nested `text_config` on top."""

    def __init__(self, document: Document, overrides: Mapping[str, str]) -> None:
        self._document = document
        self._changes = overrides
        self._wrong: set[str] = set()
        self.problems: list[Problem] = []
        nested = document.data.get("text_config")
        self._nested: Mapping[str, Any] = nested if isinstance(nested, dict) else {}
        changed = self._changed({**document.data, **self._nested})
        self.whole: dict[str, Any] = {**document.data, **changed}
        self.text: dict[str, Any] = {**document.data, **self._nested, **changed}
        if nested is not None and not isinstance(nested, dict):
            self.refuse("text_config", f"must be a mapping of names to values, not {_shown(nested)}")

    def check(self, per_layer: Collection[str] = ()) -> None:
        """Look at every number and flag, also at those that this architecture does not need.

        `per_layer`: numbers that may be a list of one for each layer, which the family's reader looks at.
        """
        for key in LIMITS:
            value = self.text.get(key)
            has_none = value == 0 and type(value) is int and key in MAY_BE_NONE
            if not has_none and not (key in per_layer and isinstance(value, list)):
                self.number(key, default=1)
        for key in FLAGS:
            self.flag(key, default=False)

    def refuse(self, key: str, message: str, *, code: str = "bad_config", hint: str | None = None) -> None:
        """Keep a problem with `key`, once; it stands where the key's value comes from: the file, or an override."""
        if key in self._wrong:
            return
        self._wrong.add(key)
        if key in self._changes:
            self.problems.append(Problem(message, code=code, path=f"model.{key}", hint=hint))
            return
        is_nested = key in self._nested and not (key == "architectures" and key in self._document.data)
        place = ("text_config", key) if is_nested else (key,)
        line = self._document.line_of(place)
        path = ".".join(place)
        self.problems.append(Problem(message, code=code, file=self._document.file, line=line, path=path, hint=hint))

    def raise_problems(self) -> None:
        """Raise when there is any problem.

        Raises:
            ModelError: every problem so far.
        """
        if self.problems:
            raise ModelError(sorted(self.problems, key=lambda problem: (problem.file or "", problem.line or 0)))

    def default(self, values: Mapping[str, Any]) -> None:
        """Give the keys that the configuration leaves out the values of its family."""
        self.text |= {key: value for key, value in values.items() if self.text.get(key) is None}

    def given(self, key: str, other: str) -> str:
        """The one of two spellings that the configuration has."""
        return key if self.text.get(key) is not None or self.text.get(other) is None else other

    def is_changed(self, key: str) -> bool:
        """Whether an override set `key`."""
        return key in self._changes

    def number(self, key: str, *, default: int | None = None) -> int:
        """A whole number of a sane size; 1 where it is not (the problem is kept)."""
        value = self.text.get(key)
        if value is None and default is not None:
            return default
        limit, least = LIMITS.get(key, 2**31), 0 if key in MAY_BE_ZERO else 1
        if value is None:
            self.refuse(key, "is missing", code="missing_field")
        elif isinstance(value, bool) or not isinstance(value, int):
            self.refuse(key, f"must be a whole number, not {_shown(value)}")
        elif not least <= value <= limit:
            self.refuse(key, f"must be from {least} to {limit:,}, not {value}")
        else:
            return value
        return 1

    def count(self, key: str) -> int:
        """A number that may be left out, null or zero, which are the same."""
        return self.number(key) if self.text.get(key) else 0

    def names(self, key: str, count: int, known: Collection[str]) -> list[str]:
        """A name for each of `count` layers, all of them known; empty where there is no such list (a problem)."""
        given = self.text.get(key)
        if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
            self.refuse(key, f"must be a list of {', '.join(sorted(known))}")
        elif unknown := sorted(set(given) - set(known)):
            self.refuse(key, f"{', '.join(unknown)[:80]} layers are not modelled", code="unsupported_feature")
        elif len(given) < count and not self.is_changed("num_hidden_layers"):
            self.refuse(key, f"lists {len(given)} layers, num_hidden_layers says {count}")
        else:
            return [given[index % len(given)] for index in range(count)]
        return []

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.text.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, not {_shown(value)}")
            return default
        return value

    def _changed(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What the overrides set; a factor (`x2`) multiplies what is there."""
        changed: dict[str, Any] = {}
        for key, text in self._changes.items():
            if key not in config and key not in KNOWN:
                guess = closest(key, sorted(KNOWN))
                hint = f"did you mean 'model.{guess}'?" if guess else "fields: " + ", ".join(sorted(KNOWN))
                message = f"unknown model field {key[:60]!r}"
                self.problems.append(Problem(message, code="unknown_field", path=f"model.{key[:60]}", hint=hint))
                continue
            changed[key] = _value(text, config.get(key))
        return changed


def _value(text: str, current: Any) -> Any:
    factor = _FACTOR.fullmatch(text.strip())
    if factor and isinstance(current, int | float) and not isinstance(current, bool):
        product = current * float(factor[1])
        return int(product) if product == int(product) else product
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return str(value).lower() if isinstance(value, bool) else repr(value)[:60]
