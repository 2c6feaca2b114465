"""A scenario of kind load, and the keywords of `sim.load` on top of it: what is to be loaded, from where and how."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from sim.errors import InputError, Problem, gather
from sim.result.load_result import LoadResult
from sim.system.arguments import Changes, RunArguments, split_overrides
from sim.system.load import LoadRequest, start
from sim.system.plugins import load_hardware
from sim.system.prediction import load_inputs
from sim.system.scenario import DEFAULTS, OfAModel, check_names, find_file, placed, said_by
from sim.system.weight_reading import Link
from sim.units import parse_quantity
from sim.yamlfile import load_file, problems_of, validate_model

Overrides = Mapping[str, object] | Iterable[str]
_TEXT = WithJsonSchema({"type": "string"})
OF_A_LOAD = ("origin", "how", "network", "compiled")


def _read(unit: str) -> Callable[[object], float]:
    """Reads a quantity of that unit, for pydantic."""

    def read(value: object) -> float:
        try:
            return parse_quantity(value, unit)
        except InputError as error:
            raise ValueError(str(error)) from None

    return read


class NetworkPart(BaseModel):
    """The network that weights come over."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bandwidth: Annotated[float, BeforeValidator(_read("B/s")), _TEXT] = Field(
        gt=0, description="what a long transfer gets, headers paid"
    )
    latency: Annotated[float, BeforeValidator(_read("s")), _TEXT] = Field(ge=0, description="there and back")


class LoadFile(OfAModel):
    """A scenario of kind load: a runtime starts with a model."""

    kind: Literal["load"] = Field(description="what is simulated: load")
    origin: Literal["nvme", "network", "page_cache"] = Field("nvme", description="where the weights lie")
    how: Literal["mmap", "read", "direct"] | None = Field(
        None, description="how they are read; as the runtime does if not given"
    )
    network: NetworkPart | None = Field(None, description="origin network: which; the machine's adapter if not given")
    compiled: Annotated[bool, Strict()] = Field(False, description="whether what an earlier start compiled is on disk")


def load(
    given: Mapping[str, Any], overrides: Overrides, file: str | Path | None, search_dirs: Sequence[str | Path]
) -> LoadResult:
    """Load and check what `asked_load` takes, and simulate the start.

    Raises:
        InputError: something given cannot be used; every problem.
    """
    asked = asked_load(given, overrides, file, search_dirs)
    request, *_, machine, inputs = gather(
        asked.request,
        asked.arguments.check,
        asked.changes.check,
        lambda: load_hardware(asked.hardware, asked.changes.hardware, search_dirs),
        lambda: load_inputs(asked.arguments, asked.changes, search_dirs),
    )
    return start(asked.arguments, request, machine, inputs, asked.changes, search_dirs)


@dataclass(frozen=True, slots=True)
class AskedLoad:
    """A load as asked for, every default filled in, the machine, and what is to be changed."""

    arguments: RunArguments
    own: Mapping[str, Any]
    hardware: Any
    changes: Changes

    def request(self) -> LoadRequest:
        """Where the weights lie and how they are read.

        Raises:
            InputError: not such a place, way or network; every problem.
        """
        own = self.own
        network = _network(own["network"])
        link = Link(network.bandwidth, network.latency) if network is not None else None
        found = LoadRequest(own["origin"], own["how"], link, is_compiled=bool(own["compiled"]))
        found.check()
        return found


def read_load(path: Path, search_dirs: Sequence[str | Path] = (), replaced: Collection[str] = ()) -> LoadFile:
    """The scenario in `path`; names that begin with ./ are made relative to it.

    Raises:
        SpecError: the file is wrong, or names what is not there; every problem with its line.
    """
    document = load_file(path)
    file = placed(validate_model(LoadFile, document), path)
    check_names(file, document, search_dirs, replaced)
    return file


def asked_load(
    given: Mapping[str, Any], overrides: Overrides, file: str | Path | None, search_dirs: Sequence[str | Path]
) -> AskedLoad:
    """What keywords in `given`, a file and overrides ask for together; keywords override the file.

    Raises:
        InputError: the file is wrong, or a keyword; every problem.
    """
    flags = {name: value for name, value in given.items() if value is not None}
    rest = {name: flags.pop(name) for name in ("seed", "is_full") if name in flags}
    changes, values = split_overrides(overrides), dict(DEFAULTS)
    own: dict[str, Any] = {"origin": "nvme", "how": None, "network": None, "compiled": False}
    if file is not None:
        scenario = read_load(find_file(file, search_dirs), search_dirs, flags)
        said, sets = said_by(scenario)
        values |= said
        own |= {name: getattr(scenario, name) for name in OF_A_LOAD}
        changes = split_overrides(sets).with_later(changes)
        changes.given |= {name: str(value) for name, value in flags.items()}
    own |= {name: flags.pop(name) for name in OF_A_LOAD if name in flags}
    values |= flags
    hardware = values.pop("hardware")
    values = dict.fromkeys(("model", "runtime", "quant", "kv_dtype")) | values | rest
    arguments = RunArguments(**values)
    return AskedLoad(arguments, own, hardware, changes)


def _network(given: Any) -> NetworkPart | None:
    """The network as given: a part of a scenario, or a mapping of its quantities."""
    if given is None or isinstance(given, NetworkPart):
        return given
    if not isinstance(given, Mapping):
        hint = 'e.g. {"bandwidth": "1.17 GB/s", "latency": "100 us"}'
        raise InputError(Problem("must be a mapping", "bad_argument", path="network", hint=hint))
    from pydantic import ValidationError  # noqa: PLC0415 - costs time, and few ask for it

    try:
        return NetworkPart.model_validate(dict(given))
    except ValidationError as error:
        where = (None, None)
        found = problems_of(error, NetworkPart, dict(given), lambda _path: where, ("network",))
        raise InputError(found) from None
