"""Reading hardware files and what they extend into one description: a tree of components and a list of links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sim.errors import InputError, Problem, SpecError
from sim.hwspec.tree import Branch, Leaf, merge, read_tree
from sim.paths import find
from sim.yamlfile import KINDS, Document, load_yaml, problems_of

SCHEMA = "sparksim.hardware/1"
_LINK = re.compile(r"\s*([A-Za-z_]\w*)\.([A-Za-z_]\w*)\s*->\s*([A-Za-z_]\w*)\.([A-Za-z_]\w*)\s*", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MOST_EXTENDED = 16


@dataclass(frozen=True, slots=True)
class Link:
    """`source` ("l2.memory") asks, `target` ("c2c.gpu") answers."""

    source: str
    target: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


@dataclass(frozen=True, slots=True)
class Description:
    """What the `files` say, merged, not yet checked against the types of the components."""

    name: str
    title: str
    aliases: tuple[str, ...]
    components: dict[str, Branch]
    links: tuple[Link, ...]
    file: str
    files: tuple[str, ...] = ()


class _File(BaseModel):
    """The top level of a hardware file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["sparksim.hardware/1"] = Field(alias="schema")
    name: str | None = None
    title: str | None = None
    aliases: tuple[str, ...] = ()
    extends: str | tuple[str, ...] = ()
    source: str | None = None
    kind: Literal["vendor", "measured", "derived", "assumed", "calibrated"] | None = None
    components: dict[str, dict[str, Any]] = {}
    links: tuple[str, ...] = ()


def describe(path: Path, search_dirs: Sequence[str | Path], problems: list[Problem]) -> Description:
    """The description in `path` and everything it extends; what is wrong is appended to `problems`.

    Raises:
        SpecError: a file cannot be read at all.
    """
    return _describe(path, tuple(search_dirs), problems, ())


def _describe(
    path: Path, dirs: tuple[str | Path, ...], problems: list[Problem], above: tuple[Path, ...]
) -> Description:
    document = load_yaml(path)
    top = _top(document, problems)
    base = Description(path.stem, "", (), {}, (), document.file)
    chain = (*above, path.resolve())
    for reference in _references(top):
        found = _find_base(reference, path, document, dirs, problems, chain)
        if found is not None:
            over = _describe(found, dirs, problems, chain)
            base = _merged(base, over.components, over.links, problems)
            base = replace(base, title=over.title, files=(*base.files, *over.files))
    base = _merged(base, _components(document, top, problems), _links(document, top, problems), problems)
    return replace(
        base,
        name=_text(top.get("name"), path.stem),
        title=_text(top.get("title"), base.title),
        aliases=tuple(each for each in _list(top.get("aliases")) if isinstance(each, str)),
        file=document.file,
        files=(*base.files, document.file),
    )


def _top(document: Document, problems: list[Problem]) -> dict[str, Any]:
    """The top level as a mapping; its problems noted, so that the rest is still looked at."""
    try:
        _File.model_validate(document.data)
    except ValidationError as exc:
        problems += problems_of(exc, _File, document.data, lambda place: (document.file, document.line_of(place)))
    if not isinstance(document.data, dict):
        raise SpecError(problems)
    return document.data


def _references(top: dict[str, Any]) -> list[str]:
    extends = top.get("extends")
    listed = [extends] if isinstance(extends, str) else _list(extends)
    return [each for each in listed if isinstance(each, str)]


def _find_base(
    reference: str,
    path: Path,
    document: Document,
    dirs: tuple[str | Path, ...],
    problems: list[Problem],
    chain: tuple[Path, ...],
) -> Path | None:
    """The file that `extends` means; None (and a problem) if there is none, or it leads back to where we are."""
    line = document.line_of(("extends",))
    try:
        is_relative = reference.startswith(("./", "../"))
        found = path.parent / reference if is_relative else find("hardware", reference, dirs)
        cause = None if found.is_file() else Problem("no such file")
    except InputError as exc:
        cause = exc.problems[0]
    except (OSError, ValueError):
        cause = Problem("no such file")
    if cause is not None:
        message = cause.message if reference[:80] in cause.message else f"'{reference[:80]}': {cause.message}"
        problems.append(Problem(message, "bad_extends", document.file, line, "extends", cause.hint))
        return None
    if found.resolve() in chain or len(chain) >= _MOST_EXTENDED:
        reason = "leads back to this file" if found.resolve() in chain else f"is more than {_MOST_EXTENDED} files deep"
        problems.append(Problem(f"'{reference}' {reason}", "bad_extends", document.file, line, "extends"))
        return None
    return found


def _merged(
    base: Description, components: dict[str, Branch], links: tuple[Link, ...], problems: list[Problem]
) -> Description:
    """`base` with components merged in and links appended; a component of another type takes the old one's place."""
    merged = dict(base.components)
    for name, branch in components.items():
        old = merged.get(name)
        given, known = type_of(branch), type_of(old) if old else None
        if given is None and known is None:
            problems.append(Problem("has no 'type'", "missing_field", branch.file, branch.line, f"components.{name}"))
            continue
        is_other = old is None or (given is not None and given != known)
        node = branch if is_other or old is None else merge(old, branch)
        merged[name] = node if isinstance(node, Branch) else branch
    ends = {(link.source, link.target) for link in base.links}
    added = tuple(link for link in links if (link.source, link.target) not in ends)
    return replace(base, components=merged, links=(*base.links, *added))


def type_of(branch: Branch) -> str | None:
    """The `type:` of a component."""
    leaf = branch.parts.get("type")
    return leaf.value if isinstance(leaf, Leaf) and isinstance(leaf.value, str) else None


def _components(document: Document, top: dict[str, Any], problems: list[Problem]) -> dict[str, Branch]:
    """The components that this file itself describes."""
    found: dict[str, Branch] = {}
    listed = top.get("components")
    source, kind = top.get("source"), top.get("kind")
    for name in listed if isinstance(listed, dict) else ():
        node = read_tree(document, ("components", name), source, kind if kind in KINDS else None)
        if not isinstance(node, Branch) or node.is_list:
            continue
        if not _NAME.fullmatch(name):
            message = f"'{name[:60]}' is not a name: letters, digits and _, a letter first"
            problems.append(Problem(message, "bad_value", node.file, node.line, "components"))
            continue
        found[name] = node
    return found


def _links(document: Document, top: dict[str, Any], problems: list[Problem]) -> tuple[Link, ...]:
    found: list[Link] = []
    for index, text in enumerate(_list(top.get("links"))):
        line = document.line_of(("links", index))
        match = _LINK.fullmatch(text) if isinstance(text, str) else None
        if match is not None:
            found.append(Link(f"{match[1]}.{match[2]}", f"{match[3]}.{match[4]}", document.file, line))
        elif isinstance(text, str):
            message = f"'{text[:60]}' is not a link, e.g. 'l2.memory -> c2c.gpu'"
            problems.append(Problem(message, "bad_link", document.file, line, f"links.{index}"))
    return tuple(found)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any, default: str) -> str:
    return value if isinstance(value, str) and value else default
