"""Plain data to YAML that our own loader reads back unchanged."""

from __future__ import annotations

from typing import Any

import yaml

from sim.yamlfile.yaml_text import resolve_scalar


def dump_yaml(data: Any) -> str:
    """`data` (dict, list, str, int, float, bool, None) as YAML, in its own order."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=118))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """PyYAML's writer, without aliases, and with quotes where our reader would see something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never write an alias: the loader refuses them."""
        return True


def _write_text(dumper: Any, text: str) -> Any:
    try:
        is_text = resolve_scalar(text) == text and isinstance(resolve_scalar(text), str)
    except ValueError:
        is_text = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text else "'")


_Dumper.add_representer(str, _write_text)
