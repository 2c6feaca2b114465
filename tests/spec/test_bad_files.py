"""Does every wrong file get exactly the message that helps: all problems, with file and line, and how to mend them?

`bad/NAME` is what a user gives, `bad/NAME.err` what they read on stderr. Hardware, models, runtimes and recipes go
through `check`, scenarios (`scenario-*`) and op traces (`ops-*`) through `run`. `{models}` and the like in an `.err`
stand for the names of what ships.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from sim.cli import main
from sim.paths import available
from sim.system.file_kinds import READERS
from sim.workload.architecture import MODELLED
from sim.workload.quant import TENSOR_CLASSES, formats

BAD = Path(__file__).parent / "bad"
FILES = sorted(path.name for path in BAD.iterdir() if path.suffix != ".err")
MOST_SHOWN = 40


def shown(names: Iterable[str]) -> str:
    """The first names of a list, and that there are more."""
    listed = sorted(names)
    return ", ".join(listed[:MOST_SHOWN] + (["..."] if len(listed) > MOST_SHOWN else []))


NAMES = {
    **{kind: shown(available(kind)) for kind in ("hardware", "models", "runtimes", "quants")},
    "architectures": ", ".join(sorted(MODELLED)),
    "formats": ", ".join(sorted(formats())),
    "tensor_classes": ", ".join(sorted(TENSOR_CLASSES)),
    "schemas": ", ".join(READERS),
}


def command(name: str) -> list[str]:
    if name.startswith("scenario-"):
        return ["run", name]
    return ["run", name, "--runtime", "vllm"] if name.startswith("ops-") else ["check", name]


def expected(name: str) -> str:
    text = (BAD / f"{name}.err").read_text(encoding="utf-8")
    for key, value in NAMES.items():
        text = text.replace(f"{{{key}}}", value)
    return text


@pytest.mark.parametrize("name", FILES)
def test_the_exact_message(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(BAD)
    code = main(command(name))
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert printed.err == expected(name)


@pytest.mark.parametrize("name", FILES)
def test_the_same_as_json(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`sparksim.error/1` holds the problems of the text, one for one."""
    monkeypatch.chdir(BAD)
    assert main([*command(name), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)
    assert (error["schema"], error["exit_code"]) == ("sparksim.error/1", 2)
    assert all(set(each) == {"file", "line", "path", "code", "message", "hint"} for each in error["problems"])
    lines = expected(name).splitlines()
    assert len(lines) == len(error["problems"])
    for line, problem in zip(lines, error["problems"], strict=True):
        assert problem["message"] in line
        assert problem["hint"] is None or line.endswith(problem["hint"])
        assert problem["line"] is None or line.startswith(f"{problem['file']}:{problem['line']}: ")


def test_every_message_has_its_file() -> None:
    assert sorted(path.name.removesuffix(".err") for path in BAD.glob("*.err")) == FILES
