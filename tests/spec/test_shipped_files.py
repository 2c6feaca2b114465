"""Does everything that ships load, pass `check`, conform to its schema, and come back from `show --yaml` unchanged?"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sim.cli import main
from sim.component import spec_types
from sim.hwspec import load_hardware
from sim.paths import available, find
from sim.system.catalogue import schema
from sim.yamlfile import load_yaml

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    str(path.relative_to(ROOT)) for folder in ("hwspecs", "workloads") for path in (ROOT / folder).rglob("*.yaml")
)
SCHEMAS = {
    "hardware": "hwspecs/*.yaml",
    "runtimes": "workloads/runtimes/*.yaml",
    "quants": "workloads/quants/*.yaml",
    "scenarios": "workloads/scenarios/*.yaml",
    "studies": "workloads/studies/*.yaml",
}


def test_there_is_something_of_every_kind() -> None:
    counts = {
        kind: len(available(kind)) for kind in ("hardware", "models", "runtimes", "quants", "scenarios", "studies")
    }
    assert all(counts.values()), counts


@pytest.mark.parametrize("name", SHIPPED)
def test_check_passes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / name)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", available("hardware"))
def test_show_yaml_loads_to_the_same_machine(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "hardware", name, "--yaml"]) == 0
    copy_of = tmp_path / "copy.yaml"
    copy_of.write_text(capsys.readouterr().out, encoding="utf-8")
    shown, original = load_hardware(copy_of, spec_types()), load_hardware(name, spec_types())
    assert shown.digest == original.digest
    assert [(f.path, f.value, f.kind, f.source) for f in shown.fields()] == [
        (f.path, f.value, f.kind, f.source) for f in original.fields()
    ]


@pytest.mark.parametrize("kind", ["models", "runtimes", "quants", "scenarios", "studies"])
def test_show_yaml_prints_a_file_that_checks(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in available(kind):
        assert main(["show", kind, name, "--yaml"]) == 0
        copy_of = tmp_path / f"{name}.yaml"
        copy_of.write_text(capsys.readouterr().out, encoding="utf-8")
        assert main(["check", str(copy_of)]) == 0
        assert capsys.readouterr().err == ""
        assert load_yaml(copy_of).data == load_yaml(find(kind, name)).data


def _validator(kind: str) -> Any:
    made = schema(kind)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_shipped_file_conforms_to_its_schema(kind: str) -> None:
    validator = _validator(kind)
    files = [path for path in ROOT.glob(SCHEMAS[kind]) if path.stem != "formats"]
    assert files
    for path in files:
        assert [error.message for error in validator.iter_errors(load_yaml(path).data)] == [], path


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("hardware", "dgx-spark", ("components", "gpu", "sms", "value"), "forty-eight"),
        ("hardware", "dgx-spark", ("components", "gpu", "smz"), 48),
        ("hardware", "dgx-spark", ("components", "memory", "channel_width"), 2),
        ("hardware", "dgx-spark", ("components", "l2", "kind"), "vendro"),
        ("hardware", "dgx-spark", ("link",), []),
        ("runtimes", "vllm", ("base", "launch"), "egaer"),
        ("runtimes", "vllm", ("base", "ubatch_tokens"), "512"),
        ("runtimes", "vllm", ("base", "kernels", "marlin", "treads"), 128),
        ("runtimes", "vllm", ("versions", "0.26.0", "host_step"), 1),
        ("quants", "fp8", ("classes",), ["bf16"]),
        ("quants", "fp8", ("defualt",), "fp8"),
        ("scenarios", "gpt-oss-120b-chat", ("batch",), -1),
        ("scenarios", "gpt-oss-120b-chat", ("kind",), "serve"),
        ("studies", "memory-bandwidth", ("axes", "memory.bandwidth", "stp"), "1 GB/s"),
        ("studies", "memory-bandwidth", ("sample",), {"kind": "latin"}),
        ("studies", "memory-bandwidth", ("bass",), {}),
    ],
)
def test_a_wrong_file_does_not_conform(kind: str, name: str, path: tuple[str, ...], value: object) -> None:
    data = copy.deepcopy(load_yaml(find(kind, name)).data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert list(_validator(kind).iter_errors(data))


def test_schema_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in SCHEMAS:
        assert main(["schema", kind]) == 0
        assert json.loads(capsys.readouterr().out) == schema(kind)
