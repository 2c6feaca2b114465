"""Does a wheel hold everything, and does it run where there is no checkout?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
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


OFFLINE = """
import socket

def refuse(*arguments, **settings):
    raise OSError("no network in this test")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs Python outside the checkout and without the network; `sim` is the wheel's, the rest this environment's."""
    folder = tmp_path_factory.mktemp("elsewhere")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    (folder / "installed/sitecustomize.py").write_text(OFFLINE)
    environment = os.environ | {"PYTHONPATH": str(folder / "installed")}

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_installed_wheel_answers_without_the_checkout(python: Callable[..., str]) -> None:
    where = Path(python("-c", "import sim; print(sim.__file__)").strip())
    assert where.parts[-3:] == ("installed", "sim", "__init__.py")
    assert "gpt-oss-20b" in python("-m", "sim", "list", "models", "--json")


@pytest.mark.parametrize("name", ["01_predict", "03_own_accelerator"])
def test_examples_run_from_the_installed_wheel(
    name: str, root: Path, python: Callable[..., str], tmp_path: Path
) -> None:
    """The same words and numbers as from the checkout (whose output tests/examples holds to what is printed there)."""
    shutil.copytree(root / "examples", tmp_path / "examples")
    there = python(str(tmp_path / "examples" / f"{name}.py"))
    command, environment = [sys.executable, root / "examples" / f"{name}.py"], os.environ | {"PYTHONPATH": str(root)}
    here = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout
    assert there == here
