"""Where a name's file is: each `--spec-dir`, then `$SPARKSIM_PATH`, then the data that ships with the package.

Names ignore case and treat `-`, `_`, `.`, `/` and space alike. A card may carry `aliases:` (Hugging Face ids, say);
file names are tried first, and cards are opened for their aliases only when no file name fits.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from sim.errors import InputError, Problem, SpecError
from sim.yamlfile import load_yaml_text

FOLDERS: dict[str, str] = {
    "hardware": "hwspecs",
    "measurements": "workloads/measurements",
    "models": "workloads/models",
    "ops": "workloads/ops",
    "quants": "workloads/quants",
    "runtimes": "workloads/runtimes",
    "scenarios": "workloads/scenarios",
    "studies": "workloads/studies",
    "traces": "workloads/traces",
}
"""The folder of each kind of file, within every place that is searched."""

_NOT_CARDS = {"quants": frozenset({"formats"})}
"""Files of a folder that are about the others."""

_SUFFIXES = (".yaml", ".yml", ".json", ".jsonl", ".gguf")
_CARDS = (".yaml", ".yml")
_DATA = (".json", ".jsonl", ".csv")
_SEPARATORS = re.compile(r"[-_./\s]+")
_ALIASES = re.compile(r"^aliases:.*(?:\n(?:[ \t-].*|[ \t]*|\].*)$)*", re.MULTILINE)
_MOST_SHOWN = 40
_FRESH_NS = 2_000_000_000
"""A folder that changed less long ago may change again without its time of change telling."""


def is_path(argument: str) -> bool:
    """Whether an argument is a path: it has a separator, ends like a data file, or is a folder. Else it is a name."""
    if any(separator in argument for separator in (os.sep, os.altsep) if separator):
        return True
    return argument.lower().endswith(_SUFFIXES) or os.path.isdir(argument)  # noqa: PTH112 - Path() may refuse the text


def normalize(name: str) -> str:
    """The form in which names are compared."""
    return _SEPARATORS.sub("-", name.casefold()).strip("-")


def search_path(search_dirs: Sequence[str | Path] = ()) -> list[Path]:
    """The folders that are searched, first one first.

    Raises:
        InputError: one of them is not there: a typing error would otherwise go unseen.
    """
    listed = [part for part in os.environ.get("SPARKSIM_PATH", "").split(os.pathsep) if part]
    given = [("--spec-dir", str(folder)) for folder in search_dirs] + [("SPARKSIM_PATH", part) for part in listed]
    wrong = [
        Problem(f"there is no folder '{folder[:200]}'", "no_such_folder", path=origin)
        for origin, folder in given
        if not os.path.isdir(folder)  # noqa: PTH112 - Path() may refuse the text
    ]
    if wrong:
        raise InputError(wrong)
    return [*(Path(folder) for _, folder in given), shipped_data()]


def shipped_data() -> Path:
    """The folder with our `hwspecs/` and `workloads/`: inside the package of a wheel, else the checkout."""
    package = Path(__file__).parent
    data = package / "_data"
    return data if data.is_dir() else package.parent


def is_shipped(file: str | Path) -> bool:
    """Whether a file is one of the data that ship."""
    path, data = Path(file).absolute(), shipped_data()
    return any(path.is_relative_to(data / folder) for folder in FOLDERS.values())


def find(kind: str, name: str, search_dirs: Sequence[str | Path] = ()) -> Path:
    """The file (or folder) that `name`, a name or a path, stands for.

    `kind`: a key of `FOLDERS`. What looks like a path but is not there may still be a name: a Hugging Face id.

    Raises:
        InputError: nothing of that name; says what is like it and what there is.
    """
    if is_path(name):
        try:
            if Path(name).exists() or Path(name).is_symlink():  # a link to nowhere is told by who reads it
                return Path(name)
        except (OSError, ValueError):
            pass
    wanted = normalize(name)
    roots = search_path(search_dirs)
    for stem, path in _cards(kind, roots):
        if normalize(stem) == wanted:
            return path
    for _, path in _cards(kind, roots):
        if wanted in map(normalize, aliases_of(path)):
            return path
    raise InputError(_not_found(kind, name, roots))


def available(kind: str, search_dirs: Sequence[str | Path] = ()) -> list[str]:
    """The names that `find` knows without aliases, sorted."""
    return sorted(files(kind, search_dirs))


def files(kind: str, search_dirs: Sequence[str | Path] = ()) -> dict[str, Path]:
    """The file of each name that `available` gives: the first of those that are searched."""
    found = {normalize(stem): (stem, path) for stem, path in reversed(list(_cards(kind, search_path(search_dirs))))}
    return dict(found.values())


def aliases_of(path: Path) -> list[str]:
    """The `aliases:` of a card; none where it cannot be read (whoever loads the card will say why)."""
    try:
        return list(_aliases_of(path, path.stat().st_mtime_ns))
    except OSError:
        return []


@cache
def _aliases_of(path: Path, _changed: int) -> tuple[str, ...]:
    if path.suffix not in _CARDS:
        return ()
    try:
        found = _ALIASES.search(path.read_text(encoding="utf-8"))
        listed = load_yaml_text(found[0]).data["aliases"] if found else ()
    except (OSError, ValueError, SpecError):
        return ()
    return tuple(str(alias) for alias in listed) if isinstance(listed, (list, tuple)) else ()


def _cards(kind: str, roots: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """(name, file) of a kind, in the order in which they are searched; cards before plain data."""
    skipped = _NOT_CARDS.get(kind, frozenset())
    for root in roots:
        files = _files_in(root / FOLDERS[kind])
        for suffixes in (_CARDS, _DATA):
            for path in files:
                stem = path.stem.removesuffix("_config")
                if path.suffix in suffixes and not path.stem.endswith("hf_quant_config") and stem not in skipped:
                    yield stem, path


def _files_in(folder: Path) -> tuple[Path, ...]:
    """The files of a folder, sorted; read again when it changed, and while its last change is too fresh to tell."""
    try:
        changed = folder.stat().st_mtime_ns
        return (_listed if time.time_ns() - changed > _FRESH_NS else _listed.__wrapped__)(folder, changed)
    except OSError:
        return ()


@cache
def _listed(folder: Path, _changed: int) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.iterdir() if not path.name.startswith(".")))


def _not_found(kind: str, name: str, roots: Sequence[Path]) -> Problem:
    noun = kind.removesuffix("s") if kind != "studies" else "study"
    if is_path(name) and (name.lower().endswith(_SUFFIXES) or name.startswith((".", os.sep, "~"))):
        return Problem("no such file", "no_such_file", file=name)
    cards = list(_cards(kind, roots))
    names = sorted({stem for stem, _ in cards})
    known = {normalize(spelling): (spelling, path) for stem, path in cards for spelling in (*aliases_of(path), stem)}
    near = [known[each] for each in get_close_matches(normalize(name)[:80], known, 4, 0.6)]
    guesses = list({path: repr(spelling) for spelling, path in reversed(near)}.values())[::-1]
    shown = names[:_MOST_SHOWN] + (["..."] if len(names) > _MOST_SHOWN else [])
    listing = f"there are: {', '.join(shown)}" if names else f"no {noun} is described here"
    mended = f"did you mean {' or '.join(guesses)}? " if guesses else ""
    return Problem(f"unknown {noun} '{name[:80]}'", f"unknown_{noun}", hint=mended + listing)
