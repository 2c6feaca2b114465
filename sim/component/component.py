"""What a component is: hardware with a spec and ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sim.component.transfer import Hop
from sim.engine import Engine
from sim.hwspec import ComponentSpec

if TYPE_CHECKING:
    from sim.component.profile import Share
    from sim.workload.op import Op


class Component:
    """A block of hardware. Its `Spec` says what a hardware file may say of it; its ports are the spec's.

    What it can do is what it overrides: `carry` traffic between its ports, or compute an op it `accepts`. It holds no
    state of a simulation: each simulation asks it for fresh hops.
    """

    Spec: ClassVar[type[ComponentSpec]]
    ports: ClassVar[Mapping[str, str]] = {}

    def __init__(self, name: str, spec: ComponentSpec) -> None:
        self.name = name
        self._spec = spec

    @property
    def spec(self) -> Any:
        """What the hardware file says of it: an instance of `Spec`."""
        return self._spec

    @property
    def peak(self) -> Mapping[str, float]:
        """Peak rate of each of its units, FLOP/s, for those that compute; results and rooflines name them."""
        return {}

    def carry(self, engine: Engine) -> Hop | None:
        """This component's part in a transfer that crosses it; None where it carries nothing."""
        return None

    def accepts(self, op: Op) -> bool:
        """Whether this component takes `op` instead of the GPU; the first in the hardware file that does gets it."""
        return False

    def program(self, op: Op) -> Share:
        """What an accepted op asks of this component: how long it computes, and what it reads and writes."""
        raise NotImplementedError(f"{type(self).__name__} accepts ops but has no program")

    def __init_subclass__(cls) -> None:
        """Take the ports from the spec, so that files are checked against the same ones."""
        if "Spec" in cls.__dict__:
            cls.ports = cls.Spec.ports
