"""Does the code keep the habits of the house that no linter knows?"""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile", "README.md", "examples", "hwspecs",
    "pyproject.toml", "sim", "tests", "workloads",
}  # fmt: skip
README_LINES = range(15, 41)
TALKS = Path("sim/cli")  # the one place that prints or exits
VAGUE_MODULES = {"base", "common", "helpers", "manager", "misc", "utils"}


def _calls(tree: ast.Module) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_only_the_command_line_prints_or_exits(sources: dict[Path, ast.Module]) -> None:
    found = [
        f"{path}:{call.lineno} {ast.unparse(call.func)}"
        for path, tree in sources.items()
        if TALKS not in path.parents
        for call in _calls(tree)
        if ast.unparse(call.func) in {"print", "exit", "quit", "sys.exit", "os._exit", "SystemExit"}
    ]
    assert found == []


def test_only_the_engine_imports_simpy(sources: dict[Path, ast.Module]) -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in sources.items()
        if Path("sim/engine") not in path.parents
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and "simpy" in ast.unparse(node).replace(".", " ").split()
    ]
    assert found == []


def test_no_vague_module_names(sources: dict[Path, ast.Module]) -> None:
    assert [str(path) for path in sources if path.stem in VAGUE_MODULES] == []


def test_every_code_folder_explains_itself(root: Path, sources: dict[Path, ast.Module]) -> None:
    folders = sorted({path.parent for path in sources} - {Path("sim")})
    lines = {}
    for folder in folders:
        readme = root / folder / "README.md"
        lines[str(folder)] = len(readme.read_text(encoding="utf-8").splitlines()) if readme.exists() else 0
    assert {folder: n for folder, n in lines.items() if n not in README_LINES} == {}
    assert (root / "sim/README.md").exists()


def test_top_level_is_the_fixed_list(root: Path) -> None:
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: what belongs to the project cannot be told from what was built here")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert {line.partition("/")[0] for line in listed} - TOP_LEVEL == set()


def test_every_test_marker_is_run_by_a_command(root: Path, pytestconfig: pytest.Config) -> None:
    """A test left out of the everyday suite, and run by nothing, protects nothing."""
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    ours = [line.partition(":")[0] for line in pytestconfig.getini("markers") if "`make " in line]
    assert ours
    for marker in ours:
        assert f"-m {marker}\n" in makefile
        assert f"$(MAKE) --no-print-directory {marker}\n" in makefile


def test_every_test_file_begins_with_its_question(root: Path) -> None:
    found = [
        str(path.relative_to(root))
        for path in sorted((root / "tests").rglob("test_*.py"))
        if "?" not in (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    ]
    assert found == []
