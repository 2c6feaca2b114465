"""A hardware file as a tree whose leaves know their source, file and line: what is merged, overridden and shown.

A leaf is `sms: 48` (source and kind from the mapping, component or file around it) or the long form
`{value: 48, source: "...", kind: vendor}`. In every mapping `source` and `kind` are defaults for what is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sim.yamlfile import Document, Key

LONG_FORM = ("value", "source", "kind", "range", "date", "records")
_DEFAULTS = ("source", "kind")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value as written, and where it comes from. `was`: what an override replaced, as text."""

    value: Any
    source: str | None = None
    kind: str | None = None
    range: tuple[Any, ...] | None = None
    date: Any = None
    records: Any = None
    file: str | None = None
    line: int | None = None
    was: str | None = None
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """A mapping, or a list (keys "0", "1", ...)."""

    parts: dict[str, Leaf | Branch] = field(default_factory=dict)
    is_list: bool = False
    file: str | None = None
    line: int | None = None


Node = Leaf | Branch


def read_tree(document: Document, path: Sequence[Key], source: Any = None, kind: Any = None) -> Node:
    """The tree at `path` of a document; `source` and `kind` are the defaults from around it."""
    value = document.at(path)
    line = document.line_of(path)
    if isinstance(value, dict) and "value" in value:
        bounds = value.get("range")
        return Leaf(
            value["value"],
            value.get("source", source),
            value.get("kind", kind),
            tuple(bounds) if isinstance(bounds, list) else None if bounds is None else (bounds,),
            value.get("date"),
            value.get("records"),
            document.file,
            line,
            extra=tuple(name for name in value if name not in LONG_FORM),
        )
    if isinstance(value, dict):
        source, kind = value.get("source", source), value.get("kind", kind)
        inner = {name: read_tree(document, (*path, name), source, kind) for name in value if name not in _DEFAULTS}
        return Branch(inner, False, document.file, line)
    if isinstance(value, list):
        items = {str(index): read_tree(document, (*path, index), source, kind) for index in range(len(value))}
        return Branch(items, True, document.file, line)
    return Leaf(value, source, kind, file=document.file, line=line)


def merge(base: Node, over: Node) -> Node:
    """`base` with the parts of `over` on top. A list or a value replaces what was there."""
    if not isinstance(base, Branch) or not isinstance(over, Branch) or base.is_list or over.is_list:
        return over
    parts = dict(base.parts)
    for name, node in over.parts.items():
        parts[name] = merge(parts[name], node) if name in parts else node
    return replace(over, parts=parts)


def plain(node: Node) -> Any:
    """The values alone."""
    if isinstance(node, Leaf):
        return node.value
    if node.is_list:
        return [plain(part) for part in node.parts.values()]
    return {name: plain(part) for name, part in node.parts.items()}


def node_at(node: Node, path: Sequence[Key]) -> Node | None:
    """The part at `path`, or None."""
    for key in path:
        inner = node.parts.get(str(key)) if isinstance(node, Branch) else None
        if inner is None:
            return None
        node = inner
    return node


def locate(node: Node, path: Sequence[Key]) -> tuple[str | None, int | None]:
    """File and line of `path`, or of the nearest part around it."""
    for key in path:
        inner = node.parts.get(str(key)) if isinstance(node, Branch) else None
        if inner is None:
            break
        node = inner
    return node.file, node.line


def with_leaf(node: Branch, path: Sequence[str], leaf: Leaf) -> Branch:
    """A copy in which `path` is `leaf`."""
    name, rest = path[0], path[1:]
    if not rest:
        return replace(node, parts=node.parts | {name: leaf})
    inner = node.parts.get(name)
    inner = inner if isinstance(inner, Branch) else Branch(file=node.file, line=node.line)
    return replace(node, parts=node.parts | {name: with_leaf(inner, rest, leaf)})


def leaves(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    """Every leaf with its path, in the order of the file."""
    if isinstance(node, Leaf):
        yield path, node
        return
    for name, part in node.parts.items():
        yield from leaves(part, (*path, name))
