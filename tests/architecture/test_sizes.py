"""Is every file and every function small enough to be read at one sitting?"""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import quantiles

FILE_LINES = 400
FUNCTION_LINES = 50
P90_FUNCTION_LINES = 25


def _function_lines(sources: dict[Path, ast.Module]) -> dict[str, int]:
    return {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_files(root: Path, sources: dict[Path, ast.Module]) -> None:
    lines = {str(path): len((root / path).read_text(encoding="utf-8").splitlines()) for path in sources}
    assert {path: n for path, n in lines.items() if n > FILE_LINES} == {}


def test_functions(sources: dict[Path, ast.Module]) -> None:
    assert {name: n for name, n in _function_lines(sources).items() if n > FUNCTION_LINES} == {}


def test_most_functions_are_short(sources: dict[Path, ast.Module]) -> None:
    lines = list(_function_lines(sources).values())
    assert quantiles(lines, n=10)[-1] <= P90_FUNCTION_LINES
