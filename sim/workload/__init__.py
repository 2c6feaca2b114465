"""Models, quantisations, runtimes and op traces to steps of ops. Knows no hardware."""

from sim.workload.hf_config import load_model
from sim.workload.runtime_file import load_runtime

__all__ = ["load_model", "load_runtime"]
