"""The event engine: clock, processes, servers. The only importer of simpy."""

from simpy.events import Event

from sim.engine.clock import Behaviour, Engine, Pause
from sim.engine.server import FairServer, FifoServer, Flow
from sim.engine.slices import SlicedServer
from sim.engine.tenants import TenantServer

__all__ = ["Behaviour", "Engine", "Event", "FairServer", "FifoServer", "Flow", "Pause", "SlicedServer", "TenantServer"]
