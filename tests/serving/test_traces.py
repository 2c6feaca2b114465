"""Are traces of others read as they are written, and is every bad line named?"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.errors import InputError, SimError
from sim.serving.trace_file import FORMATS, WHOLE, TracedRequest, open_trace
from sim.serving.trace_write import write_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-17 00:00:00.0000001,110,27
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
"""
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,GPT-4,1087,230,1317,API log
"""
MOONCAKE = """{"timestamp": 1000, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]}
{"timestamp": 4500, "input_length": 600, "output_length": 2, "hash_ids": [46, 91]}
"""
AIPERF = json.dumps(
    {
        "metadata": {"request_start_ns": 2_000_000_000},
        "metrics": {"input_sequence_length": {"value": 7}, "output_sequence_length": {"value": 3}},
    }
)
SHAREGPT = json.dumps(
    [{"id": "a", "conversations": [{"from": "human", "value": "x" * 40}, {"from": "gpt", "value": "y" * 81}]}]
)
BENCH = json.dumps(
    {
        "request_throughput": 1.0,
        "total_input_tokens": 30,
        "input_lens": [10, 20],
        "output_lens": [3, 0],
        "start_times": [5.5, 5.0],
    }
)
SAMPLES = {
    "azure": AZURE, "burstgpt": BURSTGPT, "mooncake": MOONCAKE, "aiperf": AIPERF, "sharegpt": SHAREGPT,
    "vllm_bench": BENCH,
}  # fmt: skip


def _read(
    folder: Path, text: str, kind: str = "auto", name: str = "trace", *, lenient: bool = False
) -> list[TracedRequest]:
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return list(open_trace(path, kind, is_lenient=lenient))


def test_every_format_has_a_sample_here() -> None:
    assert set(SAMPLES) == set(FORMATS) | set(WHOLE)


@pytest.mark.parametrize("name", ["trace", "trace.gz"])
def test_azure_times_have_seven_digits(tmp_path: Path, name: str) -> None:
    found = _read(tmp_path, AZURE, name=name)
    assert [(one.prompt, one.output) for one in found] == [(4808, 10), (3180, 8), (110, 27)]
    day = 24 * 3600 - (18 * 3600 + 17 * 60 + 3)
    assert [one.at_s for one in found] == pytest.approx([0.0, 0.052, day - 0.97996 + 1e-7], abs=3e-7)


def test_azure_of_2024_has_zones(tmp_path: Path) -> None:
    assert [one.at_s for one in _read(tmp_path, AZURE_2024)] == pytest.approx([0.0, 0.007405], abs=1e-6)


def test_burstgpt_counts_seconds(tmp_path: Path) -> None:
    assert _read(tmp_path, BURSTGPT) == [TracedRequest(0.0, 472, 18), TracedRequest(40.0, 1087, 230)]


def test_mooncake_says_what_is_shared(tmp_path: Path) -> None:
    first, second = _read(tmp_path, MOONCAKE)
    assert (first.at_s, second.at_s) == (0.0, 3.5)
    assert first.content == ((("block", 46), 512), (("block", 47), 512), (("block", 48), 76))
    assert second.content == ((("block", 46), 512), (("block", 91), 88))


def test_results_of_benchmarks(tmp_path: Path) -> None:
    """A request that failed has no output, and is none."""
    assert _read(tmp_path, AIPERF) == [TracedRequest(0.0, 7, 3)]
    assert _read(tmp_path, BENCH) == [TracedRequest(0.0, 10, 3)]
    assert _read(tmp_path, SHAREGPT) == [TracedRequest(None, 10, 20)]


def test_bad_lines_are_all_named_or_left_out_and_counted(tmp_path: Path) -> None:
    lines = (
        "2023-11-16 18:17:05,x,3", "yesterday,3,3", "2023-11-18 01:00:00,5,0", "2023-11-18 01:00:00,5",
        "2023-11-18 02:00:00,6,1",
    )  # fmt: skip
    bad = AZURE + "\n".join(lines)
    with pytest.raises(InputError) as caught:
        _read(tmp_path, bad)
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (5, "'x' is no number of tokens"),
        (6, "'yesterday' is no time"),
        (7, "an output of 0 tokens"),
        (8, "has 2 columns"),
    ]
    path = tmp_path / "trace"
    trace = open_trace(path, is_lenient=True)
    assert len(list(trace)) == 4
    assert trace.skipped == 4


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("a,b\n1,2\n", "azure", "has no column TIMESTAMP, ContextTokens, GeneratedTokens; it has a, b"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "azure", "has no request"),
        (BURSTGPT + "44,m,1,1,2,l\n", "burstgpt", "comes 1 s before the request above it"),
        ('{"timestamp": NaN, "input_length": 1, "output_length": 1}\n', "mooncake", "'nan' is no time"),
        ('{"timestamp": 1, "output_length": 1}\n', "mooncake", "has no input_length"),
        ('{"timestamp": 1', "mooncake", "is no JSON: Expecting ',' delimiter"),
        ("[1]\n", "mooncake", "is no JSON object"),
        ("{}", "vllm_bench", "has no input_lens and output_lens"),
        ("hello", "auto", "is no request trace that is known"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, text: str, kind: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        _read(tmp_path, text, kind)
    assert [problem.message for problem in caught.value.problems] == [message]


@pytest.mark.parametrize("kind", ["azure", "burstgpt", "mooncake"])
def test_what_is_written_is_read_again(tmp_path: Path, kind: str) -> None:
    share = ((("block", 1), 512), (("block", 2), 88)) if kind == "mooncake" else ()
    requests = [TracedRequest(0.0, 600, 7, share), TracedRequest(1.5, 20, 1), TracedRequest(86_400.25, 700, 9)]
    assert write_trace(tmp_path / "made", kind, requests) == 3
    again = list(open_trace(tmp_path / "made"))
    assert [(one.at_s, one.prompt, one.output) for one in again] == [
        (one.at_s, one.prompt, one.output) for one in requests
    ]
    assert [[tokens for _, tokens in one.content] for one in again] == (
        [[512, 88], [20], [512, 188]] if kind == "mooncake" else [[], [], []]
    )
    with pytest.raises(InputError, match="cannot be written: File exists"):
        write_trace(tmp_path / "made", kind, requests)


@pytest.mark.parametrize("kind", SAMPLES)
@settings(max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_read_or_refused(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    """Bytes put in, taken out or changed anywhere: requests with sane numbers, or one of our errors."""
    raw = bytearray(SAMPLES[kind].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path / "mutated"
    path.write_bytes(raw)
    try:
        found = list(open_trace(path, kind))
    except SimError:
        found = []
    assert all(one.prompt > 0 and one.output > 0 for one in found)


def test_the_public_traces_are_read() -> None:
    """The whole Azure and Mooncake files, where $SPARKSIM_TRACES says that they are."""
    folder = Path(os.environ.get("SPARKSIM_TRACES", ""))
    if not (folder / "AzureLLMInferenceTrace_code.csv").is_file():
        pytest.skip("the public traces do not ship with the project; their formats are tested above on samples")
    azure = list(open_trace(folder / "AzureLLMInferenceTrace_code.csv"))
    mooncake = list(open_trace(folder / "mooncake_synthetic_trace.jsonl"))
    assert (len(azure), len(mooncake)) == (8819, 3993)
    assert all(sum(tokens for _, tokens in one.content) == one.prompt for one in mooncake)
