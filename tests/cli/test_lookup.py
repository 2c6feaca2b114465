"""Does every look-up say something useful, in text and JSON, and are names found where the contract says?"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sim.api import list_names, run
from sim.cli import main
from sim.cli.lookup import FLAGS, KINDS, PIPE_WIDTH
from sim.component import COMPONENTS
from sim.paths import available
from sim.result.keys import RESULT_KEYS
from sim.result.laws import LAWS
from sim.workload.op import OP_KINDS
from sim.workload.op_fields import LIMITS, MEANINGS

ONE_OF = {
    "hardware": "dgx-spark",
    "models": "gpt-oss-20b",
    "runtimes": "vllm@0.25.0",
    "quants": "q4_k_m",
    "ops": "gemm",
    "components": "memory",
    "scenarios": "gpt-oss-120b-chat",
    "studies": "memory-bandwidth",
    "laws": "L1",
    "errors": "LawError",
    "result": "tpot_s",
}


def out(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_list_in_text_and_json(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    entries = json.loads(out(["list", kind, "--json"], capsys))
    text = out(["list", kind], capsys)
    assert entries
    assert all(entry["name"] in text and entry["title"] for entry in entries)
    assert list_names(kind) == [entry["name"] for entry in entries]


@pytest.mark.parametrize("kind", ONE_OF)
def test_show_in_text_and_json(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(out(["show", kind, ONE_OF[kind], "--json"], capsys))
    assert isinstance(shown, dict)
    assert len(shown) >= 2
    assert out(["show", kind, ONE_OF[kind]], capsys).strip()


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("kind", ONE_OF)
def test_a_flag_says_something_or_is_refused(flag: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["show", kind, ONE_OF[kind], f"--{flag}"])
    printed = capsys.readouterr()
    assert code == (0 if kind in FLAGS[flag] else 2)
    assert code == 0 or f"--{flag}: says nothing about {kind}" in printed.err


@pytest.mark.parametrize("kind", ["ops", "components", "laws", "calibrated", "errors", "result"])
def test_show_without_a_name_shows_a_whole_table(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(["show", kind], capsys)
    assert all(name in text for name in list_names(kind))


@pytest.mark.parametrize("kind", ["hardware", "models", "runtimes", "quants", "scenarios", "studies"])
def test_show_without_a_name_asks_which(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", kind]) == 2
    assert ", ".join(available(kind)) in capsys.readouterr().err


def test_hardware_marks_given_and_derived_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(["show", "hardware", "dgx-spark"], capsys)
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ") and line[2] != " "}
    assert "given" in rows["memory.data_rate"]
    assert "derived" in rows["memory.bandwidth"]
    assert "273.1 GB/s" in rows["memory.bandwidth"]
    sources = out(["show", "hardware", "dgx-spark", "--sources"], capsys)
    words = [line for line in sources.splitlines() if len(line) > PIPE_WIDTH and len(line.split()) > 1]
    assert [line for line in words if " " in line[60:].strip()] == []  # only an address may be longer
    infos = json.loads(out(["show", "hardware", "dgx-spark", "--json"], capsys))["fields"]
    assert all(info["path"] in sources for info in infos)
    assert all(info["source"] and info["kind"] for info in infos)


@pytest.mark.parametrize("kind", sorted(OP_KINDS))
def test_every_field_of_an_op_has_its_meaning(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = {field.name for field in fields(OP_KINDS[kind])}
    assert names <= set(MEANINGS)
    numbers = {field.name for field in fields(OP_KINDS[kind]) if str(field.type).startswith(("int", "float"))}
    assert numbers <= set(LIMITS)
    shown = json.loads(out(["show", "ops", kind, "--json"], capsys))
    assert len(shown["fields"]) == len(names)
    assert all(row["meaning"] for row in shown["fields"])


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_every_field_of_a_component_has_its_description(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(out(["show", "components", name, "--json"], capsys))
    assert shown["fields"]
    assert all(row["meaning"] for row in shown["fields"])
    assert {port["port"] for port in shown["ports"]} == set(COMPONENTS[name].Spec.ports)


def _flat(data: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, part in data.items():
        name = f"{prefix}{'PHASE' if prefix == 'phases.' else key}"
        found |= _flat(part, f"{name}.") if isinstance(part, dict) and name not in RESULT_KEYS else {name}
    return found


def test_the_keys_of_the_result_are_those_documented() -> None:
    result = run(model="qwen3-0.6b", runtime="vllm", prompt=16, output=2, cache="off").summary()
    nothing = {key for key, part in result.items() if part is None}  # a group that there is not is null as a whole
    documented = {key.split(".")[0] if key.split(".")[0] in nothing else key for key in RESULT_KEYS}
    assert _flat(result) == documented
    assert nothing == {"speculation"}


def test_laws_are_those_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert out(["show", "laws"], capsys).splitlines() == [f"{name:<3}  {text}" for name, text in LAWS.items()]


@pytest.mark.parametrize("runtime", ["vllm", "llama.cpp@b6989"])
@pytest.mark.parametrize("model", ["qwen3-8b", "gpt-oss-20b"])
def test_the_graph_is_what_the_runtime_launches(model: str, runtime: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(out(["show", "models", model, "--graph", "--runtime", runtime, "--json"], capsys))
    text = out(["show", "models", model, "--graph", "--runtime", runtime], capsys)
    for step in shown["graph"]:
        layers = {"prefill": 1, "decode": 0}[step["phase"]]  # the last layer of a prompt goes on with one token only
        attentions = [block["repeat"] for block in step["blocks"] for op in block["ops"] if op["op"] == "attention"]
        assert sum(attentions) == shown["layers"]
        assert len(attentions) >= 1 + layers
        for op in (op for block in step["blocks"] for op in block["ops"]):
            assert op["id"] in text
            assert op["shape"] in " ".join(text.split()) or op["op"] == "elementwise"


def test_names_are_found_where_the_contract_says(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--spec-dir, then SPARKSIM_PATH, then what ships; names ignore case and treat - _ . / alike."""
    card = (root / "workloads/models/qwen3-0.6b.yaml").read_text()
    for place in ("first", "second"):
        folder = tmp_path / place / "workloads" / "models"
        folder.mkdir(parents=True)
        (folder / "qwen3-0.6b.yaml").write_text(card.replace("title: Qwen3 0.6B", f"title: from {place}"))

    def title(name: str, *words: str) -> str:
        return str(json.loads(out(["show", "models", name, "--json", *words], capsys))["title"])

    assert {title(name) for name in ("qwen3-0.6b", "QWEN3_0-6B", "Qwen/Qwen3-0.6B", "qwen3.0.6b")} == {"Qwen3 0.6B"}
    monkeypatch.setenv("SPARKSIM_PATH", str(tmp_path / "second"))
    assert title("qwen3-0.6b") == "from second"
    assert title("qwen3-0.6b", "--spec-dir", str(tmp_path / "first")) == "from first"
    assert title(str(root / "workloads/models/qwen3-0.6b.yaml")) == "Qwen3 0.6B"
    monkeypatch.setenv("SPARKSIM_PATH", str(tmp_path / "third"))
    assert main(["list", "models"]) == 2
    assert capsys.readouterr().err == f"SPARKSIM_PATH: there is no folder '{tmp_path / 'third'}'\n"


@pytest.mark.parametrize(
    ("asked", "given", "note"),
    [
        ("vllm", "0.26.0", ""),
        ("vllm@0.25.0", "0.25.0", ""),
        ("vllm@v0.26", "0.26.0", ""),
        ("vllm@0.24.3", "0.24.0", "vllm@0.24.3 is not described; using 0.24.0, the newest that is not later"),
        ("llama.cpp@b7000", "b6989", "llama.cpp@b7000 is not described; using b6989, the newest that is not later"),
        ("llama-cpp@7941", "b7941", ""),
    ],
)
def test_runtime_versions(asked: str, given: str, note: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--model", "qwen3-0.6b", "--runtime", asked, "--prompt", "16", "--output", "2", "--json"]
    assert main(words) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["runtime_version"], result["warnings"]) == (given, [note] if note else [])
    assert (f"note: {note}" in printed.err.splitlines()) == bool(note)


@pytest.mark.parametrize("asked", ["vllm@0.1", "vllm@new", "vllm@", "llama.cpp@b1", "vllm@²"])
def test_a_version_before_all_others_is_refused(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--model", "qwen3-0.6b", "--runtime", asked]) == 2
    assert "version" in capsys.readouterr().err
