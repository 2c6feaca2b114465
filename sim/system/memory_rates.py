"""The rates of a memory whose channels were changed or are to be derived: from the burst-level model, remembered.

A plain machine keeps the shares of its file, which are measured, and loads nothing here. When something under `dram`
was changed by the user, each share moves by the ratio of what the model gives after and before: the measured level
stays the anchor. With `rates: derived` the model's own rates are taken, so that channels and data rate count too.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from functools import cache as remembered
from pathlib import Path

from sim.component.memory import MemorySpec, SustainedSpec
from sim.errors import InputError, Problem, SpecError
from sim.hwspec import ComponentSpec, HardwareSpec
from sim.system.profiles import default_cache_folder

Shares = dict[str, float]
_KINDS = ("read", "random", "copy")


def with_rates(hardware: HardwareSpec, name: str, spec: ComponentSpec, cache: str | Path | None) -> ComponentSpec:
    """`spec` of component `name`, if it is a memory with the shares that hold for it; any other as it is.

    Raises:
        SpecError: the channels as they were changed sustain nothing, or more than their peak.
    """
    if not isinstance(spec, MemorySpec) or spec.dram is None:
        return spec
    is_changed = any(path.startswith(f"{name}.dram.") for path in hardware.overrides)
    if spec.rates == "measured" and not is_changed:
        return spec
    now = _shares(spec, cache)
    if spec.rates == "derived":
        moved = now | {"strided": spec.sustained.strided * now["read"] / spec.sustained.read}
    else:
        before = hardware.base.components[name] if hardware.base else spec
        assert isinstance(before, MemorySpec)
        # The channels as they were, behind the same bus: what the user says of the bus moves the peak, not the shares.
        was = _shares(spec.model_copy(update={"dram": before.dram}), cache)
        ratio = {kind: now[kind] / was[kind] for kind in now} | {"strided": now["read"] / was["read"]}
        moved = {kind: getattr(spec.sustained, kind) * ratio[kind] for kind in SustainedSpec.model_fields}
    wrong = [kind for kind, share in moved.items() if not 0.0 < share <= 1.0]
    if wrong:
        shares = ", ".join(f"{kind} {moved[kind]:.0%}" for kind in wrong)
        message = f"the channels as described would sustain {shares} of their peak"
        raise SpecError(Problem(message, code="bad_override", path=f"{name}.dram", hint="set memory.rates=derived"))
    return spec.model_copy(update={"sustained": SustainedSpec(**moved)})


Table = dict[str, Shares]


def ceilings(spec: MemorySpec, cache: str | Path | None) -> Table:
    """Bytes per second by kind of access of the channels as described, and of each plausible alternative.

    Remembered on disk: it takes twenty seconds.

    Raises:
        InputError: the memory is no LPDDR5, or says nothing of its channels.
    """
    if spec.dram is None or not spec.technology.startswith("LPDDR5"):
        message = f"the channels of {spec.technology[:40]} are not described: their ceilings cannot be derived"
        raise InputError(Problem(message, code="bad_argument", path="memory"))

    def derive() -> Table:
        from sim.component.lpddr5x.tables import alternatives  # noqa: PLC0415 - loads numpy

        return alternatives(spec)

    return _remembered("ceilings", spec, cache, derive)


def _shares(spec: MemorySpec, cache: str | Path | None) -> Shares:
    """Shares of the peak that the model gives: read, random, and write such that a copy comes out."""
    return _remembered("rates", spec, cache, lambda: {"shares": _derive(spec)})["shares"]


def _remembered(what: str, spec: MemorySpec, cache: str | Path | None, derive: Callable[[], Table]) -> Table:
    """What `derive` gives for these channels, from memory or disk if it was derived before."""
    text = spec.model_dump_json(include={"channels", "channel_width", "data_rate", "capacity", "dram"})
    digest = hashlib.sha256(f"{_code_digest()}/{text}".encode()).hexdigest()[:24]
    key = f"{what}-{digest}"
    known = _KNOWN.get(key)
    if known is None:
        file = None if cache == "off" else Path(cache or default_cache_folder()) / f"{key}.json"
        known = _read(file)
        if known is None:
            known = derive()
            _write(file, known)
        _KNOWN[key] = known
    return known


_KNOWN: dict[str, Table] = {}


def _derive(spec: MemorySpec) -> Shares:
    from sim.component.lpddr5x.rates import sustained  # noqa: PLC0415 - loads numpy, which a plain run does without

    rates = {kind: sustained(spec, kind).bytes_per_s / spec.bandwidth for kind in _KINDS}
    write = 1.0 / (2.0 / rates["copy"] - 1.0 / rates["read"])
    return {"read": rates["read"], "random": rates["random"], "write": min(1.0, write)}


def _read(file: Path | None) -> Table | None:
    """What an earlier process derived; None if there is nothing that can be used."""
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file else {}
        rows = {str(name): {kind: float(rate) for kind, rate in row.items()} for name, row in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return rows if rows and all(rows.values()) else None


def _write(file: Path | None, table: Table) -> None:
    """For the next process; a folder that cannot be written is left alone."""
    if file is None:
        return
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent, prefix=".rates-")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(table, stream)
        Path(part).replace(file)
    except OSError:
        return


@remembered
def _code_digest() -> str:
    """Digest of the code that derives."""
    folder = Path(__file__).resolve().parent.parent / "component" / "lpddr5x"
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()[:16]
