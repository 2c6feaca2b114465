"""The table of one model on several machines, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any

BASIS = {"counted": "", "measured": "m", "at_most": "<"}
"""How watts are marked: counted from the run, measured by owners, at most."""
HEAD = ("machine", "runtime", "prefill", "decode", "memory", "GB/s", "watts", "tok/J", "USD", "USD/Mtok")


def to_text(data: Mapping[str, Any]) -> str:
    """The lines of `sparksim.machines/1`."""
    asked = f"batch {data['batch']}, prompt {data['prompt_tokens']:,}, depth {data['context_depth']:,}"
    lines = [f"{data['model']} ({data['quant']}, KV {data['kv_dtype']}); {asked}, output {data['output_tokens']:,}", ""]
    lines += _table([HEAD, *(_cells(row) for row in data["machines"])])
    lines.append("")
    lines += dict.fromkeys(f"{row['hardware']}: {_said(row)}" for row in data["machines"])
    lines.append(
        f"USD/Mtok: the price over {data['years']:g} years of writing all the time, and electricity at "
        f"{data['usd_per_kwh']:g} USD/kWh. Watts: counted from the run; m: measured at the wall by owners; <: at most."
    )
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    watts = f"{BASIS[row['power_basis']]}{row['power_w']:.0f}" if row["power_w"] is not None else "-"
    verdict = "refused" if row["refused"] else "" if row["fits"] else "too large"
    return (
        row["hardware"],
        row["runtime"] or "-",
        verdict or _plain(row["prefill_tok_s"]),
        "" if verdict else _plain(row["decode_tok_s"]),
        f"{row['memory_bytes'] / 1e9:.0f} GB",
        f"{row['bandwidth_bytes_per_s'] / 1e9:,.0f}",
        watts,
        _plain(row["tokens_per_joule"], 2),
        f"{row['price_share_usd']:,.0f}" if row["price_share_usd"] is not None else "-",
        _plain(row["usd_per_million_tokens"], 2),
    )


def _said(row: Mapping[str, Any]) -> str:
    """What a row needs said: why it has no rates, what its price is of."""
    said = []
    if row["refused"]:
        said.append(row["refused"])
    elif not row["fits"]:
        said.append(f"short by {row['short_bytes'] / 1e9:.1f} GB" if row["short_bytes"] else "does not fit")
    if row["is_coarse"]:
        said.append("described by coarse compute units, not SMs")
    if row["gpus"] > 1:
        price = f"{row['price_usd']:,.0f} USD, " if row["price_usd"] is not None else ""
        watts = f", {row['box_power_w']:,.0f} W" if row["box_power_w"] else ""
        said.append(f"one of {row['gpus']} GPUs; the box {price}{row['box_memory_bytes'] / 1e9:.0f} GB{watts}")
    if row["price_usd"] is not None:
        said.append(f"price of {row['price_date']}" if row["price_date"] else "price as given")
    else:
        said.append(f"no price known; --price {row['hardware']}=USD")
    return "; ".join(said)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _plain(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits, thousands apart: "1,710", "0.44"; "-" for nothing."""
    if not value:
        return "-"
    places = digits - 1 - floor(log10(abs(value)))
    return f"{round(value, places):,.{max(0, places)}f}"
