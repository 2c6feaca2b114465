"""Does a wheel hold everything, and does it run where there is no checkout?"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network from the files of this checkout."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return next(folder.glob("sparksim-*.whl"))


def _data_files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for folder in ("hwspecs", "workloads")
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_code_data_and_type_marker(root: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"sim/_data/{name}" for name in _data_files(root)} <= names
    assert {str(path.relative_to(root)) for path in (root / "sim").rglob("*.py")} <= names
    assert "sim/py.typed" in names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"sim"}


def test_sdist_holds_what_the_wheel_is_built_from(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    archive = next(tmp_path.glob("sparksim-*.tar.gz"))
    listing = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True).stdout.splitlines()
    names = {name.partition("/")[2] for name in listing}
    assert _data_files(root) <= names
    assert {"LICENSE", "Makefile", "README.md", "pyproject.toml", "sim/__init__.py", "tests/conftest.py"} <= names


def test_installed_wheel_answers_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """The third-party packages are this environment's; `sim` is the wheel's, unpacked."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert Path(python("-c", "import sim; print(sim.__file__)").strip()) == tmp_path / "installed/sim/__init__.py"
    assert "gpt-oss-20b" in python("-m", "sim", "list", "models", "--json")
