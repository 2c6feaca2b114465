"""Do plugins load once, only when needed, and fail by name?"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sim
from sim.cli import main
from sim.component import COMPONENTS
from sim.system import plugins

GOOD = """
from __future__ import annotations
from typing import ClassVar
import sim
from sim.hwspec import Hertz

class WidgetSpec(sim.ComponentSpec):
    "A widget for a test."
    ports: ClassVar = {"memory": "memory"}
    clock: Hertz

@sim.register
class MyWidget(sim.Component):
    Spec = WidgetSpec
"""
MACHINE = """schema: sparksim.hardware/1
name: with-widget
extends: dgx-spark
components:
  widget: {type: my_widget, kind: assumed, source: an invented block for a test, clock: 1 GHz}
links: [widget.memory -> memory.widget]
"""


@pytest.fixture(autouse=True)
def _types() -> Iterator[None]:
    """What a test loads is gone after it."""
    before, modules, loaded = dict(COMPONENTS), set(sys.modules), set(plugins._loaded)
    yield
    COMPONENTS.clear()
    COMPONENTS.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith(("sparksim_plugin_", "widget_")):
            del sys.modules[name]
    plugins._loaded.clear()
    plugins._loaded.update(loaded)


def files(folder: Path, code: str = GOOD) -> tuple[str, str]:
    (folder / "widget.py").write_text(code)
    (folder / "machine.yaml").write_text(MACHINE)
    return str(folder / "widget.py"), str(folder / "machine.yaml")


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, code: str, value: str = "") -> None:
    """A package with an entry point, as an installer leaves it."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[sparksim.plugins]\nmy_widget = {value or module}\n")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()


@pytest.mark.parametrize("verb", ["check", "show", "run", "list", "schema"])
def test_plugin_file_reaches_every_verb_that_reads_hardware(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, machine = files(tmp_path)
    words = {
        "check": ["check", machine],
        "show": ["show", "hardware", machine],
        "run": ["run", "--hardware", machine, "--model", "qwen3-0.6b", "--runtime", "vllm", "--prompt", "0"],
        "list": ["list", "components"],
        "schema": ["schema", "hardware"],
    }[verb]
    assert main([*words, "--plugin", plugin]) == 0
    shown = {"check": "ok", "show": "widget.clock", "run": "with-widget", "list": "A widget", "schema": "my_widget"}
    assert shown[verb] in capsys.readouterr().out


def test_without_the_plugin_its_type_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", files(tmp_path)[1]]) == 2
    (line,) = capsys.readouterr().err.splitlines()  # nothing about its links, which cannot be judged
    assert "machine.yaml:5: widget.type: unknown type 'my_widget'" in line


def test_plugin_file_runs_once(tmp_path: Path) -> None:
    counted = GOOD + "\nimport pathlib\nwith pathlib.Path(__file__).with_suffix('.log').open('a') as f: f.write('x')\n"
    plugin, _ = files(tmp_path, counted)
    sim.system.plugins.load_plugin(plugin)
    sim.system.plugins.load_plugin(plugin)
    assert (tmp_path / "widget.log").read_text() == "x"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nraise KeyError('no')\n", "widget.py:2: plugin widget.py fails: KeyError: 'no'"),
        ("x = (\n", "widget.py:1: plugin widget.py fails: SyntaxError: '(' was never closed"),
        ("import nowhere_at_all\n", "widget.py:1: plugin widget.py fails: ModuleNotFoundError"),
        ("raise SystemExit(0)\n", "widget.py:1: plugin widget.py fails: SystemExit: 0"),
        ("import sim\nsim.register(int)\n", "int: a component is a subclass of sim.Component"),
        ("import sim\n@sim.register\nclass A(sim.Component): pass\n", "A: it needs a Spec, a subclass of"),
        (GOOD.replace("MyWidget", "C2c"), "C2c: the type 'c2c' is sim.component.c2c.C2c already"),
        (GOOD.replace("@sim.register\n", "") + "sim.register(MyWidget, 'a b')\n", "MyWidget: its name must be of"),
        (GOOD.replace("    clock", "    serves: ClassVar = frozenset({'x'})\n    clock"), "serves x, which is no port"),
    ],
)
def test_broken_plugin_file_is_bad_input_with_its_line(
    code: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, machine = files(tmp_path, code)
    for _ in range(2):  # the second time too: what failed is not taken for loaded
        assert main(["check", machine, "--plugin", plugin]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert "Traceback" not in err


@pytest.mark.parametrize(("name", "message"), [("absent.py", "no such file"), (".", "is not a Python file")])
def test_plugin_that_is_no_file(name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "components", "--plugin", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err


def test_same_class_may_be_registered_again_and_another_may_not(tmp_path: Path) -> None:
    class Widget(sim.Component):
        """A widget."""

        Spec = COMPONENTS["nic"].Spec

    class Other(sim.Component):
        """Another."""

        Spec = COMPONENTS["nic"].Spec

    assert sim.register(Widget) is Widget
    assert sim.register(Widget) is Widget
    assert COMPONENTS["widget"] is Widget
    with pytest.raises(sim.PluginError, match=r"the type 'widget' is .*Widget already; register"):
        sim.register(Other, "widget")


def test_installed_plugin_is_loaded_when_a_type_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, "widget_installed", GOOD)
    sim.load_hardware("dgx-spark")
    assert "widget_installed" not in sys.modules  # nobody asked for it
    _, machine = files(tmp_path)
    assert "widget" in sim.load_hardware(machine).components
    assert "widget_installed" in sys.modules


def test_installed_plugin_may_be_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = GOOD.replace("@sim.register\n", "")
    installed(tmp_path, monkeypatch, "widget_class", code, "widget_class:MyWidget")
    assert "my_widget" in sim.list("components")
    assert "my_widget" in sim.list("components")


@pytest.mark.parametrize(
    ("code", "value", "message"),
    [
        ("raise OSError('no widget today')", "", "fails: OSError: no widget today"),
        ("answer = 3", "widget_broken:answer", "widget_broken:answer is neither a module nor a component class"),
        ("answer = 3", "widget_broken:other", "fails: AttributeError: module 'widget_broken' has no attribute"),
        ("answer = int", "widget_broken:answer", "int: a component is a subclass of sim.Component"),
    ],
)
def test_broken_installed_plugin_is_named_with_its_package(
    code: str, value: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, "widget_broken", code, value)
    assert sim.run(model="qwen3-0.6b", runtime="vllm", prompt=0, output=1).fits  # nothing that works needs it
    _, machine = files(tmp_path)
    with pytest.raises(sim.PluginError) as caught:
        sim.load_hardware(machine)
    first, second = caught.value.problems
    assert first.message == "unknown type 'my_widget'"
    assert second.message.startswith("plugin 'my_widget' of widget_broken 1.5")
    assert message in second.message


def test_own_code_in_the_path_of_kernels_is_part_of_the_profile_key(tmp_path: Path) -> None:
    """A file that changed gives another digest; ours have the digest of the simulator's code."""
    plugin, _ = files(tmp_path)
    code = (
        "import sys; from sim.system.plugins import *; load_plugin(sys.argv[1]);print(code_of(COMPONENTS['my_widget']))"
    )

    def digest() -> str:
        command = [sys.executable, "-c", code, plugin]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    first = digest()
    assert first == digest()
    Path(plugin).write_text(GOOD + "# changed\n")
    assert first != digest()
    assert plugins.code_of(COMPONENTS["c2c"]) == ""
