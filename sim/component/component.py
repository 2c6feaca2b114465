"""What a component is: hardware with a spec and ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sim.hwspec import ComponentSpec


class Component:
    """A block of hardware. A class of its own says which spec describes it; ports are the spec's."""

    Spec: ClassVar[type[ComponentSpec]]
    ports: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        """Take the ports from the spec, so that files are checked against the same ones."""
        if "Spec" in cls.__dict__:
            cls.ports = cls.Spec.ports
