"""A validation as a person reads it: tables of errors, the worst comparisons with where their time went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.result.words import WORDS

SMALL_CLASS = 5
"""Classes and groups with fewer comparisons are printed but do not count."""
FEW = 10
"""Shares of fewer are not printed."""
PHASES = ("decode", "prefill")
MARKDOWN_BREAKDOWNS = ("runtime", "family")
Figures = Mapping[str, Any]


def to_text(data: Mapping[str, Any], *, rows: bool = False) -> str:
    """The lines of `sparksim.validation/1`; `rows`: every comparison, not only the ten worst."""
    lines = [f"{data['records']} records, {data['comparisons']} comparisons; error = predicted / measured - 1; "
             "roofline: what bytes and FLOPs at the machine's peaks would be off by"]  # fmt: skip
    tables = {"class": data["classes"], "model and batch": data["groups"], **data["breakdowns"]}
    for title, table in tables.items():
        lines.append(f"\n{title:<52}{'n':>4}{'error':>9}{'bias':>9}{'worst':>9}{'roofline':>12}{'bias':>9}")
        lines += [_line(name, each) for name, each in table.items()]
    lines.append("\nmeans over classes of five or more")
    lines += [_line(phase, data["headline"][phase]) for phase in PHASES if phase in data["headline"]]
    lines.append("\nevery comparison, worst first" if rows else "\nten worst, and where the predicted time goes")
    lines += [_row(each) for each in sorted(data["rows"], key=lambda row: -abs(row["error"]))[: None if rows else 10]]
    lines.append("\nin the 80 % range that the rest gives, where one is left out")
    for what, found in data["left_out"].items():
        parts = [(name, each["inside"] / each["count"], each["count"]) for name, each in found.items()]
        shown = ", ".join(f"{name} {share:.0%} of {n:,}" for name, share, n in parts if n >= FEW)
        lines.append(f"  {what:<10}{shown}")
    if data["is_whole"]:
        lines.append("\nnot compared, by the rule that leaves them out")
        lines += [f"{count:>5}  {rule}" for rule, count in data["excluded"].items()]
    return "\n".join(lines)


def _line(name: str, found: Figures) -> str:
    mark = "" if found["count"] >= SMALL_CLASS else "  (too few to count)"
    line = f"{name:<52}{found['count']:>4}{found['error']:>9.1%}{found['bias']:>+9.1%}{found['worst']:>+9.1%}"
    if found["roofline_error"] is not None:
        line += f"{found['roofline_error']:>12.1%}{found['roofline_bias']:>+9.1%}"
    return line + mark


def _row(row: Mapping[str, Any]) -> str:
    causes = sorted((row["causes"] or {}).items(), key=lambda item: -item[1])[:3]
    where = ", ".join(f"{WORDS[cause]} {share:.0%}" for cause, share in causes)
    rates = f"{row['measured']:>9.1f}{row['predicted']:>9.1f}{row['error']:>+9.1%}"
    return f"{row['id'][:60]:<62}{row['phase']:<8}{rates}   {where}".rstrip()


def to_markdown(data: Mapping[str, Any]) -> str:
    """The table of the README: means over classes, then errors by runtime, family and quantisation."""
    lines = ["| | n | error | bias | worst | plain roofline |", "| --- | --: | --: | --: | --: | --: |"]
    lines += [
        _cells(f"**{phase}, mean over classes**", data["headline"][phase])
        for phase in PHASES
        if phase in data["headline"]
    ]
    for title in MARKDOWN_BREAKDOWNS:
        table = data["breakdowns"].get(title, {})
        lines += [_cells(f"{title} {name}", each) for name, each in table.items() if each["count"] >= SMALL_CLASS]
    return "\n".join(lines)


def _cells(name: str, found: Figures) -> str:
    roofline = "" if found["roofline_error"] is None else f"{found['roofline_error']:.1%}"
    values = f"{found['error']:.1%} | {found['bias']:+.1%} | {found['worst']:+.1%} | {roofline} |"
    return f"| {name} | {found['count']} | {values}"
