"""Components from outside: registered classes, `--plugin` files, and the entry points of installed packages.

Their code is somebody else's: whatever it raises comes out as an error that names it, and what it answers is checked.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from math import isfinite
from pathlib import Path
from secrets import token_hex
from types import ModuleType

from sim.component import COMPONENTS, Component, spec_types
from sim.component.profile import Share
from sim.component.transfer import ACCESSES, Hop
from sim.errors import InputError, PluginError, Problem, SimError
from sim.hwspec import ComponentSpec, HardwareSpec
from sim.hwspec import load_hardware as load_with_types
from sim.result.trace import CAUSES
from sim.workload.op import Op

GROUP = "sparksim.plugins"
PLUGIN_PREFIX = "sparksim_plugin_"
"""Of the modules that files of `--plugin` become."""
"""Entry points of installed packages: each names a module that registers components, or a component class."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PROCESS = token_hex(8)
_loaded: set[str] = set()


def register(component: type[Component], name: str | None = None) -> type[Component]:
    """Make a component class known as `type: NAME` in hardware files; NAME is the class's name in snake_case.

    Raises:
        PluginError: not a component class with a `Spec`, or another class has that name already.
    """
    problems = _class_problems(component)
    given = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", getattr(component, "__name__", "")).lower()
    if not _NAME.fullmatch(given):
        problems.append("its name must be of lower-case letters, digits and _, so that a hardware file can say it")
    known = COMPONENTS.get(given)
    if known is not None and not _is_same(known, component):
        where = f"{known.__module__}.{known.__qualname__}"
        problems.append(f"the type {given!r} is {where} already; register it under another name")
    if problems:
        who = getattr(component, "__qualname__", repr(component))
        raise PluginError([Problem(f"{who}: {problem}", code="bad_component", path=given) for problem in problems])
    COMPONENTS[given] = component
    return component


def _class_problems(component: object) -> list[str]:
    if not (isinstance(component, type) and issubclass(component, Component)):
        return ["a component is a subclass of sim.Component"]
    spec = getattr(component, "Spec", None)
    if not (isinstance(spec, type) and issubclass(spec, ComponentSpec)):
        return ["it needs a Spec, a subclass of sim.ComponentSpec: what a hardware file may say of it"]
    stray = sorted(spec.serves - set(spec.ports))
    return [f"its Spec serves {', '.join(stray)}, which is no port of it"] if stray else []


def _is_same(known: type, component: type) -> bool:
    """The same class, or the same one defined again (a notebook's cell, a module that was reloaded)."""
    if known is component:
        return True
    names = [(each.__module__, each.__qualname__) for each in (known, component)]
    return names[0] == names[1] and not known.__module__.startswith("sim.")


def load_plugin(path: str | Path) -> None:
    """Run a Python file that registers components, once.

    Raises:
        PluginError: there is no such file, or it fails; names the line.
    """
    file = Path(path)
    name = f"{PLUGIN_PREFIX}{sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return
    spec = spec_from_file_location(name, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        message = "is not a Python file" if file.exists() else "no such file"
        raise PluginError(Problem(message, code="bad_plugin", file=str(path), hint="--plugin takes a FILE.py"))
    module = module_from_spec(spec)
    sys.modules[name] = module  # where pydantic looks up the names in the annotations of its specs
    try:
        spec.loader.exec_module(module)
    except SimError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(_failed(f"plugin {file.name}", error, str(path))) from error


def load_entry_points() -> bool:
    """Load the plugins of installed packages that are not loaded yet; whether there were any.

    Raises:
        PluginError: one or more of them cannot be loaded; all are named.
    """
    fresh = [point for point in sorted(entry_points(group=GROUP)) if point.value not in _loaded]
    problems: list[Problem] = []
    for point in fresh:
        who = f"plugin {point.name!r}" + (f" of {point.dist.name} {point.dist.version}" if point.dist else "")
        try:
            _load(point)
        except SimError as error:
            problems += [Problem(f"{who}: {problem.message}", problem.code) for problem in error.problems]
        except (Exception, SystemExit) as error:
            problems.append(_failed(who, error))
        else:
            _loaded.add(point.value)
    if problems:
        raise PluginError(problems)
    return bool(fresh)


def _load(point: EntryPoint) -> None:
    value = point.load()
    if isinstance(value, type):
        register(value, point.name)
    elif not isinstance(value, ModuleType):
        raise PluginError(f"{point.value} is neither a module nor a component class")


def load_hardware(
    ref: str | Path | HardwareSpec,
    overrides: Mapping[str, object] | None = None,
    search_dirs: Sequence[str | Path] = (),
) -> HardwareSpec:
    """The machine that `ref` stands for (or is), with every component type there is: installed plugins are asked last.

    Raises:
        SpecError: the file, or what it extends, is wrong; holds every problem with file and line.
        PluginError: a type is unknown and an installed plugin that may hold it cannot be loaded.
    """
    if isinstance(ref, HardwareSpec):
        for path, value in (overrides or {}).items():
            ref = ref.override(path, value)
        return ref
    try:
        return load_with_types(ref, spec_types(), overrides or {}, search_dirs)
    except InputError as error:
        is_unknown = any(problem.code == "unknown_type" for problem in error.problems)
        try:
            has_more = is_unknown and load_entry_points()
        except PluginError as broken:
            raise PluginError([*error.problems, *broken.problems]) from broken
        if not has_more:
            raise
    return load_with_types(ref, spec_types(), overrides or {}, search_dirs)


@contextmanager
def named_failure(component: Component, what: str) -> Iterator[None]:
    """Turns what a component's method raises into an error that names the component and the line.

    Our own components are not expected to fail: what they raise is a bug of ours and stays one.
    """
    try:
        yield
    except SimError:
        raise
    except Exception as error:
        if type(component).__module__.startswith("sim."):
            raise
        who = f"component {component.name!r} ({type(component).__qualname__}): {what}"
        raise PluginError(_failed(who, error)) from error


def _failed(who: str, error: BaseException, file: str | None = None) -> Problem:
    """A problem at the line where the error came from."""
    line = None
    if isinstance(error, SyntaxError):
        file, line = error.filename or file, error.lineno
    elif error.__traceback__ is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        file, line = last.filename, last.lineno
    text = " ".join(str(error).split())[:200]
    return Problem(f"{who} fails: {type(error).__name__}: {text}", "plugin_failed", file, line)


def checked_share(component: Component, op: Op, share: object) -> Share:
    """What a program answered, if it can be.

    Raises:
        PluginError: not a `Share`, or a number in it that is negative or not finite.
    """
    who = f"component {component.name!r} ({type(component).__qualname__}): program({op.id!r})"
    if not isinstance(share, Share):
        raise PluginError(Problem(f"{who} must return a sim.Share, not {type(share).__name__}", "bad_component"))
    names = ("compute_s", "start_s", "read_bytes", "write_bytes", "flops")
    wrong = [name for name in names if not _is_amount(getattr(share, name))]
    problems = [f"{name} must be 0 or more and finite, not {getattr(share, name)!r}" for name in wrong]
    if share.unit and share.unit not in component.peak:
        problems.append(f"unit {share.unit!r} is not in the component's peak ({', '.join(component.peak) or 'empty'})")
    if problems:
        raise PluginError([Problem(f"{who}: {problem}", "bad_component") for problem in problems])
    return share


def checked_hop(component: Component, hop: object) -> Hop | None:
    """What `carry` answered, if it can be.

    Raises:
        PluginError: neither a `Hop` nor None, without a rate for every kind of access, or of an unknown cause.
    """
    if hop is None:
        return None
    who = f"component {component.name!r} ({type(component).__qualname__}): carry"
    if not isinstance(hop, Hop):
        raise PluginError(Problem(f"{who} must return a sim.Hop or None, not {type(hop).__name__}", "bad_component"))
    problems = [f"no rate for {access!r}" for access in ACCESSES if access not in hop.rates]
    if hop.cause not in CAUSES:
        problems.append(f"cause {hop.cause!r} is none of {', '.join(CAUSES)}")
    if problems:
        raise PluginError([Problem(f"{who}: {problem}", "bad_component") for problem in problems])
    return hop


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0


def code_of(component: type[Component]) -> str:
    """Digest of the files that a component class and its bases stand in, "" for ours, whose code has its own digest.

    A class without a file (typed in at a prompt) gets a digest that no other process has: its profiles are not re-used.
    """
    texts = []
    for cls in component.__mro__[:-1]:
        if not cls.__module__.startswith("sim."):
            file = getattr(sys.modules.get(cls.__module__), "__file__", None)
            texts.append(Path(file).read_bytes() if file else f"{_PROCESS} {id(cls)}".encode())
    return sha256(b"".join(texts)).hexdigest()[:16] if texts else ""
