"""How long a typical request of some traffic is."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from sim.serving.trace_file import open_trace
from sim.serving.traffic import Trace, Traffic

_SAMPLE = 2000


def typical_lengths(traffic: Traffic, folder: Path) -> tuple[int, int]:
    """Mean prompt and output, tokens; of conversations and agents at half of their turns.

    Raises:
        InputError: a file that it names cannot be read.
    """
    if isinstance(traffic.arrivals, Trace):
        arrivals = traffic.arrivals
        trace = open_trace(folder / arrivals.file, arrivals.format, is_lenient=arrivals.skip_bad_lines)
        some = list(islice(trace, _SAMPLE))
        return (
            max(1, sum(one.prompt for one in some) // len(some)),
            max(1, sum(one.output for one in some) // len(some)),
        )
    assert traffic.prompt is not None
    assert traffic.output is not None
    prompt, output = traffic.prompt.mean(folder), traffic.output.mean(folder)
    if traffic.shared_prefix is not None:
        prompt += traffic.shared_prefix.tokens
    if traffic.chat is not None:
        prompt += (traffic.chat.turns.mean(folder) - 1) / 2 * (traffic.prompt.mean(folder) + output)
    if traffic.agents is not None:
        added = traffic.agents.tool_output.mean(folder)
        prompt += (traffic.agents.rounds.mean(folder) - 1) / 2 * (added + output)
    return max(1, round(prompt)), max(1, round(output))
