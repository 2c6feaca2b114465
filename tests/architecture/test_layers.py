"""Do imports only go down, and does nothing import in a circle?"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

# The facade: it names the floors above everything, late (PEP 562), and every `import sim.x` loads it anyway.
FACADE = {"sim", "sim.__main__"}


def test_import_contract_holds(root: Path) -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [lint_imports, "--no-logo", "--no-cache", "--config", root / "pyproject.toml"],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_import_cycles_not_even_for_types() -> None:
    graph = grimp.build_graph("sim", cache_dir=None)
    below = {name: graph.find_modules_directly_imported_by(name) - FACADE for name in graph.modules - FACADE}
    TopologicalSorter(below).prepare()  # raises CycleError and names the circle


def test_floors_do_not_reach_up_through_the_facade(sources: dict[Path, ast.Module]) -> None:
    """`from sim import run` inside the house would pass under the contract; only the version may come from there."""
    found = [
        f"{path}:{node.lineno} {alias.name}"
        for path, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "sim" and path.parent != Path("sim")
        for alias in node.names
        if alias.name != "__version__"
        and not any(Path("sim", name).exists() for name in (alias.name, f"{alias.name}.py"))
    ]
    assert found == []
