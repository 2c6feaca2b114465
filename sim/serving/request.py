"""An inference request on its way through a server."""

from __future__ import annotations

from collections.abc import Callable

Content = tuple[tuple[object, int], ...]
"""What a prompt begins with, as far as others may share it: (name of the text, tokens), one run after the other. A name
stands for the text and for everything before it."""


class Request:
    """`prompt` tokens in, `output` tokens out; all times in ps.

    `priority`: lower ones go first, where the server looks at it.
    `content`: runs of tokens whose keys others may share. `keeps`: name under which what follows `content`, the output
    too, is cached for a later turn of the same session.
    """

    __slots__ = (
        "arrival_ps", "cached", "computed", "content", "end_ps", "finish_at", "first_ps", "generated", "held",
        "is_counted", "joined", "keeps", "number", "on_done", "output", "own_blocks", "preemptions", "priority",
        "prompt", "status", "stopped_ps", "target",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        prompt: int,
        output: int,
        *,
        content: Content = (),
        keeps: object = None,
        is_counted: bool = True,
        priority: int = 0,
        on_done: Callable[[Request], None] | None = None,
    ) -> None:
        self.number = number
        self.prompt = prompt
        self.output = output
        self.content = content
        self.keeps = keeps
        self.is_counted = is_counted
        self.priority = priority
        self.on_done = on_done
        self.status = "waiting"
        self.arrival_ps = self.first_ps = self.end_ps = -1
        self.generated = 0
        """Tokens that it has got."""
        self.computed = 0
        """Tokens whose keys are in the cache."""
        self.target = prompt
        """Tokens to compute before the next token comes: the prompt, after a preemption what it had got too."""
        self.cached = 0
        """Tokens of its prompt that it found in the prefix cache, at its first admission."""
        self.preemptions = 0
        self.own_blocks = 0
        self.joined = -1
        """Tokens that had been computed when it began to decode."""
        self.held: list[object] = []
        self.stopped_ps = -1
        """When it got its last token, while it waits to be computed again after a preemption."""
        self.finish_at = -1
        """Count of decode steps at which it is done, while it decodes."""

    def __repr__(self) -> str:
        return f"Request({self.number}, {self.prompt} in, {self.output} out, {self.status})"
