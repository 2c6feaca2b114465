"""`sparksim check FILE...`: is a file of ours right? All problems of all files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from sim.cli.parser import add_plugin
from sim.errors import InputError, Problem, SimError, SpecError
from sim.yamlfile import load_file

HELP = "check hardware files, runtimes, model cards and op traces"
EXAMPLE = "example:\n  sparksim check my-machine.yaml my-trace.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_plugin(parser)


def execute(arguments: argparse.Namespace) -> int:
    """0 when every file is right; raises with every problem otherwise."""
    problems: list[Problem] = []
    kinds = {}
    for name in arguments.files:
        try:
            kinds[name] = check_file(Path(name))
        except SimError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    if arguments.json:
        print(json.dumps({"schema": "sparksim.check/1", "files": kinds}))
    else:
        for name, kind in kinds.items():
            print(f"{name}: {kind}, ok")
    return 0


def check_file(path: Path) -> str:
    """Load a file by what it says it is; the kind."""
    from sim.system.plugins import load_hardware  # noqa: PLC0415 - loaded only for this verb
    from sim.workload.hf_config import load_model  # noqa: PLC0415
    from sim.workload.optrace import read_ops  # noqa: PLC0415
    from sim.workload.quant import load_quant  # noqa: PLC0415
    from sim.workload.runtime_file import load_runtime  # noqa: PLC0415

    if path.suffix == ".jsonl":
        read_ops(path)
        return "op trace"
    data = load_file(path).data
    schema = str(data.get("schema", "")) if isinstance(data, dict) else ""
    readers: dict[str, tuple[str, Callable[[], object]]] = {
        "sparksim.hardware/1": ("hardware", lambda: load_hardware(path)),
        "sparksim.runtime/1": ("runtime", lambda: load_runtime(str(path))),
        "sparksim.ops/1": ("op trace", lambda: read_ops(path)),
        "sparksim.quant/1": ("quantisation recipe", lambda: load_quant(str(path))),
    }
    if schema in readers:
        kind, read = readers[schema]
        read()
        return kind
    if isinstance(data, dict) and (
        "architectures" in data or "model_type" in data or "hidden_size" in data or "producer" in data
    ):
        load_model(path)
        return "model"
    hint = f"known: {', '.join(readers)}, or a model's config.json"
    raise InputError(
        Problem(f"schema {schema[:60]!r} is not known", code="unknown_schema", file=str(path), line=1, hint=hint)
    )
